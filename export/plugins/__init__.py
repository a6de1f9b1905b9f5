"""The TensorRT plugins PyramidRoiAlign, GroupedNms and DeformConv: CUDA kernels, a C++ library, Python."""
