// What the .cu files need of CUDA, on a CPU. Included before them, it lets g++ compile them unchanged, and that with
// the branches that are a GPU's. How threads run and wait for each other: emulated.cpp.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string_view>

#define __CUDACC__
#define __CUDA_ARCH__ 900
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static __attribute__((section("shared_memory")))

struct dim3 {
    unsigned x, y = 1;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
enum cudaError_t { cudaSuccess, cudaErrorInvalidValue };
using cudaStream_t = struct EmulatedStream const*;

extern thread_local dim3 threadIdx, blockIdx, blockDim;
void __syncthreads();
unsigned __ballot_sync(unsigned lanes, bool vote);
cudaError_t cudaLaunchKernel(void const* kernel, dim3 grid, dim3 block, void** arguments, size_t, cudaStream_t stream);

template <class To, class From>
To bits_as(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    std::memcpy(&to, &from, sizeof to);
    return to;
}

inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline float __int_as_float(int bits) { return bits_as<float>(bits); }
inline unsigned __float_as_uint(float value) { return bits_as<unsigned>(value); }
inline int __popcll(unsigned long long word) { return __builtin_popcountll(word); }

template <class T>
T __ldg(T const* address) {
    return *address;
}

// The two instructions that storage.h writes in assembly; both call their operands `value` and `half`.
inline void convert(std::string_view instruction, float& value, unsigned short& half) {
    if (instruction == R"("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(half))")
        value = static_cast<float>(bits_as<_Float16>(half));
    else if (instruction == R"("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(value))")
        half = bits_as<unsigned short>(static_cast<_Float16>(value));
    else
        std::abort();
}
