// DeformConv for TensorRT, apart from the plugin interface of any one version: attributes, shapes, launch.
// Inputs: values (N, C, H, W) float32 or half; then float32: offsets (N, 2K, h, w), mask (N, K, h, w), weight
// (O, C, kernel, kernel) and bias (O,), with K = kernel^2. Output: (N, O, h, w) of the values' type.
#pragma once

#include <cuda_runtime_api.h>

#include "deform_conv_core.h"
#include "plugin_fields.h"

namespace maskrt {

class DeformConvOperator {
public:
    static constexpr char const* kName = "DeformConv";
    static constexpr int kOutputs = 1;
    static std::vector<nvinfer1::PluginField> declared_fields();

    explicit DeformConvOperator(Fields const& fields);  // throws std::invalid_argument
    std::vector<nvinfer1::PluginField> fields() const;  // point into this object

    nvinfer1::DataType output_type(int, nvinfer1::DataType const* inputs) const { return inputs[0]; }
    nvinfer1::DimsExprs output_shape(int index, nvinfer1::DimsExprs const* inputs, int count,
                                     nvinfer1::IExprBuilder& builder) const;
    bool supports(int position, TensorKind const* tensors) const;  // inputs, then outputs, up to `position`
    void check(Shapes const& inputs) const;                        // throws std::invalid_argument
    size_t workspace_bytes(std::vector<nvinfer1::Dims> const&) const { return 0; }
    void enqueue(nvinfer1::PluginTensorDesc const* descriptions, void const* const* inputs, void* const* outputs,
                 void* workspace,
                 cudaStream_t stream) const;  // throws std::runtime_error

private:
    int kernel_, stride_, padding_;
};

}  // namespace maskrt
