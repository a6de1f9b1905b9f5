// What the plugins call: one function an operator, asynchronous on a stream, without allocation or synchronisation.
#pragma once

#include <cuda_runtime_api.h>

#include "deform_conv_core.h"
#include "nms_core.h"
#include "roi_align_core.h"

namespace maskrt {

enum class FeatureStorage { kFloat, kHalfChannelsLast };

cudaError_t launch_roi_align(FeatureStorage storage, bool max, RoiAlignParams const& params, cudaStream_t stream);
cudaError_t launch_deform_conv(FeatureStorage storage, DeformConvParams const& params, cudaStream_t stream);
cudaError_t launch_grouped_nms(NmsParams const& params, cudaStream_t stream);

}  // namespace maskrt
