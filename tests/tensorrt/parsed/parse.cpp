// What Python calls: the real parser over the mock network, and the real plugin registry.
#include "mock.h"

#include <NvOnnxParser.h>

#if NV_TENSORRT_MAJOR >= 10
#include "registry_10.h"
#endif

#define MASKRT_EXPORT extern "C" __attribute__((visibility("default")))

static mock::Logger logger;

MASKRT_EXPORT bool maskrt_parse(mock::Ask ask, void const* model, std::size_t size) {
    mock::ask = ask;
#if NV_TENSORRT_MAJOR < 10
    initLibNvInferPlugins(&logger, "");
#endif
    static mock::Network network;
    auto* const parser = nvonnxparser::createParser(network, logger);
    bool const parsed = parser->parse(model, size);
    for (int i = 0; i < parser->getNbErrors(); ++i) {
        auto const* error = parser->getError(i);
        mock::Request("Parser", 0, "error")
            .put("node", mock::encode(error->node()))
            .put("text", mock::encode(error->desc()))
            .send<void>();
    }
#if NV_TENSORRT_MAJOR < 10
    parser->destroy();  // not its destructor, which the library of 8.6.0 does not have where the header has it
#else
    delete parser;
#endif
    mock::forget();  // the next network begins at number 0 again
    return parsed;
}

MASKRT_EXPORT bool maskrt_load_library(char const* path) {
    return getPluginRegistry()->loadLibrary(path) != nullptr;
}
