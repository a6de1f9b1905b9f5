#include "plugin_fields.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <sstream>
#include <stdexcept>

namespace maskrt {

using nvinfer1::PluginField;
using nvinfer1::PluginFieldType;

namespace {

std::string type_name(PluginFieldType type) {
    switch (type) {
        case PluginFieldType::kINT32: return "int32";
        case PluginFieldType::kFLOAT32: return "float32";
        case PluginFieldType::kFLOAT64: return "float64";
        case PluginFieldType::kCHAR: return "text";
        default: return "of plugin field type " + std::to_string(static_cast<int>(type));
    }
}

[[noreturn]] void refuse(PluginField const& field, std::string const& expected) {
    throw std::invalid_argument(std::string("attribute '") + field.name + "' is " + type_name(field.type) + " with " +
                                std::to_string(field.length) + " values; expected " + expected);
}

// nullptr where the caller has a fallback for a missing field.
PluginField const* present(PluginField const* field, char const* name, bool has_fallback) {
    if (field == nullptr && !has_fallback)
        throw std::invalid_argument(std::string("attribute '") + name + "' is missing; the node must carry it");
    return field;
}

template <class T>
T value_at(PluginField const& field, int index) {
    T value;
    std::memcpy(&value, static_cast<char const*>(field.data) + sizeof(T) * static_cast<size_t>(index), sizeof(T));
    return value;
}

int integer_at(PluginField const& field, int index) {
    if (field.type == PluginFieldType::kINT32) return value_at<std::int32_t>(field, index);
#if NV_TENSORRT_MAJOR >= 10
    if (field.type == PluginFieldType::kINT64) return static_cast<int>(value_at<std::int64_t>(field, index));
#endif
    refuse(field, "int32");
}

}  // namespace

Fields::Fields(nvinfer1::PluginFieldCollection const* collection) {
    expect(collection != nullptr, "the list of attributes is missing", "the attributes of the node");
    fields_.assign(collection->fields, collection->fields + collection->nbFields);
}

PluginField const* Fields::find(char const* name) const {
    for (PluginField const& field : fields_)
        if (field.name != nullptr && std::strcmp(field.name, name) == 0 && field.data != nullptr && field.length > 0)
            return &field;
    return nullptr;
}

int Fields::integer(char const* name, std::optional<int> fallback) const {
    PluginField const* const field = present(find(name), name, fallback.has_value());
    if (field == nullptr) return *fallback;
    if (field->length != 1) refuse(*field, "one integer");
    return integer_at(*field, 0);
}

float Fields::real(char const* name, std::optional<float> fallback) const {
    PluginField const* const field = present(find(name), name, fallback.has_value());
    if (field == nullptr) return *fallback;
    if (field->length == 1 && field->type == PluginFieldType::kFLOAT32) return value_at<float>(*field, 0);
    if (field->length == 1 && field->type == PluginFieldType::kFLOAT64)
        return static_cast<float>(value_at<double>(*field, 0));
    refuse(*field, "one float32");
}

std::string Fields::text(char const* name, std::optional<std::string> const& fallback) const {
    PluginField const* const field = present(find(name), name, fallback.has_value());
    if (field == nullptr) return *fallback;
    if (field->type != PluginFieldType::kCHAR) refuse(*field, "text");
    std::string const text(static_cast<char const*>(field->data), static_cast<size_t>(field->length));
    return text.substr(0, text.find('\0'));  // some callers count the terminator
}

std::vector<int> Fields::integers(char const* name) const {
    PluginField const* const field = present(find(name), name, false);
    std::vector<int> values;
    for (int i = 0; i < field->length; ++i) values.push_back(integer_at(*field, i));
    return values;
}

void expect(bool holds, std::string const& got, std::string const& expected) {
    if (!holds) throw std::invalid_argument(got + "; expected " + expected);
}

Shapes shapes_of(nvinfer1::PluginTensorDesc const* tensors, int count) {
    Shapes shapes{{}, true};
    for (int i = 0; i < count; ++i) shapes.dims.push_back(tensors[i].dims);
    return shapes;
}

Shapes shapes_of(nvinfer1::DynamicPluginTensorDesc const* tensors, int count) {
    Shapes shapes{{}, true};
    for (int i = 0; i < count; ++i) {
        nvinfer1::Dims const& dims = tensors[i].desc.dims;
        bool const wild = std::any_of(dims.d, dims.d + dims.nbDims, [](auto extent) { return extent < 0; });
        shapes.dims.push_back(wild ? tensors[i].max : dims);
        shapes.exact = shapes.exact && !wild;
    }
    return shapes;
}

std::string to_text(nvinfer1::Dims const& dims) {
    std::string text = "(";
    for (int i = 0; i < dims.nbDims; ++i) text += (i > 0 ? ", " : "") + std::to_string(dims.d[i]);
    return text + ")";
}

std::string to_text(std::vector<PluginField> const& fields) {
    std::ostringstream text;
    text << std::hexfloat;
    for (PluginField const& field : fields) {
        text << (text.tellp() > 0 ? " " : "") << field.name << "=";
        for (int i = 0; i < field.length; ++i) {
            if (i > 0 && field.type != PluginFieldType::kCHAR) text << ",";
            switch (field.type) {
                case PluginFieldType::kCHAR: text << value_at<char>(field, i); break;
                case PluginFieldType::kFLOAT32: text << value_at<float>(field, i); break;
                default: text << integer_at(field, i);
            }
        }
    }
    return text.str();
}

}  // namespace maskrt
