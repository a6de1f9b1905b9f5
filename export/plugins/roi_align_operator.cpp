#include "roi_align_operator.h"

#include <stdexcept>

#include "launch.h"
#include "roi_align_levels.h"

namespace maskrt {

using nvinfer1::DataType;
using nvinfer1::PluginField;
using nvinfer1::PluginFieldType;
using nvinfer1::TensorFormat;

namespace {

constexpr int kRois = 0, kBatchIndices = 1, kFeatures = 2;

int log2_of(int power) {
    int exponent = 0;
    while (1 << exponent < power && exponent < 30) ++exponent;
    return 1 << exponent == power ? exponent : -1;
}

// The kernels' offsets within an image have 32 bits: bytes of one with half values, whose channels are padded to 8. In
// float32 they stay within a channel, which is less.
double image_bytes(nvinfer1::Dims const& map) {
    return 2.0 * (static_cast<double>(map.d[1]) + 7.0) * static_cast<double>(map.d[2]) * static_cast<double>(map.d[3]);
}

void expect_bins(char const* name, int bins) {
    expect(bins >= 1 && bins <= kMaxBins, std::string(name) + " is " + std::to_string(bins),
           "1 to " + std::to_string(kMaxBins));
}

}  // namespace

std::vector<PluginField> RoiAlignOperator::declared_fields() {
    std::vector<PluginField> fields;
    for (char const* name :
         {"output_height", "output_width", "sampling_ratio", "aligned", "canonical_level", "strides"})
        fields.emplace_back(name, nullptr, PluginFieldType::kINT32, 1);
    fields.emplace_back("canonical_scale", nullptr, PluginFieldType::kFLOAT32, 1);
    for (char const* name : {"method", "mode"}) fields.emplace_back(name, nullptr, PluginFieldType::kCHAR, 1);
    return fields;
}

RoiAlignOperator::RoiAlignOperator(Fields const& fields)
    : output_height_(fields.integer("output_height")),
      output_width_(fields.integer("output_width")),
      sampling_ratio_(fields.integer("sampling_ratio", 0)),
      aligned_(fields.integer("aligned", 0)),
      canonical_level_(fields.integer("canonical_level", 4)),
      canonical_scale_(fields.real("canonical_scale", 224.0f)),
      method_(fields.text("method", "align")),
      mode_(fields.text("mode", "avg")),
      strides_(fields.integers("strides")),
      pyramid_() {
    expect_bins("output_height", output_height_);
    expect_bins("output_width", output_width_);
    expect(sampling_ratio_ <= 1024, "sampling_ratio is " + std::to_string(sampling_ratio_), "0 (adaptive) to 1024");
    expect(aligned_ == 0 || aligned_ == 1, "aligned is " + std::to_string(aligned_), "0 or 1");
    char const* const methods[] = {"align", "warp", "pool", "crop"};  // by their number in Method
    while (pyramid_.method < 4 && method_ != methods[pyramid_.method]) ++pyramid_.method;
    expect(pyramid_.method < 4, "method is '" + method_ + "'", "'align', 'warp', 'pool' or 'crop'");
    char const* const modes = method_ == "pool" ? "'max'" : method_ == "crop" ? "'avg'" : "'avg' or 'max'";
    expect((mode_ == "max" && method_ != "crop") || (mode_ == "avg" && method_ != "pool"), "mode is '" + mode_ + "'",
           modes + std::string(" with method '") + method_ + "'");
    expect(canonical_scale_ > 0, "canonical_scale is " + std::to_string(canonical_scale_),
           "a positive size in pixels");
    int const levels = static_cast<int>(strides_.size());
    expect(levels >= 1 && levels <= kMaxLevels, "strides has " + std::to_string(levels) + " values",
           "1 to 5, one a feature map");
    pyramid_.levels = levels;
    pyramid_.canonical_scale = canonical_scale_;
    pyramid_.output_height = output_height_;
    pyramid_.output_width = output_width_;
    pyramid_.sampling_ratio = sampling_ratio_;
    pyramid_.aligned = aligned_;
    for (int i = 0; i < levels; ++i) {
        int const level = log2_of(strides_[i]);
        expect(level >= 0 && (i == 0 || strides_[i] > strides_[i - 1]),
               "strides[" + std::to_string(i) + "] is " + std::to_string(strides_[i]), "powers of two, ascending");
        pyramid_.scales[i] = 1.0f / static_cast<float>(strides_[i]);
        pyramid_.level_thresholds[i] = level_threshold(level, canonical_level_);
    }
}

std::vector<PluginField> RoiAlignOperator::fields() const {
    return {{"output_height", &output_height_, PluginFieldType::kINT32, 1},
            {"output_width", &output_width_, PluginFieldType::kINT32, 1},
            {"sampling_ratio", &sampling_ratio_, PluginFieldType::kINT32, 1},
            {"aligned", &aligned_, PluginFieldType::kINT32, 1},
            {"canonical_level", &canonical_level_, PluginFieldType::kINT32, 1},
            {"strides", strides_.data(), PluginFieldType::kINT32, static_cast<int>(strides_.size())},
            {"canonical_scale", &canonical_scale_, PluginFieldType::kFLOAT32, 1},
            {"method", method_.data(), PluginFieldType::kCHAR, static_cast<int>(method_.size())},
            {"mode", mode_.data(), PluginFieldType::kCHAR, static_cast<int>(mode_.size())}};
}

nvinfer1::DimsExprs RoiAlignOperator::output_shape(int, nvinfer1::DimsExprs const* inputs, int count,
                                                   nvinfer1::IExprBuilder& builder) const {
    expect(count == kFeatures + pyramid_.levels, "the node has " + std::to_string(count) + " inputs",
           "rois, batch_indices and " + std::to_string(pyramid_.levels) + " feature maps, one a stride");
    expect(inputs[kRois].nbDims == 2 && inputs[kFeatures].nbDims == 4,
           "rois have " + std::to_string(inputs[kRois].nbDims) + " dimensions, features " +
               std::to_string(inputs[kFeatures].nbDims),
           "rois (R, 4) and features (N, C, H, W)");
    nvinfer1::DimsExprs shape;
    shape.nbDims = 4;
    shape.d[0] = inputs[kRois].d[0];
    shape.d[1] = inputs[kFeatures].d[1];
    shape.d[2] = builder.constant(output_height_);
    shape.d[3] = builder.constant(output_width_);
    return shape;
}

bool RoiAlignOperator::supports(int position, TensorKind const* tensors) const {
    TensorKind const& kind = tensors[position];
    bool const linear = kind.format == TensorFormat::kLINEAR;
    if (position == kRois) return linear && kind.type == DataType::kFLOAT;
    if (position == kBatchIndices) return linear && kind.type == DataType::kINT32;
    if (position > kFeatures) return kind.type == tensors[kFeatures].type && kind.format == tensors[kFeatures].format;
    return (linear && kind.type == DataType::kFLOAT) ||
           (kind.type == DataType::kHALF && kind.format == TensorFormat::kHWC8);
}

void RoiAlignOperator::check(Shapes const& inputs) const {
    nvinfer1::Dims const &rois = inputs.dims.at(kRois), &indices = inputs.dims.at(kBatchIndices);
    nvinfer1::Dims const& first = inputs.dims.at(kFeatures);
    expect(rois.nbDims == 2 && rois.d[1] == 4, "rois are " + to_text(rois), "(R, 4)");
    expect(indices.nbDims == 1 && (!inputs.exact || indices.d[0] == rois.d[0]),
           "batch_indices are " + to_text(indices) + " for rois " + to_text(rois), "one index a RoI");
    for (size_t i = kFeatures; i < inputs.dims.size(); ++i) {
        nvinfer1::Dims const& map = inputs.dims[i];
        std::string const name = "feature map " + std::to_string(i - kFeatures) + " is " + to_text(map);
        expect(map.nbDims == 4 && map.d[1] == first.d[1] && (!inputs.exact || map.d[0] == first.d[0]),
               name + ", the first " + to_text(first), "(N, C, H, W) with the same N and C");
        expect(!inputs.exact || image_bytes(map) < 4294967296.0, "an image of " + name, "less than 4 GiB");
    }
}

void RoiAlignOperator::enqueue(nvinfer1::PluginTensorDesc const* descriptions, void const* const* inputs,
                               void* const* outputs, void*, cudaStream_t stream) const {
    RoiAlignParams params = pyramid_;
    params.rois = static_cast<float const*>(inputs[kRois]);
    params.batch_indices = static_cast<int const*>(inputs[kBatchIndices]);
    params.pooled = outputs[0];
    params.count = static_cast<int>(descriptions[kRois].dims.d[0]);
    params.batch = static_cast<int>(descriptions[kFeatures].dims.d[0]);
    params.channels = static_cast<int>(descriptions[kFeatures].dims.d[1]);
    for (int i = 0; i < params.levels; ++i) {
        params.features[i] = inputs[kFeatures + i];
        params.heights[i] = static_cast<int>(descriptions[kFeatures + i].dims.d[2]);
        params.widths[i] = static_cast<int>(descriptions[kFeatures + i].dims.d[3]);
    }
    FeatureStorage const storage = descriptions[kFeatures].type == DataType::kFLOAT
                                       ? FeatureStorage::kFloat
                                       : FeatureStorage::kHalfChannelsLast;
    cudaError_t const error = launch_roi_align(storage, mode_ == "max", params, stream);
    if (error != cudaSuccess) throw std::runtime_error(std::string("launch failed: ") + cudaGetErrorString(error));
}

}  // namespace maskrt
