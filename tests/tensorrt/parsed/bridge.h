// How the mock network (generated from NVIDIA's header) asks Python: a request is JSON, an answer is plain text.
#pragma once

#include <NvInfer.h>
#include <NvInferPlugin.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <type_traits>

#if NV_TENSORRT_MAJOR >= 10
#include "plugin_blob.h"
#endif

extern "C" nvinfer1::IPluginRegistry* getPluginRegistry() noexcept;

namespace mock {

using namespace nvinfer1;
constexpr int kAnswerBytes = 1 << 12, kPluginTensors = 16;
using Ask = void (*)(char const* request, char* answer);
inline Ask ask = nullptr;

// A tensor, a layer or the network, which lives in Python under this number.
struct Object {
    int id;
    explicit Object(int number) : id(number) {}
};

ITensor* tensor(int id);  // generated, since they need the generated classes
int id_of(ITensor const& tensor);
template <class Interface>
Interface* layer(int id);

inline std::string quoted(std::string const& text) {
    std::ostringstream out;
    out << '"';
    for (unsigned char const c : text) {
        char escaped[8];
        std::snprintf(escaped, sizeof escaped, c < 32 || c == '"' || c == '\\' ? "\\u%04x" : "%c", c);
        out << escaped;
    }
    out << '"';
    return out.str();
}

inline std::string encode(char const* text) { return text ? quoted(text) : "null"; }
inline std::string encode(ITensor const& given) { return "{\"tensor\": " + std::to_string(id_of(given)) + "}"; }
inline std::string encode(Weights const& weights) {
    std::ostringstream out;
    out << "{\"type\": " << static_cast<int>(weights.type) << ", \"count\": " << weights.count
        << ", \"address\": " << reinterpret_cast<std::size_t>(weights.values) << "}";
    return out.str();
}
template <class Value>
std::string encode(Value const* values, int count) {
    std::ostringstream out;
    out.precision(9);
    for (int i = 0; i < count; ++i) out << (i ? ", " : "") << values[i];
    return "[" + out.str() + "]";
}
inline std::string encode(Dims const& dims) { return encode(dims.d, dims.nbDims); }
inline std::string encode(Permutation const& permutation) { return encode(permutation.order, Dims::MAX_DIMS); }
inline std::string encode(ITensor* const* tensors, int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += (i ? ", " : "") + encode(*tensors[i]);
    return "[" + text + "]";
}
template <class Number, std::enable_if_t<std::is_arithmetic_v<Number> || std::is_enum_v<Number>, int> = 0>
std::string encode(Number number) {
    std::ostringstream out;
    out.precision(9);
    if constexpr (std::is_enum_v<Number>)
        out << static_cast<long>(number);
    else
        out << +number;
    return out.str();
}

class Request {
public:
    Request(char const* of, int id, char const* method)
        : text_("{\"of\": " + quoted(of) + ", \"id\": " + std::to_string(id) + ", \"method\": " + quoted(method) +
                ", \"arguments\": {") {}

    Request& put(char const* name, std::string const& encoded) {
        text_ += (first_ ? "" : ", ") + quoted(name) + ": " + encoded;
        first_ = false;
        return *this;
    }

    template <class Answer>
    Answer send() {
        char answer[kAnswerBytes] = {};
        ask((text_ + "}}").c_str(), answer);
        if constexpr (std::is_void_v<Answer>) return;
        else return decode(answer, static_cast<Answer*>(nullptr));
    }

private:
    template <class Number>
    static Number decode(char const* answer, Number*) {
        static_assert(std::is_arithmetic_v<Number> || std::is_enum_v<Number>);
        return static_cast<Number>(std::atof(answer));
    }
    static char const* decode(char const* answer, char const**) {
        static std::set<std::string> kept;  // the interface hands out pointers that stay
        return kept.insert(answer).first->c_str();
    }
    static Dims decode(char const* answer, Dims*) {
        Dims dims{};
        std::istringstream in(answer);
        for (long extent = 0; in >> extent; ++dims.nbDims) dims.d[dims.nbDims] = extent;
        return dims;
    }
    static ITensor* decode(char const* answer, ITensor**) { return tensor(std::atoi(answer)); }
    template <class Interface>
    static Interface* decode(char const* answer, Interface**) {
        return layer<Interface>(std::atoi(answer));
    }

    std::string text_;
    bool first_ = true;
};

// The three that the parsers ask after.
inline LayerType layer_type(std::string const& kind) {
    if (kind == "Constant") return LayerType::kCONSTANT;
    if (kind == "Identity") return LayerType::kIDENTITY;
    return kind == "Cast" ? LayerType::kCAST : static_cast<LayerType>(-1);
}

[[noreturn]] inline void unknown(char const* method) {
    std::fprintf(stderr, "the parser calls %s, which the mock network cannot answer\n", method);
    std::abort();
}

inline std::string in_hex(std::string const& bytes) {
    std::string hex;
    for (unsigned char const byte : bytes) {
        char digits[3];
        std::snprintf(digits, sizeof digits, "%02x", byte);
        hex += digits;
    }
    return quoted(hex);
}

// Of a plugin as the network gets it: its name, the types of its outputs by its own word, its attributes.
#if NV_TENSORRT_MAJOR < 10
inline std::string describe(IPluginV2& plugin, ITensor* const* inputs, int count) {
    std::string state(plugin.getSerializationSize(), '\0');
    DataType given[kPluginTensors]{}, types[kPluginTensors]{};
    for (int i = 0; i < count; ++i) given[i] = inputs[i]->getType();
    for (int i = 0; i < plugin.getNbOutputs(); ++i)
        types[i] = static_cast<IPluginV2Ext&>(plugin).getOutputDataType(i, given, count);
    plugin.serialize(state.data());
    return "{\"name\": " + quoted(plugin.getPluginType()) + ", \"types\": " +
           encode(reinterpret_cast<int const*>(types), plugin.getNbOutputs()) + ", \"state\": " + in_hex(state) + "}";
}
#else
inline std::string describe(IPluginV2&, ITensor* const*, int) { unknown("addPluginV2"); }
inline std::string describe(IPluginV3& plugin, ITensor* const* inputs, int count) {
    auto* const core = static_cast<IPluginV3OneCore*>(plugin.getCapabilityInterface(PluginCapabilityType::kCORE));
    auto* const build = static_cast<IPluginV3OneBuild*>(plugin.getCapabilityInterface(PluginCapabilityType::kBUILD));
    auto* const run = static_cast<IPluginV3OneRuntime*>(plugin.getCapabilityInterface(PluginCapabilityType::kRUNTIME));
    DataType given[kPluginTensors]{}, types[kPluginTensors]{};
    for (int i = 0; i < count; ++i) given[i] = inputs[i]->getType();
    build->getOutputDataTypes(types, build->getNbOutputs(), given, count);
    PluginFieldCollection const* const kept = run->getFieldsToSerialize();
    std::string const state = maskrt::pack_fields({kept->fields, kept->fields + kept->nbFields});
    return "{\"name\": " + quoted(core->getPluginName()) + ", \"types\": " +
           encode(reinterpret_cast<int const*>(types), build->getNbOutputs()) + ", \"state\": " + in_hex(state) + "}";
}
#endif

struct Logger : ILogger {
    void log(Severity severity, char const* text) noexcept override {
        Request("Logger", 0, "log").put("severity", encode(severity)).put("text", encode(text)).send<void>();
    }
};

}  // namespace mock
