"""Backend TensorRT: engine files, plugins, GPU memory, execution."""
