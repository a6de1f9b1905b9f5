#include "deform_conv_operator.h"

#include <stdexcept>

#include "deform_conv_block.h"
#include "launch.h"

namespace maskrt {

using nvinfer1::DataType;
using nvinfer1::Dims;
using nvinfer1::PluginField;
using nvinfer1::PluginFieldType;
using nvinfer1::TensorFormat;

namespace {

constexpr int kValues = 0, kOffsets = 1, kMask = 2, kWeight = 3, kBias = 4, kInputs = 5;
constexpr int kMaxBlocksAlongY = 65535;  // CUDA C++ Programming Guide, technical specifications: y-dimension of a grid

void expect_within(char const* name, int value, int least, int most) {
    expect(value >= least && value <= most, std::string(name) + " is " + std::to_string(value),
           std::to_string(least) + " to " + std::to_string(most));
}

double cells(Dims const& map) { return static_cast<double>(map.d[2]) * static_cast<double>(map.d[3]); }

DeformConvParams sizes_of(Dims const& values, Dims const& mask, Dims const& weight) {
    DeformConvParams params{};
    params.batch = static_cast<int>(values.d[0]);
    params.channels = static_cast<int>(values.d[1]);
    params.height = static_cast<int>(values.d[2]);
    params.width = static_cast<int>(values.d[3]);
    params.outputs = static_cast<int>(weight.d[0]);
    params.output_height = static_cast<int>(mask.d[2]);
    params.output_width = static_cast<int>(mask.d[3]);
    return params;
}

}  // namespace

std::vector<PluginField> DeformConvOperator::declared_fields() {
    std::vector<PluginField> fields;
    for (char const* name : {"kernel", "stride", "padding"})
        fields.emplace_back(name, nullptr, PluginFieldType::kINT32, 1);
    return fields;
}

DeformConvOperator::DeformConvOperator(Fields const& fields)
    : kernel_(fields.integer("kernel")), stride_(fields.integer("stride")), padding_(fields.integer("padding")) {
    expect_within("kernel", kernel_, 1, kMaxKernel);
    expect_within("stride", stride_, 1, kMaxStride);
    expect_within("padding", padding_, 0, kMaxPadding);
}

std::vector<PluginField> DeformConvOperator::fields() const {
    return {{"kernel", &kernel_, PluginFieldType::kINT32, 1},
            {"stride", &stride_, PluginFieldType::kINT32, 1},
            {"padding", &padding_, PluginFieldType::kINT32, 1}};
}

nvinfer1::DimsExprs DeformConvOperator::output_shape(int, nvinfer1::DimsExprs const* inputs, int count,
                                                     nvinfer1::IExprBuilder&) const {
    expect(count == kInputs, "the node has " + std::to_string(count) + " inputs",
           "values, offsets, mask, weight and bias");
    for (int i : {kValues, kMask, kWeight})
        expect(inputs[i].nbDims == 4,
               "input " + std::to_string(i) + " has " + std::to_string(inputs[i].nbDims) + " dimensions",
               "values (N, C, H, W), mask (N, K, h, w) and weight (O, C, kernel, kernel)");
    nvinfer1::DimsExprs shape;
    shape.nbDims = 4;
    shape.d[0] = inputs[kValues].d[0];
    shape.d[1] = inputs[kWeight].d[0];
    shape.d[2] = inputs[kMask].d[2];
    shape.d[3] = inputs[kMask].d[3];
    return shape;
}

bool DeformConvOperator::supports(int position, TensorKind const* tensors) const {
    TensorKind const& kind = tensors[position];
    bool const real = kind.type == DataType::kFLOAT && kind.format == TensorFormat::kLINEAR;
    if (position == kValues) return real || (kind.type == DataType::kHALF && kind.format == TensorFormat::kHWC8);
    if (position < kInputs) return real;
    return kind.type == tensors[kValues].type && kind.format == tensors[kValues].format;
}

void DeformConvOperator::check(Shapes const& inputs) const {
    Dims const &values = inputs.dims.at(kValues), &offsets = inputs.dims.at(kOffsets), &mask = inputs.dims.at(kMask),
               &weight = inputs.dims.at(kWeight), &bias = inputs.dims.at(kBias);
    std::string const got = "values are " + to_text(values) + ", offsets " + to_text(offsets) + ", mask " +
                            to_text(mask) + ", weight " + to_text(weight) + ", bias " + to_text(bias);
    int const taps = kernel_ * kernel_;
    expect(values.nbDims == 4 && offsets.nbDims == 4 && mask.nbDims == 4 && weight.nbDims == 4 && bias.nbDims == 1, got,
           "values (N, C, H, W), offsets, mask and weight of 4 dimensions, bias (O,)");
    expect(offsets.d[1] == 2 * taps && mask.d[1] == taps && weight.d[2] == kernel_ && weight.d[3] == kernel_, got,
           "2K offsets and K values of the mask a place, with K = kernel^2 = " + std::to_string(taps));
    expect(weight.d[1] == values.d[1] && bias.d[0] == weight.d[0], got,
           "weight (O, C, kernel, kernel) and bias (O,) for C channels: one group");
    if (!inputs.exact) return;
    bool together = offsets.d[0] == values.d[0] && mask.d[0] == values.d[0];
    for (int i : {2, 3}) {
        auto const moves = values.d[i] + 2 * padding_ - kernel_;
        together = together && moves >= 0 && mask.d[i] == moves / stride_ + 1 && offsets.d[i] == mask.d[i];
    }
    expect(together, got,
           "offsets and mask for each image and each place of the output: kernel " + std::to_string(kernel_) +
               ", stride " + std::to_string(stride_) + ", padding " + std::to_string(padding_));
    bool const few = cells(values) <= kMaxCells && cells(mask) <= kMaxCells;
    expect(few && deform_conv_grid(sizes_of(values, mask, weight)).y <= kMaxBlocksAlongY, got,
           "at most " + std::to_string(kMaxCells) + " cells of a map, and " + std::to_string(kMaxBlocksAlongY) +
               " times " + std::to_string(kTileOutputs) + " channels of the output over the batch");
}

void DeformConvOperator::enqueue(nvinfer1::PluginTensorDesc const* descriptions, void const* const* inputs,
                                 void* const* outputs, void*, cudaStream_t stream) const {
    DeformConvParams params =
        sizes_of(descriptions[kValues].dims, descriptions[kMask].dims, descriptions[kWeight].dims);
    params.values = inputs[kValues];
    params.offsets = static_cast<float const*>(inputs[kOffsets]);
    params.mask = static_cast<float const*>(inputs[kMask]);
    params.weight = static_cast<float const*>(inputs[kWeight]);
    params.bias = static_cast<float const*>(inputs[kBias]);
    params.output = outputs[0];
    params.kernel = kernel_;
    params.stride = stride_;
    params.padding = padding_;
    FeatureStorage const storage = descriptions[kValues].type == DataType::kFLOAT ? FeatureStorage::kFloat
                                                                                   : FeatureStorage::kHalfChannelsLast;
    cudaError_t const error = launch_deform_conv(storage, params, stream);
    if (error != cudaSuccess) throw std::runtime_error(std::string("launch failed: ") + cudaGetErrorString(error));
}

}  // namespace maskrt
