// What TensorRT's headers and our plugins take of CUDA's, so that both compile without CUDA. Nothing is launched.
#pragma once

typedef struct CUstream_st* cudaStream_t;
typedef struct CUevent_st* cudaEvent_t;
enum cudaError_t { cudaSuccess, cudaErrorNotSupported = 801 };

inline char const* cudaGetErrorString(cudaError_t) { return "there is no CUDA here"; }
