// DeformConv as a block program: a block gives 16 places of the output, 128 of its channels.
//
// It is a matrix product whose one side is sampled as it goes: 8 channels and up to 9 taps at a time come into shared
// memory, 72 rows of 16 places, and each thread adds their products with the weights of its own output channel. A
// sample is read once for 128 output channels; one thread an output element would read all of them for each.
#pragma once

#include "deform_conv_core.h"

namespace maskrt {

constexpr int kTilePlaces = 16;    // of the output, neighbours along its rows
constexpr int kTileOutputs = 128;  // channels of the output, one a thread
constexpr int kTileChannels = 8;   // of the map at a time: a vector of channels-last
constexpr int kTileTaps = 9;       // of the kernel at a time: all of a 3x3

struct DeformConvShared {
    float samples[kTileChannels][kTileTaps][kTilePlaces];
    float sums[kTilePlaces][kTileOutputs];
};

MASKRT_HD int output_slices(DeformConvParams const& p) { return ceil_div(p.outputs, kTileOutputs); }

// One block for 16 places (x) and 128 output channels of an image (y).
MASKRT_HD Grid deform_conv_grid(DeformConvParams const& p) {
    return {ceil_div(p.output_height * p.output_width, kTilePlaces), p.batch * output_slices(p), kTileOutputs};
}

// What a block works on: places [place, place + places) of an image, output channels [output, output + outputs).
struct Tile {
    int image, place, places, output, outputs;
};

MASKRT_HD Tile tile_of(DeformConvParams const& p, int x, int y) {
    int const slices = output_slices(p), place = x * kTilePlaces, output = y % slices * kTileOutputs;
    return {y / slices, place, smaller(p.output_height * p.output_width - place, kTilePlaces), output,
            smaller(p.outputs - output, kTileOutputs)};
}

// How a map of `channels` lies in memory: vectors in a cell, bytes from cell to cell and from vector to vector.
template <class Storage>
struct MapLayout {
    int vectors;
    size_t next_cell, next_vector, image_bytes;

    MASKRT_HD MapLayout(int channels, int cells) {
        size_t const vector = sizeof(typename Storage::Vector);
        vectors = ceil_div(channels, Storage::kWidth);
        next_cell = Storage::kChannelsLast ? vector * vectors : vector;
        next_vector = Storage::kChannelsLast ? vector : vector * cells;
        image_bytes = vector * vectors * cells;
    }
};

// Samples of the channels from `channel` on and the taps from `tap` on into shared memory.
template <class Storage>
MASKRT_HD void sample_tile(DeformConvParams const& p, Tile const& tile, int channel, int tap, int thread, int threads,
                           DeformConvShared& s) {
    MapLayout<Storage> const layout(p.channels, p.height * p.width);
    char const* const map = static_cast<char const*>(p.values) + layout.image_bytes * tile.image;
    int const taps = smaller(p.kernel * p.kernel - tap, kTileTaps);
    int const first = channel / Storage::kWidth;
    int const vectors = smaller(layout.vectors - first, kTileChannels / Storage::kWidth);
    for (int i = thread; i < kTilePlaces * taps * vectors; i += threads) {
        int const place = i % kTilePlaces, its_tap = i / kTilePlaces % taps, vector = i / kTilePlaces / taps;
        if (place >= tile.places) continue;
        float values[Storage::kWidth];
        sample_values<Storage>(map + layout.next_vector * (first + vector), layout.next_cell,
                               moved_sample(p, tile.image, tile.place + place, tap + its_tap), values);
        for (int k = 0; k < Storage::kWidth; ++k) s.samples[vector * Storage::kWidth + k][its_tap][place] = values[k];
    }
}

// A thread's products of the samples in shared memory; what lies past the places and channels there are is not used.
MASKRT_HD void add_products(DeformConvParams const& p, Tile const& tile, int channel, int tap, int thread,
                            DeformConvShared& s) {
    if (thread >= tile.outputs) return;
    int const all_taps = p.kernel * p.kernel, taps = smaller(all_taps - tap, kTileTaps);
    int const channels = smaller(p.channels - channel, kTileChannels);
    size_t const row = static_cast<size_t>(tile.output + thread) * p.channels + channel;
    float const* const weight = p.weight + row * all_taps + tap;
    float sums[kTilePlaces];
    for (int place = 0; place < kTilePlaces; ++place) sums[place] = s.sums[place][thread];
    for (int i = 0; i < channels; ++i)
        for (int k = 0; k < taps; ++k) {
            float const factor = weight[i * all_taps + k];
            for (int place = 0; place < kTilePlaces; ++place) sums[place] += factor * s.samples[i][k][place];
        }
    for (int place = 0; place < kTilePlaces; ++place) s.sums[place][thread] = sums[place];
}

template <class Storage>
MASKRT_HD void write_tile(DeformConvParams const& p, Tile const& tile, int thread, int threads,
                          DeformConvShared const& s) {
    using Vector = typename Storage::Vector;
    MapLayout<Storage> const layout(p.outputs, p.output_height * p.output_width);
    char* const map = static_cast<char*>(p.output) + layout.image_bytes * tile.image;
    int const vectors = ceil_div(tile.outputs, Storage::kWidth);
    for (int i = thread; i < kTilePlaces * vectors; i += threads) {
        int const place = Storage::kChannelsLast ? i / vectors : i % kTilePlaces;
        int const vector = Storage::kChannelsLast ? i % vectors : i / kTilePlaces;
        if (place >= tile.places) continue;
        float values[Storage::kWidth];
        for (int k = 0; k < Storage::kWidth; ++k) {  // the padding channels of channels-last are zero
            int const output = vector * Storage::kWidth + k;
            values[k] = output < tile.outputs ? s.sums[place][output] : 0.0f;
        }
        *reinterpret_cast<Vector*>(map + layout.next_vector * (tile.output / Storage::kWidth + vector) +
                                   layout.next_cell * (tile.place + place)) = Storage::pack(values);
    }
}

template <class Storage, class Block>
MASKRT_PROGRAM void deform_conv_block(Block& block, DeformConvParams const& p, DeformConvShared& s) {
    Tile const tile = tile_of(p, block.x, block.y);
    block.parallel([&](int thread) {
        float const bias = thread < tile.outputs ? p.bias[tile.output + thread] : 0.0f;
        for (int place = 0; place < kTilePlaces; ++place) s.sums[place][thread] = bias;
    });
    for (int channel = 0; channel < p.channels; channel += kTileChannels)
        for (int tap = 0; tap < p.kernel * p.kernel; tap += kTileTaps) {
            block.parallel(
                [&](int thread) { sample_tile<Storage>(p, tile, channel, tap, thread, block.threads, s); });
            block.parallel([&](int thread) { add_products(p, tile, channel, tap, thread, s); });
        }
    block.parallel([&](int thread) { write_tile<Storage>(p, tile, thread, block.threads, s); });
}

}  // namespace maskrt
