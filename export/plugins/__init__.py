"""The TensorRT plugins PyramidRoiAlign and GroupedNms: CUDA kernels, a C++ library, a Python counterpart."""
