// How features and pooled values lie in memory: FP32 linear (N, C, H, W), and FP16 channels-last with the channels
// padded to a multiple of 8 (N, H, W, C/8, 8), TensorRT's kHWC8. A kernel sees both as vectors of kWidth values: a
// "group" is one vector's worth of channels, an index counts vectors. Values are float32 inside.
//
// FP16 linear is not taken: a thread would load one value where it now loads eight. By the machine code for compute
// capability 9.0 that is 8 times the loads and 2.3 times the instructions a sample and channel (27 against 94 / 8).
// TensorRT reformats what comes linear, once a map; with both on offer it would choose by times over data of its own.
#pragma once

#include "block.h"

namespace maskrt {

using HalfBits = unsigned short;

MASKRT_HD float float_from_half(HalfBits half) {
#ifdef __CUDA_ARCH__
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(half));
    return value;
#else
    int const exponent = half >> 10 & 31, mantissa = half & 1023;
    float magnitude;
    if (exponent == 31)
        magnitude = mantissa ? NAN : INFINITY;
    else if (exponent == 0)
        magnitude = std::ldexp(static_cast<float>(mantissa), -24);
    else
        magnitude = std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
    return half & 0x8000 ? -magnitude : magnitude;
#endif
}

// Rounds to nearest, ties to even; 65520 and more becomes infinity.
MASKRT_HD HalfBits half_from_float(float value) {
#ifdef __CUDA_ARCH__
    HalfBits half;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(value));
    return half;
#else
    HalfBits const sign = std::signbit(value) ? 0x8000 : 0;
    float const magnitude = std::fabs(value);
    if (std::isnan(value)) return sign | 0x7e00;
    if (magnitude >= 65520.0f) return sign | 0x7c00;
    int const scale = magnitude < 0x1p-14f ? -24 : std::ilogb(magnitude) - 10;  // of the last bit, as a power of two
    int const units = static_cast<int>(std::nearbyint(std::ldexp(magnitude, -scale)));
    return sign | static_cast<HalfBits>(units + (scale + 24) * 1024);  // a carry walks into the exponent by itself
#endif
}

// One read of device memory that no kernel of this launch writes.
template <class Vector>
MASKRT_HD Vector load(char const* address) {
    Vector const* const vector = reinterpret_cast<Vector const*>(address);
#ifdef __CUDA_ARCH__
    if constexpr (sizeof(Vector) == 16) {
        uint4 const words = __ldg(reinterpret_cast<uint4 const*>(vector));
        return {{words.x, words.y, words.z, words.w}};
    } else {
        return __ldg(vector);
    }
#else
    return *vector;
#endif
}

struct LinearFloat {
    static constexpr int kWidth = 1;
    static constexpr bool kChannelsLast = false;
    using Vector = float;

    MASKRT_HD static void unpack(Vector const& vector, float (&values)[kWidth]) { values[0] = vector; }
    MASKRT_HD static Vector pack(float const (&values)[kWidth]) { return values[0]; }
};

struct ChannelsLastHalf {
    static constexpr int kWidth = 8;
    static constexpr bool kChannelsLast = true;
    struct alignas(16) Vector {  // one 16-byte load or store
        unsigned pair[4];
    };

    MASKRT_HD static void unpack(Vector const& vector, float (&values)[kWidth]) {
        for (int i = 0; i < kWidth; ++i)
            values[i] = float_from_half(static_cast<HalfBits>(vector.pair[i / 2] >> 16 * (i % 2)));
    }
    MASKRT_HD static Vector pack(float const (&values)[kWidth]) {
        Vector vector;
        for (int i = 0; i < 4; ++i)
            vector.pair[i] =
                half_from_float(values[2 * i]) | static_cast<unsigned>(half_from_float(values[2 * i + 1])) << 16;
        return vector;
    }
};

}  // namespace maskrt
