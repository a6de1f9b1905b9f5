"""Limits of TensorRT that an inference graph keeps from the start."""

TOPK_LIMIT = 3840  # NvInfer.h, INetworkDefinition::addTopK, of every supported version
