// GroupedNms for TensorRT, apart from the plugin interface of any one version: attributes, shapes, launch.
// Inputs: boxes (N, R, 4) float32, scores (N, R) float32, groups (N, R) int32.
// Outputs: indices (N, max_output) int32, counts (N,) int32.
#pragma once

#include <cuda_runtime_api.h>

#include "nms_core.h"
#include "plugin_fields.h"

namespace maskrt {

class NmsOperator {
public:
    static constexpr char const* kName = "GroupedNms";
    static constexpr int kOutputs = 2;
    static std::vector<nvinfer1::PluginField> declared_fields();

    explicit NmsOperator(Fields const& fields);         // throws std::invalid_argument
    std::vector<nvinfer1::PluginField> fields() const;  // point into this object

    nvinfer1::DataType output_type(int, nvinfer1::DataType const*) const { return nvinfer1::DataType::kINT32; }
    nvinfer1::DimsExprs output_shape(int index, nvinfer1::DimsExprs const* inputs, int count,
                                     nvinfer1::IExprBuilder& builder) const;
    bool supports(int position, TensorKind const* tensors) const;
    void check(Shapes const& inputs) const;  // throws std::invalid_argument
    size_t workspace_bytes(std::vector<nvinfer1::Dims> const& inputs) const;
    void enqueue(nvinfer1::PluginTensorDesc const* descriptions, void const* const* inputs, void* const* outputs,
                 void* workspace,
                 cudaStream_t stream) const;  // throws std::runtime_error

private:
    float iou_threshold_, score_threshold_;
    int max_output_, num_groups_;
};

}  // namespace maskrt
