// DeformConv: the kernels, and their launch. Compiled by nvcc into the plugin, or at run time by NVRTC.
#include "deform_conv_block.h"

using namespace maskrt;

// Eight blocks of 128 threads a multiprocessor: nvcc then keeps to 64 registers, where it took 72 for sm_86 and sm_89.
#define MASKRT_DEFORM_CONV_KERNEL(name, Storage)                                                                 \
    extern "C" __global__ void __launch_bounds__(128, 8) name(DeformConvParams const params) {                   \
        __shared__ DeformConvShared shared;                                                                      \
        GpuBlock block{static_cast<int>(blockIdx.x), static_cast<int>(blockIdx.y), static_cast<int>(blockDim.x), \
                       nullptr, 0};                                                                              \
        deform_conv_block<Storage>(block, params, shared);                                                       \
    }

MASKRT_DEFORM_CONV_KERNEL(maskrt_deform_conv_float_linear, LinearFloat)
MASKRT_DEFORM_CONV_KERNEL(maskrt_deform_conv_half_channels_last, ChannelsLastHalf)

#ifndef __CUDACC_RTC__
#include "launch.h"

namespace maskrt {

cudaError_t launch_deform_conv(FeatureStorage storage, DeformConvParams const& params, cudaStream_t stream) {
    Grid const grid = deform_conv_grid(params);
    if (grid.x == 0 || grid.y == 0) return cudaSuccess;
    using Kernel = void (*)(DeformConvParams);
    Kernel const kernel =
        storage == FeatureStorage::kFloat ? maskrt_deform_conv_float_linear : maskrt_deform_conv_half_channels_last;
    DeformConvParams copy = params;
    void* arguments[] = {&copy};
    return cudaLaunchKernel(reinterpret_cast<void const*>(kernel), dim3(grid.x, grid.y), dim3(grid.threads), arguments,
                            0, stream);
}

}  // namespace maskrt
#endif
