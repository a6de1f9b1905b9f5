// The part of plugin_probe.cpp that speaks IPluginV3 (TensorRT 10.0 and later).
#pragma once

static IPluginV3* make(CreatorType* creator, std::vector<PluginField> const& fields) {
    PluginFieldCollection const collection{static_cast<int32_t>(fields.size()), fields.data()};
    return creator->createPlugin("probe", &collection, TensorRTPhase::kBUILD);
}

template <class Capability>
static Capability* capability(IPluginV3* plugin, PluginCapabilityType type) {
    return static_cast<Capability*>(plugin->getCapabilityInterface(type));
}

// Equal fields, which is all that an engine keeps of a plugin.
static bool same(IPluginV3* a, IPluginV3* b) {
    PluginFieldCollection const* const left =
        capability<IPluginV3OneRuntime>(a, PluginCapabilityType::kRUNTIME)->getFieldsToSerialize();
    PluginFieldCollection const* const right =
        capability<IPluginV3OneRuntime>(b, PluginCapabilityType::kRUNTIME)->getFieldsToSerialize();
    bool equal = left->nbFields == right->nbFields && left != right;
    for (int i = 0; equal && i < left->nbFields; ++i) {
        PluginField const &l = left->fields[i], &r = right->fields[i];
        size_t const bytes = static_cast<size_t>(l.length) * (l.type == PluginFieldType::kCHAR ? 1 : 4);
        equal = std::strcmp(l.name, r.name) == 0 && l.type == r.type && l.length == r.length && l.data != r.data &&
                std::memcmp(l.data, r.data, bytes) == 0;
    }
    return equal;
}

struct Probe {
    IPluginV3* plugin;
    IPluginV3OneBuild* build;

    Probe(CreatorType* creator, std::vector<PluginField> const& fields)
        : plugin(make(creator, fields)), build(capability<IPluginV3OneBuild>(plugin, PluginCapabilityType::kBUILD)) {
        auto* const runtime = capability<IPluginV3OneRuntime>(plugin, PluginCapabilityType::kRUNTIME);
        auto* const core = capability<IPluginV3OneCore>(plugin, PluginCapabilityType::kCORE);
        std::printf("plugin %s %s %s %d\n", core->getPluginName(), core->getPluginVersion(),
                    core->getPluginNamespace(), build->getNbOutputs());
        IPluginV3* const copy = plugin->clone();
        IPluginV3* const attached = runtime->attachToContext(nullptr);
        IPluginV3* const restored =
            creator->createPlugin("probe", runtime->getFieldsToSerialize(), TensorRTPhase::kRUNTIME);
        check(same(plugin, copy), "clone is the same");
        check(same(plugin, attached), "attached is the same");
        check(same(plugin, restored), "restored is the same");
        std::printf("timing %s\n", build->getTimingCacheID());
        delete copy;
        delete attached;
        delete restored;
    }
    ~Probe() { delete plugin; }

    void formats(std::vector<Tensor> const& tensors) {
        std::vector<Desc> descs;
        for (Tensor const& tensor : tensors) descs.push_back(desc_of(tensor));
        std::printf("formats");
        for (int i = 0; i < static_cast<int>(descs.size()); ++i)
            std::printf(" %d", build->supportsFormatCombination(
                                   i, descs.data(), static_cast<int>(descs.size()) - build->getNbOutputs(),
                                   build->getNbOutputs()));
        std::printf("\n");
    }

    // First extents are wildcards with upper bounds of their own.
    void bounds(std::vector<Tensor> const& tensors, int inputs) {
        std::vector<Desc> descs;
        for (Tensor const& tensor : tensors) {
            descs.push_back(desc_of(tensor));
            descs.back().desc.dims.d[0] = -1;
            descs.back().min.d[0] = 1;
        }
        check(build->configurePlugin(descs.data(), inputs, descs.data() + inputs, build->getNbOutputs()) == 0,
              "bounds taken");
    }

    void shapes(std::vector<Tensor> const& tensors, int inputs) {
        std::vector<DimsExprs> const exprs = exprs_of(tensors);
        std::vector<DimsExprs> outputs(static_cast<size_t>(build->getNbOutputs()));
        std::vector<DataType> types, input_types;
        for (Tensor const& tensor : tensors) input_types.push_back(tensor.type);
        types.resize(outputs.size());
        Builder builder;
        bool const known = build->getOutputShapes(exprs.data(), inputs, nullptr, 0, outputs.data(),
                                                  build->getNbOutputs(), builder) == 0;
        build->getOutputDataTypes(types.data(), build->getNbOutputs(), input_types.data(), inputs);
        for (size_t i = 0; known && i < outputs.size(); ++i)
            print("shape", outputs[i]), std::printf("type %d\n", static_cast<int>(types[i]));
        std::vector<Desc> descs;
        for (Tensor const& tensor : tensors) descs.push_back(desc_of(tensor));
        check(
            known && build->configurePlugin(descs.data(), inputs, descs.data() + inputs, build->getNbOutputs()) == 0,
            "configured");
        std::printf("workspace %zu\n",
                    build->getWorkspaceSize(descs.data(), inputs, descs.data() + inputs, build->getNbOutputs()));
    }
};
