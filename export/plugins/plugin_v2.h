// An operator as an IPluginV2DynamicExt, for TensorRT 8.6, which has nothing newer.
#pragma once

#include <cstring>

#include "plugin_blob.h"
#include "plugin_fields.h"
#include "plugin_log.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"  // IPluginV2 is, and must be named nonetheless

namespace maskrt {

template <class Operator>
class Plugin final : public nvinfer1::IPluginV2DynamicExt {
public:
    explicit Plugin(Operator const& op) : op_(op) {}

    Plugin* clone() const noexcept override {
        Plugin* copy = nullptr;
        guarded(Operator::kName, [&] { copy = new Plugin(*this); });
        return copy;
    }
    void destroy() noexcept override { delete this; }
    int32_t initialize() noexcept override { return 0; }
    void terminate() noexcept override {}

    nvinfer1::AsciiChar const* getPluginType() const noexcept override { return Operator::kName; }
    nvinfer1::AsciiChar const* getPluginVersion() const noexcept override { return kPluginVersion; }
    nvinfer1::AsciiChar const* getPluginNamespace() const noexcept override { return kPluginNamespace; }
    void setPluginNamespace(nvinfer1::AsciiChar const*) noexcept override {}  // ours is in the nodes

    int32_t getNbOutputs() const noexcept override { return Operator::kOutputs; }

    nvinfer1::DataType getOutputDataType(int32_t index, nvinfer1::DataType const* inputs,
                                         int32_t) const noexcept override {
        return op_.output_type(index, inputs);
    }

    nvinfer1::DimsExprs getOutputDimensions(int32_t index, nvinfer1::DimsExprs const* inputs, int32_t count,
                                            nvinfer1::IExprBuilder& builder) noexcept override {
        nvinfer1::DimsExprs shape{};
        bool const known =
            guarded(Operator::kName, [&] { shape = op_.output_shape(index, inputs, count, builder); });
        if (!known) shape.nbDims = -1;  // set afterwards: g++ 12 -O2 drops it before a call that throws
        return shape;
    }

    bool supportsFormatCombination(int32_t position, nvinfer1::PluginTensorDesc const* tensors, int32_t,
                                   int32_t) noexcept override {
        bool supported = false;
        guarded(Operator::kName, [&] {
            std::vector<TensorKind> kinds;
            for (int i = 0; i <= position; ++i) kinds.push_back({tensors[i].type, tensors[i].format});
            supported = op_.supports(position, kinds.data());
        });
        return supported;
    }

    // This interface cannot refuse here; a refused configuration fails when it is run, for timing at the latest.
    void configurePlugin(nvinfer1::DynamicPluginTensorDesc const* inputs, int32_t count,
                         nvinfer1::DynamicPluginTensorDesc const*, int32_t) noexcept override {
        refused_ = !guarded(Operator::kName, [&] { op_.check(shapes_of(inputs, count)); });
    }

    size_t getWorkspaceSize(nvinfer1::PluginTensorDesc const* inputs, int32_t count,
                            nvinfer1::PluginTensorDesc const*, int32_t) const noexcept override {
        size_t bytes = 0;
        guarded(Operator::kName, [&] { bytes = op_.workspace_bytes(shapes_of(inputs, count).dims); });
        return bytes;
    }

    int32_t enqueue(nvinfer1::PluginTensorDesc const* descriptions, nvinfer1::PluginTensorDesc const*,
                    void const* const* inputs, void* const* outputs, void* workspace,
                    cudaStream_t stream) noexcept override {
        if (refused_) return 1;  // said why in configurePlugin
        return guarded(Operator::kName, [&] { op_.enqueue(descriptions, inputs, outputs, workspace, stream); }) ? 0
                                                                                                                : 1;
    }

    size_t getSerializationSize() const noexcept override {
        size_t bytes = 0;
        guarded(Operator::kName, [&] { bytes = pack_fields(op_.fields()).size(); });
        return bytes;
    }

    void serialize(void* buffer) const noexcept override {
        guarded(Operator::kName, [&] {
            std::string const blob = pack_fields(op_.fields());
            std::memcpy(buffer, blob.data(), blob.size());
        });
    }

private:
    // The overloads that IPluginV2DynamicExt declares obsolete, named so that overriding the others hides nothing.
    using nvinfer1::IPluginV2::enqueue;
    using nvinfer1::IPluginV2::getOutputDimensions;
    using nvinfer1::IPluginV2::getWorkspaceSize;
    using nvinfer1::IPluginV2Ext::configurePlugin;

    Operator op_;
    bool refused_ = false;
};

template <class Operator>
class Creator final : public nvinfer1::IPluginCreator {
public:
    Creator()
        : fields_(Operator::declared_fields()), collection_{static_cast<int32_t>(fields_.size()), fields_.data()} {}

    nvinfer1::IPluginV2* createPlugin(nvinfer1::AsciiChar const*,
                                      nvinfer1::PluginFieldCollection const* fields) noexcept override {
        nvinfer1::IPluginV2* plugin = nullptr;
        guarded(Operator::kName, [&] { plugin = new Plugin<Operator>(Operator(Fields(fields))); });
        return plugin;
    }

    nvinfer1::IPluginV2* deserializePlugin(nvinfer1::AsciiChar const* name, void const* data,
                                           size_t size) noexcept override {
        nvinfer1::IPluginV2* plugin = nullptr;
        guarded(Operator::kName, [&] {
            UnpackedFields const unpacked(data, size);
            plugin = createPlugin(name, unpacked.collection());
        });
        return plugin;
    }

    nvinfer1::PluginFieldCollection const* getFieldNames() noexcept override { return &collection_; }
    nvinfer1::AsciiChar const* getPluginName() const noexcept override { return Operator::kName; }
    nvinfer1::AsciiChar const* getPluginVersion() const noexcept override { return kPluginVersion; }
    nvinfer1::AsciiChar const* getPluginNamespace() const noexcept override { return kPluginNamespace; }
    void setPluginNamespace(nvinfer1::AsciiChar const*) noexcept override {}

private:
    std::vector<nvinfer1::PluginField> fields_;
    nvinfer1::PluginFieldCollection collection_;
};

}  // namespace maskrt

#pragma GCC diagnostic pop
