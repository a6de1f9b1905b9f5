// PyramidRoiAlign, the maths: which level a RoI is pooled from, where its samples lie, how they are interpolated.
//
// RoIAlign is He et al., Mask R-CNN (arXiv:1703.06870), RoIPool Fast R-CNN (arXiv:1504.08083), RoIWarp that of Multi-task
// Network Cascades (arXiv:1512.04412) as its authors' code has it; the rule for the level is eq. 1 of Feature Pyramid
// Networks (arXiv:1612.03144). Operations are in torchvision's order, so that the host build gives torchvision's bits.
// Everything is float32, whatever the type of the features.
#pragma once

#include "storage.h"

namespace maskrt {

constexpr int kMaxLevels = 5;
constexpr int kMaxBins = 64;         // output_height and output_width
constexpr int kMaxSamples = 32767;   // samples a bin has along one axis: only a RoI of some 10^5 cells asks for more
constexpr int kTabledSamples = 128;  // samples of all bins along one axis that a block keeps in shared memory

// What is rounded to whole cells: nothing; the corners of the RoI; these and the borders of its bins, of which the
// largest cell is taken. The last rounds nothing: TensorFlow's crop_and_resize (models/parts/roi_features.py).
enum Method { kRoiAlign = 0, kRoiWarp = 1, kRoiPool = 2, kRoiCrop = 3 };

// Passed to the kernels by value; abi.py has the same fields in the same order.
struct RoiAlignParams {
    void const* features[kMaxLevels];
    float const* rois;         // (count, 4) x1 y1 x2 y2 in canvas pixels
    int const* batch_indices;  // (count,)
    void* pooled;              // (count, channels, output_height, output_width)
    int heights[kMaxLevels];
    int widths[kMaxLevels];
    float scales[kMaxLevels];            // 1 / stride
    float level_thresholds[kMaxLevels];  // see roi_level; the first is not used
    float canonical_scale;
    int levels, count, batch, channels;
    int output_height, output_width;
    int sampling_ratio;  // samples a bin has along an axis; 0: as many as it has cells, rounded up
    int aligned;         // 1: shift by half a pixel, and no minimal size
    int method;          // a Method; kRoiPool has no samples, no shift, and a maximum alone; kRoiCrop one sample a bin
};

// Index of the level a RoI is pooled from, or -1 for none. The rule floor(level + log2(ratio) + 1e-6) >= k holds from
// a certain ratio on, which the host works out beforehand (roi_align_levels.h): comparing with it takes no logarithm,
// whose last bit differs from library to library. A RoI without a real area (one side negative, or NaN) belongs to no
// level of a pyramid and pools to zeros, as in torchvision's MultiScaleRoIAlign.
MASKRT_HD int roi_level(RoiAlignParams const& p, float const* roi) {
    if (p.levels == 1) return 0;
    float const area = mul_rn(roi[2] - roi[0], roi[3] - roi[1]);
    float const ratio = div_rn(sqrt_rn(area), p.canonical_scale);
    if (ratio != ratio) return -1;
    int level = 0;
    for (int k = 1; k < p.levels; ++k) level += ratio >= p.level_thresholds[k];
    return level;
}

// How samples lie along an axis.
enum Spacing {
    kBinByBin,  // evenly within each bin, in torchvision's order of operations
    kOneGrid,   // as kBinByBin, reckoned from the RoI's start: as a RoIAlign with a bin for each sample has them
    kCells      // a sample is a cell, numbered as the map numbers it
};

// The bins of a RoI along one axis, in the level's cells.
struct Axis {
    float start, bin_size;  // with kOneGrid the size of a sample's share of a bin
    int samples;            // in a bin; 1 with kCells, however many cells that are
    int extent;             // cells of the level
    unsigned stride;        // bytes between neighbouring cells
    Spacing spacing;
};

// A RoIPool has at least one cell, both corners' cells being part of it.
MASKRT_HD Axis cell_axis(float low, float high, float scale, int bins, int extent, unsigned stride) {
    float const start = roundf(mul_rn(low, scale));
    float const size = larger(roundf(mul_rn(high, scale)) - start + 1.0f, 1.0f);
    float const bin_size = div_rn(size, static_cast<float>(bins));
    bool const finite = start - start == 0.0f && bin_size - bin_size == 0.0f;
    return {start, bin_size, finite ? 1 : 0, extent, stride, kCells};
}

// one_grid: a maximum is taken over the samples of a grid, which is how standard operators come by single samples.
MASKRT_HD Axis roi_axis(float low, float high, float scale, int bins, int extent, unsigned stride, int sampling_ratio,
                        int aligned, int method, bool one_grid) {
    low = mul_rn(low, scale);
    high = mul_rn(high, scale);
    if (method == kRoiWarp) {
        low = roundf(low);
        high = roundf(high);
    }
    if (method == kRoiCrop) {  // half a step more at either end, so that the outer samples lie on the corners
        float const cells = static_cast<float>(extent), part = div_rn(cells - 1.0f, cells);
        low = mul_rn(low, part);
        high = mul_rn(high, part);
        float const margin = div_rn(high - low, static_cast<float>(2 * larger(bins - 1, 1)));
        low = low - margin + 0.5f;
        high = high + margin + 0.5f;
        aligned = sampling_ratio = 1;
    }
    float const offset = aligned ? 0.5f : 0.0f;
    float const start = low - offset;
    float size = high - offset - start;
    if (!aligned) size = larger(size, 1.0f);
    float bin_size = div_rn(size, static_cast<float>(bins));
    bool const finite = start - start == 0.0f && bin_size - bin_size == 0.0f;
    int samples = 0;
    if (finite && sampling_ratio > 0) samples = sampling_ratio;
    if (finite && sampling_ratio <= 0) samples = static_cast<int>(smaller(ceilf(bin_size), float{kMaxSamples}));
    if (one_grid && samples > 0) bin_size = div_rn(size, static_cast<float>(bins * samples));
    return {start, bin_size, samples, extent, stride, one_grid ? kOneGrid : kBinByBin};
}

MASKRT_HD float sample_position(Axis const& axis, int bin, int sample) {
    if (axis.spacing == kCells) return static_cast<float>(sample);
    bool const one_grid = axis.spacing == kOneGrid;
    int const share = one_grid ? bin * axis.samples + sample : bin;
    float const within = mul_rn(static_cast<float>(one_grid ? 0 : sample) + 0.5f, axis.bin_size);
    return axis.start + mul_rn(static_cast<float>(share), axis.bin_size) +
           div_rn(within, static_cast<float>(one_grid ? 1 : axis.samples));
}

// The two cells that a sample lies between along one axis, as offsets in bytes, and their weights.
struct alignas(16) AxisSample {  // one read of shared memory
    unsigned low, high;
    float low_weight, high_weight;
};

// position lies within [-1, extent].
MASKRT_HD AxisSample axis_sample(Axis const& axis, float position) {
    if (position <= 0.0f) position = 0.0f;
    int low = static_cast<int>(position);
    int high = low + 1;
    if (low >= axis.extent - 1) {
        high = low = axis.extent - 1;
        position = static_cast<float>(low);
    }
    float const fraction = position - static_cast<float>(low);
    return {static_cast<unsigned>(low) * axis.stride, static_cast<unsigned>(high) * axis.stride, 1.0f - fraction,
            fraction};
}

// The samples [first, last) of a bin that lie within [-1, extent]; the others count as zero. Positions never turn
// back along an axis, so both ends are found by bisection: a RoI far larger than the level costs no more than it.
struct SampleRange {
    int first, last;
};

// The cells of a RoIPool's bin, which may share its outer ones with the next bins; none where it is outside the map.
MASKRT_HD SampleRange cells_inside(Axis const& axis, int bin) {
    if (axis.samples == 0) return {0, 0};
    float const extent = static_cast<float>(axis.extent);
    float const first = axis.start + floorf(mul_rn(static_cast<float>(bin), axis.bin_size));
    float const last = axis.start + ceilf(mul_rn(static_cast<float>(bin + 1), axis.bin_size));
    return {static_cast<int>(smaller(larger(first, 0.0f), extent)),
            static_cast<int>(smaller(larger(last, 0.0f), extent))};
}

MASKRT_HD SampleRange samples_inside(Axis const& axis, int bin) {
    if (axis.spacing == kCells) return cells_inside(axis, bin);
    bool const ascending = axis.bin_size >= 0.0f;
    float const extent = static_cast<float>(axis.extent);
    int ends[2];
    for (int end = 0; end < 2; ++end) {  // the first sample that is not before the level; the first one past it
        int low = 0, high = larger(axis.samples, 0);
        while (low < high) {
            int const middle = (low + high) / 2;
            float const position = sample_position(axis, bin, middle);
            bool const entered = ascending ? position >= -1.0f : position <= extent;
            bool const left = ascending ? position > extent : position < -1.0f;
            if (end == 0 ? entered : left)
                high = middle;
            else
                low = middle + 1;
        }
        ends[end] = low;
    }
    return {ends[0], ends[1]};
}

// A row of samples within one bin lies between two rows of cells.
struct CellRows {
    char const *low, *high;
    float low_weight, high_weight;
};

MASKRT_HD CellRows cell_rows(char const* cells, AxisSample const& y) {
    return {cells + y.low, cells + y.high, y.low_weight, y.high_weight};
}

// One interpolated value a channel, from the vectors at the four cells around a sample.
template <class Storage>
MASKRT_HD void interpolate(CellRows const& rows, AxisSample const& x, float (&values)[Storage::kWidth]) {
    using Vector = typename Storage::Vector;
    constexpr int kWidth = Storage::kWidth;
    Vector const vectors[4] = {load<Vector>(rows.low + x.low), load<Vector>(rows.low + x.high),
                               load<Vector>(rows.high + x.low), load<Vector>(rows.high + x.high)};
    float corners[4][kWidth];
    for (int corner = 0; corner < 4; ++corner) Storage::unpack(vectors[corner], corners[corner]);
    float const weights[4] = {mul_rn(rows.low_weight, x.low_weight), mul_rn(rows.low_weight, x.high_weight),
                              mul_rn(rows.high_weight, x.low_weight), mul_rn(rows.high_weight, x.high_weight)};
    for (int i = 0; i < kWidth; ++i)  // these may be fused: the sum of a sample may differ in its last bit on a GPU
        values[i] = weights[0] * corners[0][i] + weights[1] * corners[1][i] + weights[2] * corners[2][i] +
                    weights[3] * corners[3][i];
}

}  // namespace maskrt
