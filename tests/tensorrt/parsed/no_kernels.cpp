// In the place of the kernels: the plugin library without CUDA, for the parser and the registry.
#include "launch.h"

namespace maskrt {

cudaError_t launch_roi_align(FeatureStorage, bool, RoiAlignParams const&, cudaStream_t) {
    return cudaErrorNotSupported;
}
cudaError_t launch_deform_conv(FeatureStorage, DeformConvParams const&, cudaStream_t) {
    return cudaErrorNotSupported;
}
cudaError_t launch_grouped_nms(NmsParams const&, cudaStream_t) { return cudaErrorNotSupported; }

}  // namespace maskrt
