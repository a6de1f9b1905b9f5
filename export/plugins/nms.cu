// GroupedNms: the kernels, and their launch. Compiled by nvcc into the plugin, or at run time by NVRTC.
#include "nms_block.h"

using namespace maskrt;

#define MASKRT_NMS_KERNEL(name, Shared, program)                                                                 \
    extern "C" __global__ void __launch_bounds__(512) name(NmsParams const params) {                             \
        __shared__ Shared shared;                                                                                \
        __shared__ unsigned votes[2][2];                                                                         \
        GpuBlock block{static_cast<int>(blockIdx.x), static_cast<int>(blockIdx.y), static_cast<int>(blockDim.x), \
                       votes, 0};                                                                                \
        program(block, params, shared);                                                                          \
    }

MASKRT_NMS_KERNEL(maskrt_nms_rank, CountShared, nms_rank_block)
MASKRT_NMS_KERNEL(maskrt_nms_mask, MaskShared, nms_mask_block)
MASKRT_NMS_KERNEL(maskrt_nms_sweep, SweepShared, nms_sweep_block)
MASKRT_NMS_KERNEL(maskrt_nms_emit, CountShared, nms_emit_block)

#ifndef __CUDACC_RTC__
#include "launch.h"

namespace maskrt {

cudaError_t launch_grouped_nms(NmsParams const& params, cudaStream_t stream) {
    using Kernel = void (*)(NmsParams);
    struct Launch {
        Kernel kernel;
        Grid grid;
    };
    Launch const launches[] = {{maskrt_nms_rank, nms_count_grid(params)},
                               {maskrt_nms_mask, nms_mask_grid(params)},
                               {maskrt_nms_sweep, nms_sweep_grid(params)},
                               {maskrt_nms_emit, nms_count_grid(params)}};
    NmsParams copy = params;
    void* arguments[] = {&copy};
    for (Launch const& launch : launches) {
        if (launch.grid.x == 0 || launch.grid.y == 0) continue;  // no rows, no images: nothing to do
        cudaError_t const error =
            cudaLaunchKernel(reinterpret_cast<void const*>(launch.kernel), dim3(launch.grid.x, launch.grid.y),
                             dim3(launch.grid.threads), arguments, 0, stream);
        if (error != cudaSuccess) return error;
    }
    return cudaSuccess;
}

}  // namespace maskrt
#endif
