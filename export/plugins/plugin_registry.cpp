// What TensorRT looks up when it loads the library: the plugin creators, and where to log.
// Nothing here links against TensorRT: its interfaces are abstract classes, and it calls us.
#include "deform_conv_operator.h"
#include "nms_operator.h"
#include "roi_align_operator.h"
#if NV_TENSORRT_MAJOR >= 10
#include "plugin_v3.h"
using CreatorInterface = nvinfer1::IPluginCreatorInterface;
#else
#include "plugin_v2.h"
using CreatorInterface = nvinfer1::IPluginCreator;
#endif

#define MASKRT_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

CreatorInterface* const* creators(int32_t& count) {
    static maskrt::Creator<maskrt::RoiAlignOperator> roi_align;
    static maskrt::Creator<maskrt::NmsOperator> nms;
    static maskrt::Creator<maskrt::DeformConvOperator> deform_conv;
    static CreatorInterface* const list[] = {&roi_align, &nms, &deform_conv};
    count = 3;
    return list;
}

}  // namespace

#if NV_TENSORRT_MAJOR >= 10
MASKRT_EXPORT CreatorInterface* const* getCreators(int32_t& count) { return creators(count); }
#else
MASKRT_EXPORT CreatorInterface* const* getPluginCreators(int32_t& count) { return creators(count); }
#endif

MASKRT_EXPORT void setLoggerFinder(nvinfer1::ILoggerFinder* finder) { maskrt::set_logger_finder(finder); }
