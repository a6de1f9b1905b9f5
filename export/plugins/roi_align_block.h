// PyramidRoiAlign as a block program: a block pools one RoI over a slice of its channels, every bin of it.
//
// The floor, for 1000 RoIs x 256 channels x 7x7, sampling ratio 2, over four FP16 levels of an 800x1344 image, on an
// H200 (4.8 TB/s, 132 multiprocessors issuing 4 instructions a clock at 1.75 GHz):
//   device memory  89,250 cells x 512 B of features read once, 25.1 MB written: 70.8 MB, 14.8 us
//   L2             RoIs overlap, and each fetches its own cells: 140 to 190 MB for random boxes (some 340 cells a
//                  RoI), 25 to 35 us at 5.5 TB/s. No kernel that takes RoIs one by one does with less
//   instructions   6.3 M times (a sample, 8 channels) x 93, 1.6 M times (a bin, 8 channels) x 110: 24 M for a warp,
//                  26 us if every slot were used
// Hence: a block takes all bins of a RoI but few channels (a 256-byte run of each cell), so that a cell comes from L2
// once and its other uses hit L1; positions and weights are worked out once a block, in shared memory; channels-last
// reads and writes are one 16-byte access a thread, consecutive threads on consecutive channels. Linear features have
// consecutive threads on consecutive bins: writes are coalesced, reads follow the rows of one RoI in one plane.
#pragma once

#include "roi_align_core.h"

namespace maskrt {

struct AxisTable {
    AxisSample samples[kTabledSamples];
    SampleRange inside[kMaxBins];
};

struct RoiAlignShared {
    char const* image;  // the RoI's image at its level
    Axis y, x;
    bool tabled;  // every sample of both axes is in the tables
    int count;    // samples of a bin, at least 1
    float inverse_count;
    AxisTable y_table, x_table;
};

template <class Storage>
MASKRT_HD int channel_groups(RoiAlignParams const& p) {
    return ceil_div(p.channels, Storage::kWidth);
}

// Which groups and bins a thread works on: `step` apart, from `first` on.
struct Lanes {
    int first_group, group_step, first_bin, bin_step;
};

// Groups of channels that a block takes. Channels-last: 16 x 8 channels x 2 B, two 128-byte lines of a cell.
template <class Storage>
MASKRT_HD int groups_per_block() {
    return Storage::kChannelsLast ? 16 : 64;
}

// Consecutive threads run along what is contiguous in the output: groups if channels-last, bins otherwise.
template <class Storage>
MASKRT_HD Lanes lanes_of(int thread, int threads, int groups, int bins) {
    int const width = smaller(Storage::kChannelsLast ? groups : bins, threads);
    int const rows = threads / width;
    int const column = thread % width, row = thread / width;
    if (row >= rows) return {groups, 1, bins, 1};  // threads left over have nothing to do
    if (Storage::kChannelsLast) return {column, width, row, rows};
    return {row, rows, column, width};
}

// One block a RoI and slice of channels; as many threads as fill whole rows of lanes, 256 at most.
template <class Storage>
MASKRT_HD Grid roi_align_grid(RoiAlignParams const& p) {
    int const groups = channel_groups<Storage>(p);
    int const slice = smaller(groups, groups_per_block<Storage>());
    int const limit = Storage::kChannelsLast ? 224 : 256;
    int const width = smaller(Storage::kChannelsLast ? slice : p.output_height * p.output_width, limit);
    return {p.count, ceil_div(groups, groups_per_block<Storage>()), ceil_div(limit / width * width, 32) * 32};
}

template <class Storage, class Pooling>
MASKRT_HD void place_roi(RoiAlignParams const& p, int roi_index, RoiAlignShared& s) {
    float const* roi = p.rois + 4 * static_cast<size_t>(roi_index);
    int const image = p.batch_indices[roi_index];
    int level = roi_level(p, roi);
    bool const pooled = level >= 0 && image >= 0 && image < p.batch;
    if (!pooled) level = 0;
    int const groups = channel_groups<Storage>(p);
    int const height = p.heights[level], width = p.widths[level];
    unsigned const cell = (Storage::kChannelsLast ? groups : 1) * sizeof(typename Storage::Vector);
    s.image = static_cast<char const*>(p.features[level]) +
              sizeof(typename Storage::Vector) * (pooled ? image : 0) * groups * height * width;
    float const scale = p.scales[level];
    if (p.method == kRoiPool) {
        s.y = cell_axis(roi[1], roi[3], scale, p.output_height, height, width * cell);
        s.x = cell_axis(roi[0], roi[2], scale, p.output_width, width, cell);
    } else {
        bool const one_grid = Pooling::kSingleSamples;
        s.y = roi_axis(roi[1], roi[3], scale, p.output_height, height, width * cell, p.sampling_ratio, p.aligned,
                       p.method, one_grid);
        s.x = roi_axis(roi[0], roi[2], scale, p.output_width, width, cell, p.sampling_ratio, p.aligned, p.method,
                       one_grid);
    }
    if (!pooled) s.y.samples = s.x.samples = 0;
    s.count = larger(s.y.samples * s.x.samples, 1);
    s.inverse_count = 1.0f / static_cast<float>(s.count);
    s.tabled = p.method != kRoiPool && p.output_height * s.y.samples <= kTabledSamples &&
               p.output_width * s.x.samples <= kTabledSamples;
}

MASKRT_HD void tabulate(Axis const& axis, int bins, bool samples_too, int thread, int threads, AxisTable& table) {
    for (int bin = thread; bin < bins; bin += threads) table.inside[bin] = samples_inside(axis, bin);
    int const count = samples_too ? bins * axis.samples : 0;
    for (int i = thread; i < count; i += threads)
        table.samples[i] = axis_sample(axis, sample_position(axis, i / axis.samples, i % axis.samples));
}

// The samples of one bin along one axis: out of the table, or worked out where they are too many for it.
struct TabledSamples {
    AxisSample const* first;
    MASKRT_HD TabledSamples(Axis const& axis, AxisTable const& table, int bin)
        : first(table.samples + bin * axis.samples) {}
    MASKRT_HD AxisSample at(int sample) const { return first[sample]; }
};

struct ComputedSamples {
    Axis axis;
    int bin;
    MASKRT_HD ComputedSamples(Axis const& axis, AxisTable const&, int bin) : axis(axis), bin(bin) {}
    MASKRT_HD AxisSample at(int sample) const { return axis_sample(axis, sample_position(axis, bin, sample)); }
};

struct Average {
    static constexpr bool kSingleSamples = false;
    MASKRT_HD static float start() { return 0.0f; }
    MASKRT_HD static float add(float pooled, float value) { return pooled + value; }
    MASKRT_HD static float finish(float pooled, int, RoiAlignShared const& s) {
        bool const power_of_two = (s.count & (s.count - 1)) == 0;  // then the product is the quotient, to the bit
        return power_of_two ? mul_rn(pooled, s.inverse_count) : div_rn(pooled, static_cast<float>(s.count));
    }
};

struct Maximum {
    static constexpr bool kSingleSamples = true;
    MASKRT_HD static float start() { return -infinity(); }
    MASKRT_HD static float add(float pooled, float value) {
        return value > pooled || value != value ? value : pooled;
    }
    MASKRT_HD static float finish(float pooled, int inside, RoiAlignShared const& s) {
        return inside < s.count ? add(pooled, 0.0f) : pooled;
    }
};

template <class Storage, class Pooling, class Samples>
MASKRT_HD void pool_bin(RoiAlignShared const& s, char const* cells, int bin_y, int bin_x,
                        float (&pooled)[Storage::kWidth]) {
    for (float& value : pooled) value = Pooling::start();
    SampleRange const rows = s.y_table.inside[bin_y], columns = s.x_table.inside[bin_x];
    Samples const ys(s.y, s.y_table, bin_y), xs(s.x, s.x_table, bin_x);
    for (int iy = rows.first; iy < rows.last; ++iy) {
        CellRows const between = cell_rows(cells, ys.at(iy));
        for (int ix = columns.first; ix < columns.last; ++ix) {
            float values[Storage::kWidth];
            interpolate<Storage>(between, xs.at(ix), values);
            for (int i = 0; i < Storage::kWidth; ++i) pooled[i] = Pooling::add(pooled[i], values[i]);
        }
    }
    int const inside = (rows.last - rows.first) * (columns.last - columns.first);
    for (float& value : pooled) value = Pooling::finish(value, inside, s);
}

template <class Storage, class Pooling>
MASKRT_HD void pool_lanes(RoiAlignParams const& p, RoiAlignShared const& s, int roi, int slice, int thread,
                          int threads) {
    using Vector = typename Storage::Vector;
    int const groups = channel_groups<Storage>(p), first = slice * groups_per_block<Storage>();
    int const here = smaller(groups - first, groups_per_block<Storage>());
    int const bins = p.output_height * p.output_width;
    size_t const next_group = sizeof(Vector) * (Storage::kChannelsLast ? 1 : s.y.extent * s.x.extent);
    Lanes const lanes = lanes_of<Storage>(thread, threads, here, bins);
    Vector* const out = static_cast<Vector*>(p.pooled) + static_cast<size_t>(roi) * groups * bins;
    int const step_y = lanes.bin_step / p.output_width, step_x = lanes.bin_step % p.output_width;
    int bin_y = lanes.first_bin / p.output_width, bin_x = lanes.first_bin % p.output_width;
    for (int bin = lanes.first_bin; bin < bins; bin += lanes.bin_step) {
        for (int i = lanes.first_group; i < here; i += lanes.group_step) {
            int const group = first + i;
            char const* const cells = s.image + group * next_group;
            float pooled[Storage::kWidth];
            if (s.tabled)
                pool_bin<Storage, Pooling, TabledSamples>(s, cells, bin_y, bin_x, pooled);
            else
                pool_bin<Storage, Pooling, ComputedSamples>(s, cells, bin_y, bin_x, pooled);
            if ((group + 1) * Storage::kWidth > p.channels)  // the padding channels of channels-last are zero
                for (int k = 1; k < Storage::kWidth; ++k)
                    if (group * Storage::kWidth + k >= p.channels) pooled[k] = 0.0f;
            out[Storage::kChannelsLast ? bin * groups + group : group * bins + bin] = Storage::pack(pooled);
        }
        bin_y += step_y;
        bin_x += step_x;
        if (bin_x >= p.output_width) {
            bin_x -= p.output_width;
            ++bin_y;
        }
    }
}

template <class Storage, class Pooling, class Block>
MASKRT_PROGRAM void roi_align_block(Block& block, RoiAlignParams const& p, RoiAlignShared& s) {
    block.parallel([&](int thread) {
        if (thread == 0) place_roi<Storage, Pooling>(p, block.x, s);
    });
    block.parallel([&](int thread) {
        tabulate(s.y, p.output_height, s.tabled, thread, block.threads, s.y_table);
        tabulate(s.x, p.output_width, s.tabled, thread, block.threads, s.x_table);
    });
    block.parallel([&](int thread) { pool_lanes<Storage, Pooling>(p, s, block.x, block.y, thread, block.threads); });
}

}  // namespace maskrt
