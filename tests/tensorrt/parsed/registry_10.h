// In the place of libnvinfer.so.10, which no public registry of packages has: a plugin registry with our library
// and TensorRT's RoiAlign as its parser knows it, in name and attributes.
#pragma once

#include <dlfcn.h>

#include <cstring>
#include <vector>

#include "plugin_v3.h"

namespace mock {

using namespace nvinfer1;

// Attributes alone: what it computes stands in plugins.py.
class BuiltInRoiAlign {
public:
    static constexpr char const* kName = "ROIAlign_TRT";
    static constexpr int kOutputs = 1;
    static std::vector<PluginField> declared_fields() {
        std::vector<PluginField> declared;
        for (char const* name : kIntegers) declared.emplace_back(name, nullptr, PluginFieldType::kINT32, 1);
        declared.emplace_back("spatial_scale", nullptr, PluginFieldType::kFLOAT32, 1);
        return declared;
    }

    explicit BuiltInRoiAlign(maskrt::Fields const& fields) : spatial_scale_(fields.real("spatial_scale")) {
        for (int i = 0; i < 5; ++i) integers_[i] = fields.integer(kIntegers[i]);
    }
    std::vector<PluginField> fields() const {
        std::vector<PluginField> found;
        for (int i = 0; i < 5; ++i) found.emplace_back(kIntegers[i], &integers_[i], PluginFieldType::kINT32, 1);
        found.emplace_back("spatial_scale", &spatial_scale_, PluginFieldType::kFLOAT32, 1);
        return found;
    }

    DataType output_type(int, DataType const* inputs) const { return inputs[0]; }
    DimsExprs output_shape(int, DimsExprs const* inputs, int, IExprBuilder&) const { return inputs[0]; }
    bool supports(int, maskrt::TensorKind const*) const { return true; }
    void check(maskrt::Shapes const&) const {}
    size_t workspace_bytes(std::vector<Dims> const&) const { return 0; }
    void enqueue(PluginTensorDesc const*, void const* const*, void* const*, void*, cudaStream_t) const {}

private:
    static constexpr char const* kIntegers[] = {"coordinate_transformation_mode", "mode", "output_height",
                                                "output_width", "sampling_ratio"};
    int integers_[5];
    float spatial_scale_;
};

class Registry final : public IPluginRegistry {
public:
    PluginLibraryHandle loadLibrary(AsciiChar const* path) noexcept override {
        void* const library = dlopen(path, RTLD_NOW);
        if (!library) return nullptr;
        using GetCreators = IPluginCreatorInterface* const* (*)(int32_t&);
        int32_t count = 0;
        auto* const creators = reinterpret_cast<GetCreators>(dlsym(library, "getCreators"))(count);
        creators_.insert(creators_.end(), creators, creators + count);
        return library;
    }
    IPluginCreatorInterface* getCreator(AsciiChar const* name, AsciiChar const*, AsciiChar const*) noexcept override {
        for (IPluginCreatorInterface* const creator : creators_)
            if (!std::strcmp(static_cast<IPluginCreatorV3One*>(creator)->getPluginName(), name)) return creator;
        return nullptr;
    }

    void setErrorRecorder(IErrorRecorder*) noexcept override {}
    IErrorRecorder* getErrorRecorder() const noexcept override { return nullptr; }
    bool isParentSearchEnabled() const override { return false; }
    void setParentSearchEnabled(bool) override {}
    void deregisterLibrary(PluginLibraryHandle) noexcept override {}
    bool registerCreator(IPluginCreatorInterface&, AsciiChar const*) noexcept override { return false; }
    IPluginCreatorInterface* const* getAllCreators(int32_t* count) const noexcept override {
        *count = static_cast<int32_t>(creators_.size());
        return creators_.data();
    }
    bool deregisterCreator(IPluginCreatorInterface const&) noexcept override { return false; }
    IPluginResource* acquirePluginResource(AsciiChar const*, IPluginResource*) noexcept override { return nullptr; }
    int32_t releasePluginResource(AsciiChar const*) noexcept override { return 0; }
    bool registerCreator(IPluginCreator&, AsciiChar const*) noexcept override { return false; }
    IPluginCreator* const* getPluginCreatorList(int32_t* count) const noexcept override { return *count = 0, nullptr; }
    IPluginCreator* getPluginCreator(AsciiChar const*, AsciiChar const*, AsciiChar const*) noexcept override {
        return nullptr;
    }
    bool deregisterCreator(IPluginCreator const&) noexcept override { return false; }

private:
    maskrt::Creator<BuiltInRoiAlign> roi_align_;
    std::vector<IPluginCreatorInterface*> creators_{&roi_align_};
};

}  // namespace mock

extern "C" nvinfer1::IPluginRegistry* getPluginRegistry() noexcept {
    static mock::Registry registry;
    return &registry;
}
extern "C" int32_t getInferLibVersion() noexcept { return NV_TENSORRT_VERSION; }
nvinfer1::safe::IPluginRegistry* nvinfer1::getBuilderSafePluginRegistry(nvinfer1::EngineCapability) noexcept {
    return nullptr;
}
