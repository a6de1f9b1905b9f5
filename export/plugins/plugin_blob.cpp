#include "plugin_blob.h"

#include <cstdint>
#include <cstring>

#include "plugin_fields.h"

namespace maskrt {

namespace {

size_t bytes_of(nvinfer1::PluginFieldType type, int count) {
    return static_cast<size_t>(count) * (type == nvinfer1::PluginFieldType::kCHAR ? 1 : 4);  // else int32 or float32
}

}  // namespace

std::string pack_fields(std::vector<nvinfer1::PluginField> const& fields) {
    std::string blob;
    for (nvinfer1::PluginField const& field : fields) {
        std::string const name = field.name;
        std::int32_t const head[3] = {static_cast<std::int32_t>(field.type), field.length,
                                      static_cast<std::int32_t>(name.size())};
        blob.append(reinterpret_cast<char const*>(head), sizeof head);
        blob += name;
        blob.append(static_cast<char const*>(field.data), bytes_of(field.type, field.length));
    }
    return blob;
}

UnpackedFields::UnpackedFields(void const* data, size_t size) : collection_{} {
    std::string const blob(static_cast<char const*>(data), size);
    std::vector<nvinfer1::PluginFieldType> types;
    std::vector<std::int32_t> lengths;
    for (size_t at = 0; at < blob.size();) {
        std::int32_t head[3] = {};
        bool whole = blob.size() - at >= sizeof head;
        if (whole) std::memcpy(head, blob.data() + at, sizeof head);
        auto const type = static_cast<nvinfer1::PluginFieldType>(head[0]);
        size_t const values = bytes_of(type, head[1]), name = static_cast<size_t>(head[2]);
        whole = whole && head[1] >= 0 && head[2] >= 0 && blob.size() - at - sizeof head >= name + values;
        expect(whole, "the serialised plugin has " + std::to_string(size) + " bytes and ends amid a field",
               "one that this library has written");
        at += sizeof head;
        contents_.push_back(blob.substr(at, name));
        contents_.push_back(blob.substr(at + name, values));
        types.push_back(type);
        lengths.push_back(head[1]);
        at += name + values;
    }
    for (size_t i = 0; i < types.size(); ++i)
        fields_.emplace_back(contents_[2 * i].c_str(), contents_[2 * i + 1].data(), types[i], lengths[i]);
    collection_ = {static_cast<std::int32_t>(fields_.size()), fields_.data()};
}

}  // namespace maskrt
