// The .cu files on a CPU: one std::thread a CUDA thread, std::barrier where threads of a block or warp wait for each
// other. Each copy of the built library is a multiprocessor: its static variables are the shared memory of the block
// that it runs, so several copies run several blocks at once.
#include <atomic>
#include <barrier>
#include <memory>
#include <thread>
#include <vector>

#include "cuda_runtime_api.h"

#define asm(...) convert(#__VA_ARGS__, value, half)
#include "deform_conv.cu"
#include "nms.cu"
#include "roi_align.cu"
#undef asm

thread_local dim3 threadIdx, blockIdx, blockDim;
extern "C" __attribute__((visibility("hidden"))) unsigned __start_shared_memory, __stop_shared_memory;  // the linker's

// A launch on one of the multiprocessors.
struct EmulatedStream {
    int part, parts;            // of the blocks this copy runs number `part`, and every `parts`th from there
    std::barrier<>* all_parts;  // met at the end of every kernel, so that the next one finds all blocks done
    int late;                   // a thread that goes on only once all others of its block wait; -1: none
    int dropped;                // which __syncthreads of each block is left out, a fault; -1: none
    void (*call)(void const* kernel, void** arguments);
};

namespace {

// A block finds there neither what another one left nor the zeros of a fresh program. All of it belongs to one section,
// with gaps between its variables where AddressSanitizer watches.
__attribute__((no_sanitize_address)) void poison_shared_memory() {
    for (unsigned volatile* word = &__start_shared_memory; word < &__stop_shared_memory; ++word) *word = 0xa5a5a5a5;
}

// The threads of a multiprocessor, which run its blocks one after the other.
class Threads {
    struct Met {
        Threads& all;
        int threads;
        bool new_block;
        void operator()() const noexcept {
            if (all.stream_.late >= 0) all.waiting_ -= threads;
            if (new_block) poison_shared_memory();
        }
    };
    using Barrier = std::barrier<Met>;

    EmulatedStream const& stream_;
    int count_;
    std::atomic<int> waiting_ = 0;
    Barrier block_begins_, block_;
    std::vector<std::unique_ptr<Barrier>> warps_;
    std::vector<unsigned> votes_;

    // Without a late thread nothing orders the threads but the barrier, whose sufficiency ThreadSanitizer judges.
    void meet(Barrier& barrier) {
        if (stream_.late >= 0) ++waiting_;
        barrier.arrive_and_wait();
        if (static_cast<int>(threadIdx.x) == stream_.late)
            while (waiting_ < count_ - 1) std::this_thread::yield();
    }

    void run_blocks(unsigned thread, void const* kernel, dim3 grid, void** arguments) {
        threadIdx = {thread, 0}, blockDim = {static_cast<unsigned>(count_), 1}, current = this;
        for (unsigned i = stream_.part; i < grid.x * grid.y; i += stream_.parts) {
            blockIdx = {i % grid.x, i / grid.x};
            barriers_passed = 0;
            meet(block_begins_);
            stream_.call(kernel, arguments);
        }
        ++waiting_;  // for good
    }

public:
    static thread_local Threads* current;
    static thread_local int barriers_passed;

    Threads(EmulatedStream const& stream, int count)
        : stream_(stream), count_(count), block_begins_(count, {*this, count, true}), block_(count, {*this, count, false}),
          votes_(count) {
        for (int i = 0; i < count / 32; ++i) warps_.push_back(std::make_unique<Barrier>(32, Met{*this, 32, false}));
    }

    void run(void const* kernel, dim3 grid, void** arguments) {
        std::vector<std::thread> threads;
        for (int i = 0; i < count_; ++i) threads.emplace_back(&Threads::run_blocks, this, i, kernel, grid, arguments);
        for (std::thread& thread : threads) thread.join();
    }

    void synchronize() {
        if (barriers_passed++ != stream_.dropped) meet(block_);
    }

    unsigned ballot(bool vote) {
        unsigned const warp = threadIdx.x / 32;
        votes_[threadIdx.x] = vote;
        meet(*warps_[warp]);
        unsigned word = 0;
        for (unsigned lane = 0; lane < 32; ++lane) word |= votes_[32 * warp + lane] << lane;
        meet(*warps_[warp]);
        return word;
    }
};

thread_local Threads* Threads::current;
thread_local int Threads::barriers_passed;

template <class Params>
void call(void const* kernel, void** arguments) {
    reinterpret_cast<void (*)(Params)>(const_cast<void*>(kernel))(*static_cast<Params*>(arguments[0]));
}

}  // namespace

void __syncthreads() { Threads::current->synchronize(); }

unsigned __ballot_sync(unsigned, bool vote) { return Threads::current->ballot(vote); }

cudaError_t cudaLaunchKernel(void const* kernel, dim3 grid, dim3 block, void** arguments, size_t,
                             cudaStream_t stream) {
    Threads(*stream, static_cast<int>(block.x)).run(kernel, grid, arguments);
    stream->all_parts->arrive_and_wait();
    return cudaSuccess;
}

#define EXPORT __attribute__((visibility("default")))

extern "C" {

EXPORT std::barrier<>* emulated_barrier(int parts) { return new std::barrier<>(parts); }
EXPORT void emulated_free(std::barrier<>* barrier) { delete barrier; }

EXPORT int emulated_roi_align(RoiAlignParams const* params, int storage, int max, EmulatedStream stream) {
    stream.call = call<RoiAlignParams>;
    return launch_roi_align(static_cast<FeatureStorage>(storage), max, *params, &stream);
}

EXPORT int emulated_deform_conv(DeformConvParams const* params, int storage, EmulatedStream stream) {
    stream.call = call<DeformConvParams>;
    return launch_deform_conv(static_cast<FeatureStorage>(storage), *params, &stream);
}

EXPORT int emulated_grouped_nms(NmsParams const* params, EmulatedStream stream) {
    stream.call = call<NmsParams>;
    return launch_grouped_nms(*params, &stream);
}

}  // extern "C"
