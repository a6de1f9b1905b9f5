// GroupedNms as four block programs, launched one after the other on a stream.
//
//   rank   each candidate counts the candidates before it: that is its position. Counting (R^2 comparisons, no
//          dependence between them) beats sorting at these sizes: it fills the GPU and needs no scratch memory
//   mask   64 x 64 boxes a block: which earlier boxes of the same group suppress each box, as bits
//   sweep  one block a group walks its chunks: the only sequential part, and groups run side by side
//   emit   each kept row counts the kept rows before it, over all groups: that is its place in the output
//
// Work for 5 groups of 1000 rows on an H200 (132 multiprocessors issuing 4 x 32 operations a clock, 1.75 GHz): rank
// and emit 25 M comparisons x 6 instructions, 5 to 8 us each; mask 2.5 M overlaps x 40, 4 us; sweep 16 chunks of
// some 1000 clocks, 10 us. With the gaps between four launches of a CUDA graph: about 35 us.
#pragma once

#include "nms_core.h"

namespace maskrt {

constexpr int kCountRows = 32;    // rows that a block of rank or emit places, one a lane
constexpr int kCountSlices = 16;  // warps that share the counting: a warp's lanes read the same key at a time
constexpr int kTileKeys = 2048;   // keys in shared memory at a time
constexpr int kSweepSlices = 8;   // threads that look for a suppressor of one position

struct alignas(16) KeyPair {  // one read of shared memory
    Word first, second;
};

struct CountShared {
    KeyPair tile[kTileKeys / 2];
    Word keys[kCountRows];
    int counts[kCountSlices][kCountRows];
};

struct MaskShared {
    Box boxes[kWordBits];
    int groups[kWordBits];
};

struct SweepShared {
    Word kept[kMaxRows / kWordBits];  // by chunk, from the group's first chunk on
    Word suppressors[kWordBits];      // within the chunk
    bool suppressed[kSweepSlices][kWordBits];
};

MASKRT_HD Grid nms_count_grid(NmsParams const& p) {
    return {larger(ceil_div(p.rows, kCountRows), 1), p.batch, kCountRows * kCountSlices};
}
// Every (later chunk, earlier chunk) pair; half of them return at once.
MASKRT_HD Grid nms_mask_grid(NmsParams const& p) {
    int const chunks = ceil_div(p.rows, kWordBits);
    return {chunks * chunks, p.batch, kWordBits};
}
MASKRT_HD Grid nms_sweep_grid(NmsParams const& p) { return {p.num_groups, p.batch, kWordBits * kSweepSlices}; }

// Sum of counts[slice][lane] over slices.
MASKRT_HD int total_of(CountShared const& s, int lane) {
    int total = 0;
    for (int slice = 0; slice < kCountSlices; ++slice) total += s.counts[slice][lane];
    return total;
}

// How many of the image's rows satisfy `test`; one thread hands it to `finish`.
template <class Block, class Test, class Finish>
MASKRT_PROGRAM void count_rows(Block& block, int rows, CountShared& s, Test const& test, Finish const& finish) {
    block.parallel([&](int thread) {
        int count = 0;
        for (int row = thread; row < rows; row += block.threads) count += test(row);
        s.counts[thread / kCountRows][thread % kCountRows] = count;
    });
    block.parallel([&](int thread) {
        if (thread < kCountRows) s.counts[0][thread] = total_of(s, thread);
    });
    block.parallel([&](int thread) {
        if (thread != 0) return;
        int total = 0;
        for (int lane = 0; lane < kCountRows; ++lane) total += s.counts[0][lane];
        finish(total);
    });
}

// For each of the block's rows that has a key: place(row, number of keys before its own).
template <class Block, class KeyOf, class Place>
MASKRT_PROGRAM void rank_rows(Block& block, int rows, CountShared& s, KeyOf const& key_of, Place const& place) {
    int const first_row = block.x * kCountRows;
    block.parallel([&](int thread) {
        s.counts[thread / kCountRows][thread % kCountRows] = 0;
        if (thread < kCountRows) s.keys[thread] = first_row + thread < rows ? key_of(first_row + thread) : kNoKey;
    });
    for (int tile = 0; tile < rows; tile += kTileKeys) {
        block.parallel([&](int thread) {
            for (int i = 2 * thread; i < kTileKeys; i += 2 * block.threads)
                s.tile[i / 2] = {tile + i < rows ? key_of(tile + i) : kNoKey,
                                 tile + i + 1 < rows ? key_of(tile + i + 1) : kNoKey};
        });
        block.parallel([&](int thread) {
            constexpr int kPairs = kTileKeys / 2 / kCountSlices;
            int const slice = thread / kCountRows, lane = thread % kCountRows;
            KeyPair const* const pairs = s.tile + slice * kPairs;
            Word const key = s.keys[lane];
            int before = 0;
            for (int i = 0; i < kPairs && tile + 2 * (slice * kPairs + i) < rows; ++i)
                before += (pairs[i].first < key) + (pairs[i].second < key);
            s.counts[slice][lane] += before;
        });
    }
    block.parallel([&](int thread) {
        if (thread < kCountRows && s.keys[thread] != kNoKey) place(first_row + thread, total_of(s, thread));
    });
}

template <class Block>
MASKRT_PROGRAM void nms_rank_block(Block& block, NmsParams const& p, CountShared& s) {
    NmsWorkspace const w = nms_workspace(p, block.y);
    size_t const offset = static_cast<size_t>(block.y) * p.rows;
    float const* const scores = p.scores + offset;
    int const* const groups = p.groups + offset;
    if (block.x == 0) {
        block.parallel([&](int thread) {
            for (int group = thread; group < p.num_groups; group += block.threads)
                w.group_begins[group] = w.group_ends[group] = 0;
        });
        count_rows(
            block, p.rows, s, [&](int row) { return is_candidate(p, scores[row], groups[row]); },
            [&](int total) { *w.candidates = total; });
    }
    block.parallel([&](int thread) {
        int const row = block.x * kCountRows + thread;
        if (thread < kCountRows && row < p.rows) w.kept_scores[row] = not_a_number();
    });
    auto const key_of = [&](int row) {
        return is_candidate(p, scores[row], groups[row]) ? sort_key(groups[row], scores[row], row) : kNoKey;
    };
    rank_rows(block, p.rows, s, key_of, [&](int row, int position) {
        float const* const box = p.boxes + 4 * (offset + row);
        w.boxes[position] = {box[0], box[1], box[2], box[3]};
        w.rows[position] = row;
        w.groups[position] = groups[row];
    });
}

template <class Block>
MASKRT_PROGRAM void nms_mask_block(Block& block, NmsParams const& p, MaskShared& s) {
    NmsWorkspace const w = nms_workspace(p, block.y);
    int const chunks = ceil_div(p.rows, kWordBits), later = block.x / chunks, earlier = block.x % chunks;
    int const candidates = *w.candidates, row_start = later * kWordBits, column_start = earlier * kWordBits;
    if (earlier > later || row_start >= candidates) return;
    bool const apart = earlier < later && w.groups[column_start + kWordBits - 1] < w.groups[row_start];
    if (apart) return;  // no group in common
    block.parallel([&](int thread) {
        int const column = column_start + thread;
        if (column < candidates) s.boxes[thread] = w.boxes[column], s.groups[thread] = w.groups[column];
    });
    block.parallel([&](int thread) {
        int const position = row_start + thread;
        if (position >= candidates) return;
        Box const box = w.boxes[position];
        int const group = w.groups[position], columns = smaller(position - column_start, kWordBits);
        Word word = 0;
        for (int i = 0; i < columns; ++i)
            word |= static_cast<Word>(s.groups[i] == group && suppresses(s.boxes[i], box, p.iou_threshold)) << i;
        w.suppressors[static_cast<size_t>(earlier) * p.rows + position] = word;
        if (earlier < later) return;
        if (position == 0 || w.groups[position - 1] != group) w.group_begins[group] = position;
        if (position == candidates - 1 || w.groups[position + 1] != group) w.group_ends[group] = position + 1;
    });
}

template <class Block>
MASKRT_PROGRAM void nms_sweep_block(Block& block, NmsParams const& p, SweepShared& s) {
    NmsWorkspace const w = nms_workspace(p, block.y);
    float const* const scores = p.scores + static_cast<size_t>(block.y) * p.rows;
    int const begin = w.group_begins[block.x], end = w.group_ends[block.x];
    int const first_chunk = begin / kWordBits;
    int kept_so_far = 0;  // once max_output rows of a group are kept, its later rows cannot reach the output
    for (int chunk = first_chunk; chunk * kWordBits < end && kept_so_far < p.max_output; ++chunk) {
        auto const position_of = [&](int lane) { return chunk * kWordBits + lane; };
        auto const in_group = [&](int lane) { return position_of(lane) >= begin && position_of(lane) < end; };
        block.parallel([&](int thread) {
            int const lane = thread % kWordBits, slice = thread / kWordBits;
            Word const* const column = w.suppressors + position_of(lane);
            Word met = 0;
            if (in_group(lane))
                for (int earlier = first_chunk + slice; earlier < chunk; earlier += kSweepSlices)
                    met |= column[static_cast<size_t>(earlier) * p.rows] & s.kept[earlier - first_chunk];
            s.suppressed[slice][lane] = met != 0;
            if (slice == 0) s.suppressors[lane] = in_group(lane) ? column[static_cast<size_t>(chunk) * p.rows] : 0;
        });
        Word open = block.ballot64([&](int lane) {
            bool free = in_group(lane);
            for (int slice = 0; slice < kSweepSlices; ++slice) free = free && !s.suppressed[slice][lane];
            return free;
        });
        Word kept = 0;
        while (open != 0) {  // keep those with none left before them, drop whom they suppress: at least one a turn
            Word const chosen =
                block.ballot64([&](int lane) { return bit(open, lane) && (s.suppressors[lane] & open) == 0; });
            kept |= chosen;
            open &= ~chosen;
            open &= ~block.ballot64([&](int lane) { return bit(open, lane) && (s.suppressors[lane] & kept) != 0; });
        }
        kept_so_far += count_bits(kept);
        block.parallel([&](int thread) {
            if (thread == 0) s.kept[chunk - first_chunk] = kept;
            if (thread >= kWordBits || !bit(kept, thread)) return;
            int const row = w.rows[position_of(thread)];
            w.kept_scores[row] = scores[row];
        });
    }
}

template <class Block>
MASKRT_PROGRAM void nms_emit_block(Block& block, NmsParams const& p, CountShared& s) {
    float const* const kept_scores = nms_workspace(p, block.y).kept_scores;
    int* const indices = p.indices + static_cast<size_t>(block.y) * p.max_output;
    auto const is_kept = [&](int row) { return kept_scores[row] == kept_scores[row]; };
    if (block.x == 0) {
        count_rows(block, p.rows, s, is_kept, [&](int total) { p.counts[block.y] = smaller(total, p.max_output); });
        block.parallel([&](int thread) {
            for (int i = p.counts[block.y] + thread; i < p.max_output; i += block.threads) indices[i] = 0;
        });
    }
    rank_rows(
        block, p.rows, s, [&](int row) { return is_kept(row) ? sort_key(0, kept_scores[row], row) : kNoKey; },
        [&](int row, int place) {
            if (place < p.max_output) indices[place] = row;
        });
}

}  // namespace maskrt
