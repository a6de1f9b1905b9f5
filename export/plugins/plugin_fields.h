// The attributes of a plugin as TensorRT hands them over: read with a check, said clearly when they are wrong.
#pragma once

#include <NvInferRuntime.h>

#include <optional>
#include <string>
#include <vector>

namespace maskrt {

constexpr char const* kPluginVersion = "1";
constexpr char const* kPluginNamespace = "maskrt";

// The parsers give int32, float32 and text; a user of the API may also give int64 and float64. Every getter throws
// std::invalid_argument that names the field, what was got and what was expected.
class Fields {
public:
    explicit Fields(nvinfer1::PluginFieldCollection const* collection);

    int integer(char const* name, std::optional<int> fallback = std::nullopt) const;
    float real(char const* name, std::optional<float> fallback = std::nullopt) const;
    std::string text(char const* name, std::optional<std::string> const& fallback = std::nullopt) const;
    std::vector<int> integers(char const* name) const;

private:
    nvinfer1::PluginField const* find(char const* name) const;
    std::vector<nvinfer1::PluginField> fields_;
};

// Throws std::invalid_argument "got; expected ..." unless it holds.
void expect(bool holds, std::string const& got, std::string const& expected);

struct TensorKind {
    nvinfer1::DataType type;
    nvinfer1::TensorFormat format;
};

// Of all inputs: what they are, or bounds that each alone stays within. Bounds need not fit together, nor be reached:
// of them only ranks and constant extents say something about the tensors.
struct Shapes {
    std::vector<nvinfer1::Dims> dims;
    bool exact;
};

Shapes shapes_of(nvinfer1::PluginTensorDesc const* tensors, int count);  // when they are known
// While an engine is built; a wildcard (-1) in the shape means that `max` alone says how large it gets. TensorRT 8.6
// asks once more before it runs, with actual shapes and a `max` that means nothing.
Shapes shapes_of(nvinfer1::DynamicPluginTensorDesc const* tensors, int count);

std::string to_text(nvinfer1::Dims const& dims);  // "(1, 256, -1, -1)"
std::string to_text(std::vector<nvinfer1::PluginField> const& fields);  // "mode=max strides=4,8", to the last bit

}  // namespace maskrt
