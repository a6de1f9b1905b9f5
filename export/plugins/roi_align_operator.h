// PyramidRoiAlign for TensorRT, apart from the plugin interface of any one version: attributes, shapes, launch.
// Inputs: rois (R, 4) float32, batch_indices (R,) int32, then one feature map a stride, (N, C, H, W) float32 or half.
#pragma once

#include <cuda_runtime_api.h>

#include "plugin_fields.h"
#include "roi_align_core.h"

namespace maskrt {

class RoiAlignOperator {
public:
    static constexpr char const* kName = "PyramidRoiAlign";
    static constexpr int kOutputs = 1;
    static std::vector<nvinfer1::PluginField> declared_fields();

    explicit RoiAlignOperator(Fields const& fields);    // throws std::invalid_argument
    std::vector<nvinfer1::PluginField> fields() const;  // point into this object

    nvinfer1::DataType output_type(int, nvinfer1::DataType const* inputs) const { return inputs[2]; }
    nvinfer1::DimsExprs output_shape(int index, nvinfer1::DimsExprs const* inputs, int count,
                                     nvinfer1::IExprBuilder& builder) const;
    bool supports(int position, TensorKind const* tensors) const;  // inputs, then outputs, up to `position`
    void check(Shapes const& inputs) const;                        // throws std::invalid_argument
    size_t workspace_bytes(std::vector<nvinfer1::Dims> const&) const { return 0; }
    void enqueue(nvinfer1::PluginTensorDesc const* descriptions, void const* const* inputs, void* const* outputs,
                 void* workspace,
                 cudaStream_t stream) const;  // throws std::runtime_error

private:
    int output_height_, output_width_, sampling_ratio_, aligned_, canonical_level_;
    float canonical_scale_;
    std::string method_, mode_;
    std::vector<int> strides_;
    RoiAlignParams pyramid_;  // what follows from the attributes alone
};

}  // namespace maskrt
