"""From a checkpoint to ONNX, and from ONNX to a TensorRT engine."""
