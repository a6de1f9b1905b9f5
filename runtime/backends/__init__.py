"""Backends that run a model file: ONNX Runtime, OpenVINO, TensorRT."""
