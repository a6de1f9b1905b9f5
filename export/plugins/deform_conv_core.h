// DeformConv, the maths: where a sample lies, what it is worth, what is multiplied with what.
//
// Deformable ConvNets v2 (arXiv:1811.11168): a convolution whose samples are moved and weighed, place by place. One
// group, a square kernel, not dilated. Operations that say where a sample lies and what it is worth are in
// torchvision's order; the sum over channels and samples is not (it leaves that to a BLAS). Everything is float32,
// whatever the type of the maps.
#pragma once

#include "storage.h"

namespace maskrt {

constexpr int kMaxKernel = 64, kMaxStride = 1024, kMaxPadding = 1024;
constexpr int kMaxCells = 1 << 30;  // of a map: they are counted in an int

// Passed to the kernels by value; abi.py has the same fields in the same order.
struct DeformConvParams {
    void const* values;    // (batch, channels, height, width)
    float const* offsets;  // (batch, 2 * kernel^2, output_height, output_width): dy, dx of each sample in px
    float const* mask;     // (batch, kernel^2, output_height, output_width): what each counts
    float const* weight;   // (outputs, channels, kernel, kernel)
    float const* bias;     // (outputs,)
    void* output;          // (batch, outputs, output_height, output_width)
    int batch, channels, height, width;
    int outputs, output_height, output_width;
    int kernel, stride, padding;
};

// The four cells around a sample: their places in the map, -1 for one outside it, and their weights.
struct SampleCells {
    int cells[4];
    float weights[4];
};

// Bilinear, zero beyond the map. A place that is no number lies outside.
MASKRT_HD SampleCells sample_cells(DeformConvParams const& p, float y, float x) {
    SampleCells sample = {{-1, -1, -1, -1}, {0.0f, 0.0f, 0.0f, 0.0f}};
    bool const near = y > -1.0f && y < static_cast<float>(p.height) && x > -1.0f && x < static_cast<float>(p.width);
    if (!near) return sample;
    float const top = floorf(y), left = floorf(x);
    float const low_y = y - top, low_x = x - left;
    int const row = static_cast<int>(top), column = static_cast<int>(left);
    for (int corner = 0; corner < 4; ++corner) {
        int const down = corner / 2, right = corner % 2;
        bool const inside = row + down >= 0 && row + down < p.height && column + right >= 0 && column + right < p.width;
        if (inside) sample.cells[corner] = (row + down) * p.width + column + right;
        sample.weights[corner] = mul_rn(down ? low_y : 1.0f - low_y, right ? low_x : 1.0f - low_x);
    }
    return sample;
}

// The sample of one tap of the kernel for one place of the output, numbered row by row, and what it counts.
struct MovedSample {
    SampleCells at;
    float counts;
};

MASKRT_HD MovedSample moved_sample(DeformConvParams const& p, int image, int place, int tap) {
    int const places = p.output_height * p.output_width, taps = p.kernel * p.kernel;
    size_t const own = static_cast<size_t>(image) * taps + tap;  // of an image's taps
    float const dy = p.offsets[(2 * own) * places + place], dx = p.offsets[(2 * own + 1) * places + place];
    int const row = place / p.output_width * p.stride - p.padding + tap / p.kernel;
    int const column = place % p.output_width * p.stride - p.padding + tap % p.kernel;
    return {sample_cells(p, static_cast<float>(row) + dy, static_cast<float>(column) + dx),
            p.mask[own * places + place]};
}

// One value a channel, from the vectors at the sample's cells. next_cell: bytes between neighbouring cells.
template <class Storage>
MASKRT_HD void sample_values(char const* map, size_t next_cell, MovedSample const& sample,
                             float (&values)[Storage::kWidth]) {
    using Vector = typename Storage::Vector;
    float corners[4][Storage::kWidth] = {};
    for (int corner = 0; corner < 4; ++corner)
        if (sample.at.cells[corner] >= 0)
            Storage::unpack(load<Vector>(map + next_cell * sample.at.cells[corner]), corners[corner]);
    for (int i = 0; i < Storage::kWidth; ++i) {  // these may be fused: a value may differ in its last bit on a GPU
        float const value = sample.at.weights[0] * corners[0][i] + sample.at.weights[1] * corners[1][i] +
                            sample.at.weights[2] * corners[2][i] + sample.at.weights[3] * corners[3][i];
        values[i] = value * sample.counts;
    }
}

}  // namespace maskrt
