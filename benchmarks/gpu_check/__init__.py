"""`make gpu-check`: the whole TensorRT way, held to PyTorch's recorded answers, on a machine with a GPU."""
