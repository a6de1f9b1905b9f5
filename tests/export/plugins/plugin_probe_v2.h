// The part of plugin_probe.cpp that speaks IPluginV2DynamicExt (TensorRT 8.6).
#pragma once

static IPluginV2DynamicExt* make(CreatorType* creator, std::vector<PluginField> const& fields) {
    PluginFieldCollection const collection{static_cast<int32_t>(fields.size()), fields.data()};
    return static_cast<IPluginV2DynamicExt*>(creator->createPlugin("probe", &collection));
}

static std::string bytes_of(IPluginV2DynamicExt const* plugin) {
    std::string bytes(plugin->getSerializationSize(), '\0');
    plugin->serialize(&bytes[0]);
    return bytes;
}

struct Probe {
    IPluginV2DynamicExt* plugin;

    Probe(CreatorType* creator, std::vector<PluginField> const& fields) : plugin(make(creator, fields)) {
        std::printf("plugin %s %s %s %d\n", plugin->getPluginType(), plugin->getPluginVersion(),
                    plugin->getPluginNamespace(), plugin->getNbOutputs());
        std::string const bytes = bytes_of(plugin);
        auto* const copy = plugin->clone();
        auto* const restored =
            static_cast<IPluginV2DynamicExt*>(creator->deserializePlugin("probe", bytes.data(), bytes.size()));
        check(bytes_of(copy) == bytes, "clone is the same");
        check(copy->initialize() == 0, "attached is the same");
        check(bytes_of(restored) == bytes, "restored is the same");
        copy->terminate();
        copy->destroy();
        restored->destroy();
        check(creator->deserializePlugin("probe", bytes.data(), bytes.size() - 1) == nullptr,
              "truncated bytes are refused");
    }
    ~Probe() { plugin->destroy(); }

    void formats(std::vector<Tensor> const& tensors) {
        std::vector<Desc> descs;
        for (Tensor const& tensor : tensors) descs.push_back(desc_of(tensor));
        std::printf("formats");
        for (int i = 0; i < static_cast<int>(descs.size()); ++i)
            std::printf(" %d", plugin->supportsFormatCombination(
                                   i, descs.data(), static_cast<int>(descs.size()) - plugin->getNbOutputs(),
                                   plugin->getNbOutputs()));
        std::printf("\n");
    }

    // First extents are wildcards with upper bounds of their own. What it refuses is logged, and not run.
    void bounds(std::vector<Tensor> const& tensors, int inputs) {
        std::vector<DynamicPluginTensorDesc> ranges;
        for (Tensor const& tensor : tensors) {
            ranges.push_back({desc_of(tensor), dims_of(tensor), dims_of(tensor)});
            ranges.back().desc.dims.d[0] = -1;
            ranges.back().min.d[0] = 1;
        }
        int const before = messages;
        plugin->configurePlugin(ranges.data(), inputs, ranges.data() + inputs, plugin->getNbOutputs());
        check(messages == before, "bounds taken");
    }

    void shapes(std::vector<Tensor> const& tensors, int inputs) {
        std::vector<DimsExprs> const exprs = exprs_of(tensors);
        std::vector<DataType> types;
        std::vector<Desc> descs;
        std::vector<DynamicPluginTensorDesc> ranges;
        for (Tensor const& tensor : tensors) {
            types.push_back(tensor.type);
            descs.push_back(desc_of(tensor));
            ranges.push_back({desc_of(tensor), dims_of(tensor), dims_of(tensor)});
        }
        Builder builder;
        bool known = true;
        for (int i = 0; i < plugin->getNbOutputs(); ++i) {
            DimsExprs const shape = plugin->getOutputDimensions(i, exprs.data(), inputs, builder);
            known = known && shape.nbDims >= 0;
            if (known)
                print("shape", shape),
                    std::printf("type %d\n", static_cast<int>(plugin->getOutputDataType(i, types.data(), inputs)));
        }
        bool configured = known;
        if (known) plugin->configurePlugin(ranges.data(), inputs, ranges.data() + inputs, plugin->getNbOutputs());
        if (known && tensors[0].shape[1] == 40000)  // what it refused, it does not run
            configured =
                plugin->enqueue(descs.data(), descs.data() + inputs, nullptr, nullptr, nullptr, nullptr) == 0;
        check(configured, "configured");
        std::printf("workspace %zu\n",
                    plugin->getWorkspaceSize(descs.data(), inputs, descs.data() + inputs, plugin->getNbOutputs()));
    }
};
