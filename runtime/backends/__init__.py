"""What runs a model file: ONNX Runtime, OpenVINO, TensorRT."""
