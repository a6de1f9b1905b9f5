// PyramidRoiAlign: the kernels, and their launch. Compiled by nvcc into the plugin, or at run time by NVRTC.
#include "roi_align_block.h"

using namespace maskrt;

// Four blocks of 256 threads a multiprocessor: that is 64 registers a thread. Left to itself the compiler takes 80 on
// compute capability 10.0 and later, and only three blocks hide each other's waits.
#define MASKRT_ROI_ALIGN_KERNEL(name, Storage, Pooling)                                                          \
    extern "C" __global__ void __launch_bounds__(256, 4) name(RoiAlignParams const params) {                     \
        __shared__ RoiAlignShared shared;                                                                        \
        GpuBlock block{static_cast<int>(blockIdx.x), static_cast<int>(blockIdx.y), static_cast<int>(blockDim.x), \
                       nullptr, 0};                                                                              \
        roi_align_block<Storage, Pooling>(block, params, shared);                                                \
    }

MASKRT_ROI_ALIGN_KERNEL(maskrt_roi_align_float_linear_avg, LinearFloat, Average)
MASKRT_ROI_ALIGN_KERNEL(maskrt_roi_align_float_linear_max, LinearFloat, Maximum)
MASKRT_ROI_ALIGN_KERNEL(maskrt_roi_align_half_channels_last_avg, ChannelsLastHalf, Average)
MASKRT_ROI_ALIGN_KERNEL(maskrt_roi_align_half_channels_last_max, ChannelsLastHalf, Maximum)

#ifndef __CUDACC_RTC__
#include "launch.h"

namespace maskrt {

namespace {

using Kernel = void (*)(RoiAlignParams);

template <class Storage>
cudaError_t launch(Kernel average, Kernel maximum, RoiAlignParams params, bool max, cudaStream_t stream) {
    Grid const grid = roi_align_grid<Storage>(params);
    if (grid.x == 0) return cudaSuccess;
    void* arguments[] = {&params};
    return cudaLaunchKernel(reinterpret_cast<void const*>(max ? maximum : average), dim3(grid.x, grid.y),
                            dim3(grid.threads), arguments, 0, stream);
}

}  // namespace

cudaError_t launch_roi_align(FeatureStorage storage, bool max, RoiAlignParams const& params, cudaStream_t stream) {
    switch (storage) {
        case FeatureStorage::kFloat:
            return launch<LinearFloat>(maskrt_roi_align_float_linear_avg, maskrt_roi_align_float_linear_max, params,
                                       max, stream);
        case FeatureStorage::kHalfChannelsLast:
            return launch<ChannelsLastHalf>(maskrt_roi_align_half_channels_last_avg,
                                            maskrt_roi_align_half_channels_last_max, params, max, stream);
    }
    return cudaErrorInvalidValue;
}

}  // namespace maskrt
#endif
