// Attributes as bytes, for TensorRT 8.6, which serialises a plugin as it likes (10 and later keep the fields).
// Layout: for each field its type, its number of values, the length of its name (int32 each), the name, the values.
#pragma once

#include <NvInferRuntime.h>

#include <string>
#include <vector>

namespace maskrt {

std::string pack_fields(std::vector<nvinfer1::PluginField> const& fields);

class UnpackedFields {
public:
    UnpackedFields(void const* data, size_t size);  // throws std::invalid_argument if it is no such list
    nvinfer1::PluginFieldCollection const* collection() const { return &collection_; }

private:
    std::vector<std::string> contents_;  // names and values, which the fields point into
    std::vector<nvinfer1::PluginField> fields_;
    nvinfer1::PluginFieldCollection collection_;
};

}  // namespace maskrt
