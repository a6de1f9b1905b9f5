#include "nms_operator.h"

#include <stdexcept>

#include "launch.h"

namespace maskrt {

using nvinfer1::DataType;
using nvinfer1::PluginField;
using nvinfer1::PluginFieldType;

namespace {

constexpr int kBoxes = 0, kScores = 1, kGroups = 2, kInputs = 3;

}  // namespace

std::vector<PluginField> NmsOperator::declared_fields() {
    return {{"iou_threshold", nullptr, PluginFieldType::kFLOAT32, 1},
            {"score_threshold", nullptr, PluginFieldType::kFLOAT32, 1},
            {"max_output", nullptr, PluginFieldType::kINT32, 1},
            {"num_groups", nullptr, PluginFieldType::kINT32, 1}};
}

NmsOperator::NmsOperator(Fields const& fields)
    : iou_threshold_(fields.real("iou_threshold")),
      score_threshold_(fields.real("score_threshold")),
      max_output_(fields.integer("max_output")),
      num_groups_(fields.integer("num_groups")) {
    expect(max_output_ >= 1, "max_output is " + std::to_string(max_output_), "at least 1");
    expect(num_groups_ >= 1 && num_groups_ <= kMaxGroups, "num_groups is " + std::to_string(num_groups_),
           "1 to " + std::to_string(kMaxGroups));
}

std::vector<PluginField> NmsOperator::fields() const {
    return {{"iou_threshold", &iou_threshold_, PluginFieldType::kFLOAT32, 1},
            {"score_threshold", &score_threshold_, PluginFieldType::kFLOAT32, 1},
            {"max_output", &max_output_, PluginFieldType::kINT32, 1},
            {"num_groups", &num_groups_, PluginFieldType::kINT32, 1}};
}

nvinfer1::DimsExprs NmsOperator::output_shape(int index, nvinfer1::DimsExprs const* inputs, int count,
                                              nvinfer1::IExprBuilder& builder) const {
    expect(count == kInputs, "the node has " + std::to_string(count) + " inputs", "boxes, scores and groups");
    expect(inputs[kBoxes].nbDims == 3, "boxes have " + std::to_string(inputs[kBoxes].nbDims) + " dimensions",
           "(N, R, 4)");
    nvinfer1::DimsExprs shape;
    shape.nbDims = index == 0 ? 2 : 1;
    shape.d[0] = inputs[kBoxes].d[0];
    if (index == 0) shape.d[1] = builder.constant(max_output_);
    return shape;
}

bool NmsOperator::supports(int position, TensorKind const* tensors) const {
    bool const real = position == kBoxes || position == kScores;
    return tensors[position].format == nvinfer1::TensorFormat::kLINEAR &&
           tensors[position].type == (real ? DataType::kFLOAT : DataType::kINT32);
}

void NmsOperator::check(Shapes const& inputs) const {
    nvinfer1::Dims const &boxes = inputs.dims.at(kBoxes), &scores = inputs.dims.at(kScores),
                         &groups = inputs.dims.at(kGroups);
    std::string const got =
        "boxes are " + to_text(boxes) + ", scores " + to_text(scores) + ", groups " + to_text(groups);
    expect(boxes.nbDims == 3 && boxes.d[2] == 4, got, "boxes (N, R, 4)");
    for (nvinfer1::Dims const* dims : {&scores, &groups}) {
        bool const same = !inputs.exact || (dims->d[0] == boxes.d[0] && dims->d[1] == boxes.d[1]);
        expect(dims->nbDims == 2 && same, got, "scores and groups (N, R) beside boxes (N, R, 4)");
    }
    expect(!inputs.exact || boxes.d[1] <= kMaxRows, got,
           "at most " + std::to_string(kMaxRows) + " rows an image; keep the best ones first (TopK)");
}

size_t NmsOperator::workspace_bytes(std::vector<nvinfer1::Dims> const& inputs) const {
    nvinfer1::Dims const& boxes = inputs.at(kBoxes);
    return static_cast<size_t>(boxes.d[0]) * nms_image_bytes(static_cast<int>(boxes.d[1]), num_groups_);
}

void NmsOperator::enqueue(nvinfer1::PluginTensorDesc const* descriptions, void const* const* inputs,
                          void* const* outputs, void* workspace, cudaStream_t stream) const {
    nvinfer1::Dims const& boxes = descriptions[kBoxes].dims;
    NmsParams params{};
    params.boxes = static_cast<float const*>(inputs[kBoxes]);
    params.scores = static_cast<float const*>(inputs[kScores]);
    params.groups = static_cast<int const*>(inputs[kGroups]);
    params.indices = static_cast<int*>(outputs[0]);
    params.counts = static_cast<int*>(outputs[1]);
    params.workspace = workspace;
    params.iou_threshold = iou_threshold_;
    params.score_threshold = score_threshold_;
    params.batch = static_cast<int>(boxes.d[0]);
    params.rows = static_cast<int>(boxes.d[1]);
    params.num_groups = num_groups_;
    params.max_output = max_output_;
    cudaError_t const error = launch_grouped_nms(params, stream);
    if (error != cudaSuccess) throw std::runtime_error(std::string("launch failed: ") + cudaGetErrorString(error));
}

}  // namespace maskrt
