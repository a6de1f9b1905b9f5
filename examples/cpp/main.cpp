// Runs one picture through an engine of maskrt, without Python: the smallest complete program.
//
//   maskrt engine unpack model.engine -o model.plan
//   maskrt_infer model.plan libmaskrt_plugins.so picture.ppm 800 1333
//
// The two numbers are contract.canvas.min_size_px and max_size_px of `maskrt engine inspect model.engine --json`. The
// rest of contract.canvas must be placement "corner", resize "torch", rounding "down", stride 32: what canvas.h does,
// and what torchvision's models have and those trained here. Another project's have other rules (docs/checkpoints.md,
// "Whose pixels"), and find other things by these.
// Instead of the library "-" says that the plan carries it ("plugin_embedded": true) or needs none ("operators":
// "body"). One source for TensorRT 8.6 and 10.3 to 11.
#include <NvInfer.h>
#include <NvInferPlugin.h>
#include <cuda_runtime_api.h>

#include <cstdio>
#include <exception>
#include <map>
#include <memory>

#include "canvas.h"
#include "loading.h"

namespace {

constexpr int kStride = 32;  // contract.canvas.stride

class Logger final : public nvinfer1::ILogger {
    void log(Severity severity, nvinfer1::AsciiChar const* message) noexcept override {
        if (severity <= Severity::kWARNING) std::fprintf(stderr, "TensorRT: %s\n", message);
    }
};

void check(cudaError_t status, char const* call) {
    if (status != cudaSuccess)
        throw std::runtime_error(std::string(call) + ": " + cudaGetErrorName(status) + ", " +
                                 cudaGetErrorString(status));
}

void expect(bool holds, std::string const& message) {
    if (!holds) throw std::runtime_error(message);
}

std::vector<char> read_file(std::string const& path) {
    std::ifstream file(path, std::ios::binary);
    expect(static_cast<bool>(file), path + ": cannot be read");
    return {std::istreambuf_iterator<char>(file), {}};
}

size_t element_bytes(nvinfer1::DataType type) { return type == nvinfer1::DataType::kUINT8 ? 1 : 4; }

// A tensor on the GPU, and room for it on the host.
struct Buffer {
    void* device = nullptr;
    std::vector<char> host;

    explicit Buffer(size_t bytes) : host(bytes) { check(cudaMalloc(&device, bytes), "cudaMalloc"); }
    ~Buffer() { cudaFree(device); }
    Buffer(Buffer const&) = delete;
    Buffer& operator=(Buffer const&) = delete;

    template <class T>
    T const* as() const {
        return reinterpret_cast<T const*>(host.data());
    }
};

using Buffers = std::map<std::string, std::unique_ptr<Buffer>>;

// Binds every tensor of the engine to a buffer; the inputs' shapes must have been set.
Buffers bind(nvinfer1::ICudaEngine& engine, nvinfer1::IExecutionContext& context) {
    Buffers buffers;
    for (int i = 0; i < engine.getNbIOTensors(); ++i) {
        char const* name = engine.getIOTensorName(i);
        nvinfer1::Dims const shape = context.getTensorShape(name);
        size_t bytes = element_bytes(engine.getTensorDataType(name));
        for (int d = 0; d < shape.nbDims; ++d) bytes *= static_cast<size_t>(shape.d[d]);
        auto buffer = std::make_unique<Buffer>(bytes);
        expect(context.setTensorAddress(name, buffer->device), std::string(name) + ": its buffer is refused");
        buffers.emplace(name, std::move(buffer));
    }
    return buffers;
}

void run(std::string const& plan_path, std::string const& plugins, std::string const& picture, int min_size,
         int max_size) {
    expect_tensorrt(static_cast<int>(NV_TENSORRT_VERSION), getInferLibVersion());
    std::string const library = plugins == "-" ? plugins : library_path(plugins);
    check(cudaSetDevice(0), "cudaSetDevice");  // before TensorRT, some versions of which crash without a GPU
    Logger logger;
    initLibNvInferPlugins(&logger, "");  // the function bodies use TensorRT's own RoiAlign
    std::unique_ptr<nvinfer1::IRuntime> runtime(nvinfer1::createInferRuntime(logger));
    expect(runtime != nullptr, "TensorRT cannot start; is there a GPU?");
    runtime->setEngineHostCodeAllowed(true);  // the plan may carry the plugin library: load only plans you trust
    if (library != "-")
        expect(runtime->getPluginRegistry().loadLibrary(library.c_str()) != nullptr, library + ": cannot be loaded");

    std::vector<char> const plan = read_file(plan_path);
    std::unique_ptr<nvinfer1::ICudaEngine> engine(runtime->deserializeCudaEngine(plan.data(), plan.size()));
    expect(engine != nullptr, plan_path +
                                  ": TensorRT refuses the plan; it wants the very TensorRT and kind of GPU "
                                  "that built it (maskrt engine inspect)");
    expect(engine->getTensorDataType("images") == nvinfer1::DataType::kUINT8,
           plan_path + ": takes no uint8 canvas; export it with --dtype uint8");

    nvinfer1::Dims const taken = engine->getTensorShape("images");  // N, H, W, 3; -1 where any goes
    auto const fixed = [&](int axis) { return taken.d[axis] > 0 ? static_cast<int>(taken.d[axis]) : 0; };
    expect(fixed(0) <= 1, plan_path + ": is fixed to a larger batch than this example feeds");
    Image const image = read_ppm(picture);
    Canvas const canvas = make_canvas(image, {min_size, max_size, kStride, fixed(1), fixed(2)});

    std::unique_ptr<nvinfer1::IExecutionContext> context(engine->createExecutionContext());
    expect(context != nullptr, "no execution context; the GPU's memory is full");
    bool const taking = context->setInputShape("images", nvinfer1::Dims4(1, canvas.height, canvas.width, 3)) &&
                        context->setInputShape("image_sizes", nvinfer1::Dims2(1, 2));
    expect(taking, "the canvas " + std::to_string(canvas.height) + "x" + std::to_string(canvas.width) +
                       " is outside of the first profile");
    Buffers const buffers = bind(*engine, *context);

    cudaStream_t stream = nullptr;
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    auto const feed = [&](char const* name, void const* data, size_t bytes) {
        check(cudaMemcpyAsync(buffers.at(name)->device, data, bytes, cudaMemcpyHostToDevice, stream),
              "cudaMemcpyAsync");
    };
    float const size[2] = {static_cast<float>(canvas.valid_height), static_cast<float>(canvas.valid_width)};
    feed("images", canvas.rgb.data(), canvas.rgb.size());
    feed("image_sizes", size, sizeof(size));
    expect(context->enqueueV3(stream), "TensorRT could not run the engine");
    for (char const* name : {"num_detections", "boxes", "scores", "labels", "masks"}) {
        Buffer& buffer = *buffers.at(name);
        check(cudaMemcpyAsync(buffer.host.data(), buffer.device, buffer.host.size(), cudaMemcpyDeviceToHost, stream),
              "cudaMemcpyAsync");
    }
    check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
    check(cudaStreamDestroy(stream), "cudaStreamDestroy");

    int const found = *buffers.at("num_detections")->as<int32_t>();
    auto const* boxes = buffers.at("boxes")->as<float>();
    auto const* masks = buffers.at("masks")->as<float>();
    nvinfer1::Dims const mask = context->getTensorShape("masks");  // 1, D, M, M
    int const pixels = static_cast<int>(mask.d[2] * mask.d[3]);
    float const to_x = static_cast<float>(image.width) / canvas.valid_width;
    float const to_y = static_cast<float>(image.height) / canvas.valid_height;
    for (int i = 0; i < found; ++i) {
        float const* box = boxes + 4 * i;
        long const inside =
            std::count_if(masks + pixels * i, masks + pixels * (i + 1), [](float p) { return p > 0.5F; });
        std::printf("class %d, score %.3f, box %.1f %.1f %.1f %.1f, mask fills %.0f%% of it\n",
                    buffers.at("labels")->as<int32_t>()[i], buffers.at("scores")->as<float>()[i], box[0] * to_x,
                    box[1] * to_y, box[2] * to_x, box[3] * to_y, 100. * static_cast<double>(inside) / pixels);
    }
}

}  // namespace

int main(int count, char** arguments) {
    if (count != 6) {
        std::fprintf(stderr, "usage: maskrt_infer MODEL.plan PLUGINS.so|- PICTURE.ppm MIN_SIZE_PX MAX_SIZE_PX\n");
        return 2;
    }
    try {
        run(arguments[1], arguments[2], arguments[3], std::stoi(arguments[4]), std::stoi(arguments[5]));
    } catch (std::exception const& error) {
        std::fprintf(stderr, "maskrt_infer: %s\n", error.what());
        return 2;
    }
    return 0;
}
