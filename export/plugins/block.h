// Kernels as block programs: one source that runs as CUDA threads on a GPU and as plain loops on a CPU.
//
// A block program is a function of a `block`. It states its phases with `block.parallel(f)`: f(thread) runs once
// for every thread of the block, and all of them have finished before the next phase begins. What outlives a phase
// lies in shared memory or is the same in every thread. On a GPU a phase is the lambda followed by a barrier; on a
// CPU it is a loop over the threads. So the host build runs the very index arithmetic of the kernels, and running
// its threads backwards shows a phase whose result depends on the order.
#pragma once

#ifdef __CUDACC__
#define MASKRT_HD __host__ __device__ __forceinline__
#define MASKRT_PROGRAM __device__ __forceinline__
#else
#define MASKRT_HD inline
#define MASKRT_PROGRAM inline
#endif

#ifndef __CUDACC_RTC__  // the run-time compiler knows these functions by itself and has no headers
#include <cmath>
#include <cstddef>
#include <cstring>
#endif

namespace maskrt {

// Products, quotients and roots that no compiler may fuse or approximate. Everything that decides *where* a sample
// lies or *whether* a box goes is computed with these, so that a GPU takes the same decisions as PyTorch on a CPU.
// (Additions need no such guard: only a product can be fused with one.)
MASKRT_HD float mul_rn(float a, float b) {
#ifdef __CUDA_ARCH__
    return __fmul_rn(a, b);
#else
    return a * b;
#endif
}

MASKRT_HD float div_rn(float a, float b) {
#ifdef __CUDA_ARCH__
    return __fdiv_rn(a, b);
#else
    return a / b;
#endif
}

MASKRT_HD float sqrt_rn(float a) {
#ifdef __CUDA_ARCH__
    return __fsqrt_rn(a);
#else
    return std::sqrt(a);
#endif
}

MASKRT_HD float infinity() {
#ifdef __CUDA_ARCH__
    return __int_as_float(0x7f800000);
#else
    return INFINITY;
#endif
}

MASKRT_HD float not_a_number() { return infinity() - infinity(); }

// Bits that order as unsigned integers the way the floats order; -0 and +0 are the same.
MASKRT_HD unsigned ordered_bits(float value) {
#ifdef __CUDA_ARCH__
    unsigned const bits = __float_as_uint(value + 0.0f);
#else
    unsigned bits;
    value += 0.0f;
    std::memcpy(&bits, &value, sizeof bits);
#endif
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

// As std::max and std::min treat NaN: the second argument is taken only if the comparison holds.
template <class T>
MASKRT_HD T larger(T a, T b) {
    return a < b ? b : a;
}

template <class T>
MASKRT_HD T smaller(T a, T b) {
    return b < a ? b : a;
}

MASKRT_HD int ceil_div(int a, int b) { return (a + b - 1) / b; }

using Word = unsigned long long;  // one bit a row of a 64-row chunk
constexpr int kWordBits = 64;

MASKRT_HD bool bit(Word word, int index) { return (word >> index) & 1; }

MASKRT_HD int count_bits(Word word) {
#ifdef __CUDA_ARCH__
    return __popcll(word);
#else
    return __builtin_popcountll(word);
#endif
}

struct Grid {
    int x, y, threads;
};

#ifdef __CUDACC__
struct GpuBlock {
    int x, y, threads;
    unsigned (*votes)[2];  // two words, used in turn: see ballot64
    int turn;

    template <class F>
    __device__ void parallel(F const& f) {
        f(static_cast<int>(threadIdx.x));
        __syncthreads();
    }

    // f(thread) of threads 0 to 63 as a word that every thread gets. Two buffers make one barrier enough: a thread
    // that already writes the next vote cannot touch what a slower one still reads, and to come round to the same
    // buffer again it has to pass the barrier of the vote between.
    template <class F>
    __device__ Word ballot64(F const& f) {
        int const thread = static_cast<int>(threadIdx.x);
        unsigned const half = __ballot_sync(0xffffffffu, thread < kWordBits && f(thread));
        if (thread < kWordBits && thread % 32 == 0) votes[turn][thread / 32] = half;
        __syncthreads();
        Word const word = static_cast<Word>(votes[turn][1]) << 32 | votes[turn][0];
        turn ^= 1;
        return word;
    }
};
#else
struct CpuBlock {
    int x, y, threads;
    bool backwards;  // run the threads in the opposite order

    template <class F>
    void parallel(F const& f) const {
        for (int i = 0; i < threads; ++i) f(backwards ? threads - 1 - i : i);
    }

    template <class F>
    Word ballot64(F const& f) const {
        Word word = 0;
        for (int i = 0; i < kWordBits; ++i) word |= static_cast<Word>(f(i)) << i;
        return word;
    }
};
#endif

}  // namespace maskrt
