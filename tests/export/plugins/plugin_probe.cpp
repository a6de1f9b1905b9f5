// Loads the built library the way TensorRT does and calls everything of a plugin that needs no GPU:
//   plugin_probe LIBRARY    one fact a line, for test_plugin_library.py
// It stands in for TensorRT's builder with nothing but its headers, so it says the same for every version.
#include <NvInferRuntime.h>
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

using namespace nvinfer1;

#if NV_TENSORRT_MAJOR >= 10
using Extent = int64_t;
using CreatorInterface = IPluginCreatorInterface;
using CreatorType = IPluginCreatorV3One;
using Desc = DynamicPluginTensorDesc;
static char const* const kEntry = "getCreators";
#else
using Extent = int32_t;
using CreatorInterface = IPluginCreator;
using CreatorType = IPluginCreator;
using Desc = PluginTensorDesc;
static char const* const kEntry = "getPluginCreators";
#endif

// A dimension is a pointer to its value; the builder makes constants.
static IDimensionExpr const* as_expr(Extent value) { return reinterpret_cast<IDimensionExpr const*>(value); }

struct Constants : apiv::VExprBuilder {
    IDimensionExpr const* constant(Extent value) noexcept override { return as_expr(value); }
    IDimensionExpr const* operation(DimensionOperation, IDimensionExpr const&,
                                    IDimensionExpr const&) noexcept override {
        return nullptr;
    }
#if NV_TENSORRT_MAJOR >= 10
    IDimensionExpr const* declareSizeTensor(int32_t, IDimensionExpr const&, IDimensionExpr const&) override {
        return nullptr;
    }
#endif
};

struct Builder : IExprBuilder {
    Builder() { mImpl = &constants; }
    Constants constants;
};

static int messages = 0;

struct Logger : ILogger {
    void log(Severity, AsciiChar const* message) noexcept override {
        ++messages;
        std::printf("log %s\n", message);
    }
};

struct Finder : ILoggerFinder {
    ILogger* findLogger() override { return &logger; }
    Logger logger;
};

struct Tensor {
    std::vector<Extent> shape;
    DataType type;
    TensorFormat format;
};

static Dims dims_of(Tensor const& tensor) {
    Dims dims{};
    dims.nbDims = static_cast<int32_t>(tensor.shape.size());
    for (size_t i = 0; i < tensor.shape.size(); ++i) dims.d[i] = tensor.shape[i];
    return dims;
}

static Desc desc_of(Tensor const& tensor) {
    PluginTensorDesc const desc{dims_of(tensor), tensor.type, tensor.format, 1.0f};
#if NV_TENSORRT_MAJOR >= 10
    return {desc, dims_of(tensor), dims_of(tensor), dims_of(tensor)};
#else
    return desc;
#endif
}

static std::vector<DimsExprs> exprs_of(std::vector<Tensor> const& tensors) {
    std::vector<DimsExprs> list;
    for (Tensor const& tensor : tensors) {
        DimsExprs exprs{};
        exprs.nbDims = static_cast<int32_t>(tensor.shape.size());
        for (size_t i = 0; i < tensor.shape.size(); ++i) exprs.d[i] = as_expr(tensor.shape[i]);
        list.push_back(exprs);
    }
    return list;
}

static void print(char const* what, DimsExprs const& exprs) {
    std::printf("%s", what);
    for (int i = 0; i < exprs.nbDims; ++i)
        std::printf(" %ld", static_cast<long>(reinterpret_cast<intptr_t>(exprs.d[i])));
    std::printf("\n");
}

static void check(bool holds, char const* what) { std::printf("%s %s\n", what, holds ? "yes" : "NO"); }

static CreatorType* creator_named(CreatorInterface* const* list, int count, char const* name) {
    for (int i = 0; i < count; ++i) {
        auto* const creator = static_cast<CreatorType*>(list[i]);
        if (std::strcmp(creator->getPluginName(), name) == 0) return creator;
    }
    std::exit(1);
}

static std::vector<PluginField> roi_align_fields() {
    static int32_t const seven = 7, fourteen = 14, two = 2, strides[] = {4, 8, 16, 32};
    return {{"output_height", &seven, PluginFieldType::kINT32, 1},
            {"output_width", &fourteen, PluginFieldType::kINT32, 1},
            {"sampling_ratio", &two, PluginFieldType::kINT32, 1},
            {"method", "warp", PluginFieldType::kCHAR, 4},
            {"strides", strides, PluginFieldType::kINT32, 4},
            {"mode", "max", PluginFieldType::kCHAR, 3}};
}

static std::vector<PluginField> nms_fields() {
    static float const iou = 0.5f, score = 0.05f;
    static int32_t const outputs = 100, groups = 5;
    return {{"iou_threshold", &iou, PluginFieldType::kFLOAT32, 1},
            {"score_threshold", &score, PluginFieldType::kFLOAT32, 1},
            {"max_output", &outputs, PluginFieldType::kINT32, 1},
            {"num_groups", &groups, PluginFieldType::kINT32, 1}};
}

static std::vector<PluginField> deform_conv_fields() {
    static int32_t const kernel = 3, stride = 2, padding = 1;
    return {{"kernel", &kernel, PluginFieldType::kINT32, 1},
            {"stride", &stride, PluginFieldType::kINT32, 1},
            {"padding", &padding, PluginFieldType::kINT32, 1}};
}

#if NV_TENSORRT_MAJOR >= 10
#include "plugin_probe_v3.h"
#else
#include "plugin_probe_v2.h"
#endif

static std::vector<Tensor> roi_align_tensors(DataType type, TensorFormat format) {
    std::vector<Tensor> tensors = {{{1000, 4}, DataType::kFLOAT, TensorFormat::kLINEAR},
                                   {{1000}, DataType::kINT32, TensorFormat::kLINEAR}};
    for (Extent side : {64, 32, 16, 8}) tensors.push_back({{2, 256, side, side}, type, format});
    tensors.push_back({{1000, 256, 7, 14}, type, format});
    return tensors;
}

static std::vector<Tensor> deform_conv_tensors(DataType type, TensorFormat format) {
    DataType const real = DataType::kFLOAT;
    TensorFormat const linear = TensorFormat::kLINEAR;
    return {{{2, 128, 69, 69}, type, format},     {{2, 18, 35, 35}, real, linear}, {{2, 9, 35, 35}, real, linear},
            {{256, 128, 3, 3}, real, linear}, {{256}, real, linear},           {{2, 256, 35, 35}, type, format}};
}

int main(int, char** arguments) {
    void* const library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) return std::fprintf(stderr, "%s\n", dlerror()), 1;
    static Finder finder;
    reinterpret_cast<void (*)(ILoggerFinder*)>(dlsym(library, "setLoggerFinder"))(&finder);
    int32_t count = 0;
    auto* const creators = reinterpret_cast<CreatorInterface* const* (*)(int32_t&)>(dlsym(library, kEntry))(count);
    for (int i = 0; i < count; ++i) {
        auto* const creator = static_cast<CreatorType*>(creators[i]);
        std::printf("creator %s %s %s %d\n", creator->getPluginName(), creator->getPluginVersion(),
                    creator->getPluginNamespace(), creator->getFieldNames()->nbFields);
    }

    Probe roi_align(creator_named(creators, count, "PyramidRoiAlign"), roi_align_fields());
    for (DataType type : {DataType::kFLOAT, DataType::kHALF, DataType::kINT8})
        for (TensorFormat format : {TensorFormat::kLINEAR, TensorFormat::kHWC8, TensorFormat::kCHW2})
            roi_align.formats(roi_align_tensors(type, format));
    roi_align.shapes(roi_align_tensors(DataType::kHALF, TensorFormat::kLINEAR), 6);
    std::vector<Tensor> uneven = roi_align_tensors(DataType::kHALF, TensorFormat::kLINEAR);
    uneven[4].shape[1] = 128;
    roi_align.shapes(uneven, 6);
    roi_align.shapes(roi_align_tensors(DataType::kHALF, TensorFormat::kLINEAR), 5);
    std::vector<Tensor> loose = roi_align_tensors(DataType::kHALF, TensorFormat::kHWC8);
    loose[1].shape[0] = 1024;
    loose[3].shape[0] = 8;
    roi_align.bounds(loose, 6);
    roi_align.bounds(uneven, 6);

    Probe nms(creator_named(creators, count, "GroupedNms"), nms_fields());
    auto const nms_tensors = [](Extent rows) {
        TensorFormat const linear = TensorFormat::kLINEAR;
        return std::vector<Tensor>{{{2, rows, 4}, DataType::kFLOAT, linear},
                                   {{2, rows}, DataType::kFLOAT, linear},
                                   {{2, rows}, DataType::kINT32, linear},
                                   {{2, 100}, DataType::kINT32, linear},
                                   {{2}, DataType::kINT32, linear}};
    };
    nms.formats(nms_tensors(5000));
    nms.shapes(nms_tensors(5000), 3);
    nms.shapes(nms_tensors(40000), 3);
    std::vector<Tensor> many = nms_tensors(40000);
    many[1].shape[1] = 32768;
    nms.bounds(many, 3);
    many[0].shape[2] = 5;
    nms.bounds(many, 3);

    Probe deform_conv(creator_named(creators, count, "DeformConv"), deform_conv_fields());
    for (DataType type : {DataType::kFLOAT, DataType::kHALF, DataType::kINT8})
        for (TensorFormat format : {TensorFormat::kLINEAR, TensorFormat::kHWC8})
            deform_conv.formats(deform_conv_tensors(type, format));
    std::vector<Tensor> deformed = deform_conv_tensors(DataType::kFLOAT, TensorFormat::kLINEAR);
    deform_conv.shapes(deformed, 5);
    deformed[3].shape[1] = 64;  // two groups
    deform_conv.shapes(deformed, 5);
    deform_conv.shapes(deformed, 4);

    std::vector<PluginField> fields = roi_align_fields();
    fields.pop_back();
    fields.pop_back();
    check(make(creator_named(creators, count, "PyramidRoiAlign"), fields) == nullptr, "refused without strides");
    return 0;
}
