"""Rewrites ONNX graphs: Q/DQ nodes, equalised channels, layers back in float."""
