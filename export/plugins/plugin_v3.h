// An operator as an IPluginV3 (TensorRT 10.0 and later): one object with the core, build and runtime capabilities.
#pragma once

#include "plugin_fields.h"
#include "plugin_log.h"

namespace maskrt {

template <class Operator>
class Plugin final : public nvinfer1::IPluginV3,
                     public nvinfer1::IPluginV3OneCore,
                     public nvinfer1::IPluginV3OneBuild,
                     public nvinfer1::IPluginV3OneRuntime {
public:
    explicit Plugin(Operator const& op) : op_(op), timing_id_(Operator::kName + (" " + to_text(op.fields()))) {}
    Plugin(Plugin const& other) : Plugin(other.op_) {}  // fields_ points into its own object

    nvinfer1::IPluginCapability* getCapabilityInterface(nvinfer1::PluginCapabilityType type) noexcept override {
        switch (type) {
            case nvinfer1::PluginCapabilityType::kCORE: return static_cast<nvinfer1::IPluginV3OneCore*>(this);
            case nvinfer1::PluginCapabilityType::kBUILD: return static_cast<nvinfer1::IPluginV3OneBuild*>(this);
            case nvinfer1::PluginCapabilityType::kRUNTIME: return static_cast<nvinfer1::IPluginV3OneRuntime*>(this);
        }
        return nullptr;
    }

    nvinfer1::IPluginV3* clone() noexcept override {
        nvinfer1::IPluginV3* copy = nullptr;
        guarded(Operator::kName, [&] { copy = new Plugin(*this); });
        return copy;
    }

    nvinfer1::AsciiChar const* getPluginName() const noexcept override { return Operator::kName; }
    nvinfer1::AsciiChar const* getPluginVersion() const noexcept override { return kPluginVersion; }
    nvinfer1::AsciiChar const* getPluginNamespace() const noexcept override { return kPluginNamespace; }

    int32_t getNbOutputs() const noexcept override { return Operator::kOutputs; }

    int32_t getOutputDataTypes(nvinfer1::DataType* types, int32_t count, nvinfer1::DataType const* inputs,
                               int32_t) const noexcept override {
        for (int i = 0; i < count; ++i) types[i] = op_.output_type(i, inputs);
        return 0;
    }

    int32_t getOutputShapes(nvinfer1::DimsExprs const* inputs, int32_t input_count, nvinfer1::DimsExprs const*,
                            int32_t, nvinfer1::DimsExprs* outputs, int32_t output_count,
                            nvinfer1::IExprBuilder& builder) noexcept override {
        return status([&] {
            for (int i = 0; i < output_count; ++i) outputs[i] = op_.output_shape(i, inputs, input_count, builder);
        });
    }

    bool supportsFormatCombination(int32_t position, nvinfer1::DynamicPluginTensorDesc const* tensors, int32_t,
                                   int32_t) noexcept override {
        bool supported = false;
        guarded(Operator::kName, [&] {
            std::vector<TensorKind> kinds;
            for (int i = 0; i <= position; ++i) kinds.push_back({tensors[i].desc.type, tensors[i].desc.format});
            supported = op_.supports(position, kinds.data());
        });
        return supported;
    }

    int32_t configurePlugin(nvinfer1::DynamicPluginTensorDesc const* inputs, int32_t count,
                            nvinfer1::DynamicPluginTensorDesc const*, int32_t) noexcept override {
        return status([&] { op_.check(shapes_of(inputs, count)); });
    }

    size_t getWorkspaceSize(nvinfer1::DynamicPluginTensorDesc const* inputs, int32_t count,
                            nvinfer1::DynamicPluginTensorDesc const*, int32_t) const noexcept override {
        size_t bytes = 0;
        guarded(Operator::kName, [&] { bytes = op_.workspace_bytes(shapes_of(inputs, count).dims); });
        return bytes;
    }

    // What TensorRT timed is found again in its cache under the shapes, the formats, and this: all that the plugin's
    // work depends on besides.
    char const* getTimingCacheID() noexcept override { return timing_id_.c_str(); }

    int32_t onShapeChange(nvinfer1::PluginTensorDesc const* inputs, int32_t count, nvinfer1::PluginTensorDesc const*,
                          int32_t) noexcept override {
        return status([&] { op_.check(shapes_of(inputs, count)); });
    }

    int32_t enqueue(nvinfer1::PluginTensorDesc const* descriptions, nvinfer1::PluginTensorDesc const*,
                    void const* const* inputs, void* const* outputs, void* workspace,
                    cudaStream_t stream) noexcept override {
        return status([&] { op_.enqueue(descriptions, inputs, outputs, workspace, stream); });
    }

    nvinfer1::IPluginV3* attachToContext(nvinfer1::IPluginResourceContext*) noexcept override { return clone(); }

    nvinfer1::PluginFieldCollection const* getFieldsToSerialize() noexcept override {
        bool const listed = guarded(Operator::kName, [&] { fields_ = op_.fields(); });
        collection_ = {static_cast<int32_t>(fields_.size()), fields_.data()};
        return listed ? &collection_ : nullptr;
    }

private:
    template <class F>
    static int32_t status(F const& f) noexcept {
        return guarded(Operator::kName, f) ? 0 : 1;
    }

    Operator op_;
    std::string timing_id_;
    std::vector<nvinfer1::PluginField> fields_;
    nvinfer1::PluginFieldCollection collection_{};
};

template <class Operator>
class Creator final : public nvinfer1::IPluginCreatorV3One {
public:
    Creator()
        : fields_(Operator::declared_fields()), collection_{static_cast<int32_t>(fields_.size()), fields_.data()} {}

    nvinfer1::IPluginV3* createPlugin(nvinfer1::AsciiChar const*, nvinfer1::PluginFieldCollection const* fields,
                                      nvinfer1::TensorRTPhase) noexcept override {
        nvinfer1::IPluginV3* plugin = nullptr;
        guarded(Operator::kName, [&] { plugin = new Plugin<Operator>(Operator(Fields(fields))); });
        return plugin;
    }

    nvinfer1::PluginFieldCollection const* getFieldNames() noexcept override { return &collection_; }
    nvinfer1::AsciiChar const* getPluginName() const noexcept override { return Operator::kName; }
    nvinfer1::AsciiChar const* getPluginVersion() const noexcept override { return kPluginVersion; }
    nvinfer1::AsciiChar const* getPluginNamespace() const noexcept override { return kPluginNamespace; }

private:
    std::vector<nvinfer1::PluginField> fields_;
    nvinfer1::PluginFieldCollection collection_;
};

}  // namespace maskrt
