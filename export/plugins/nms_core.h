// GroupedNms, the maths: which row comes first, which box suppresses which, where the work space lies.
//
// Within each group, rows go by descending score (equal scores: lower index first); a row is kept unless a kept row
// before it overlaps it by more than iou_threshold. This is torchvision.ops.nms group by group, in its order of
// float32 operations. Rows whose score is NaN or not above score_threshold, or whose group is none of
// [0, num_groups), are left out from the start.
#pragma once

#include "block.h"

namespace maskrt {

constexpr int kRowBits = 15, kScoreBits = 32;  // of a sort key; the group has the rest
constexpr int kMaxRows = 1 << kRowBits;        // rows an image; its bit mask then takes 128 MiB of work space
constexpr int kMaxGroups = (1 << (64 - kRowBits - kScoreBits)) - 1;  // so that no key is kNoKey

// Passed to the kernels by value; abi.py has the same fields in the same order.
struct NmsParams {
    float const* boxes;   // (batch, rows, 4) x1 y1 x2 y2
    float const* scores;  // (batch, rows)
    int const* groups;    // (batch, rows)
    int* indices;         // (batch, max_output): kept rows by descending score, then zeros
    int* counts;          // (batch,)
    void* workspace;      // batch * nms_image_bytes(rows, num_groups), 16-byte aligned
    float iou_threshold, score_threshold;
    int batch, rows, num_groups, max_output;
};

MASKRT_HD bool is_candidate(NmsParams const& p, float score, int group) {
    return score > p.score_threshold && group >= 0 && group < p.num_groups;  // false for NaN
}

// The place of a row as one number: group, then descending score, then index. No two rows have the same.
constexpr Word kNoKey = ~Word{0};  // of a row that takes no part: after all others

MASKRT_HD Word sort_key(int group, float score, int row) {
    return static_cast<Word>(group) << (kScoreBits + kRowBits) | static_cast<Word>(~ordered_bits(score)) << kRowBits |
           static_cast<Word>(row);
}

struct alignas(16) Box {
    float x1, y1, x2, y2;
};

MASKRT_HD float box_area(Box const& box) { return mul_rn(box.x2 - box.x1, box.y2 - box.y1); }

// Does the kept box suppress a later one? NaN, as of two boxes without area, suppresses nothing.
MASKRT_HD bool suppresses(Box const& kept, Box const& later, float iou_threshold) {
    float const width = larger(0.0f, smaller(kept.x2, later.x2) - larger(kept.x1, later.x1));
    float const height = larger(0.0f, smaller(kept.y2, later.y2) - larger(kept.y1, later.y1));
    float const intersection = mul_rn(width, height);
    return div_rn(intersection, box_area(kept) + box_area(later) - intersection) > iou_threshold;
}

// Candidates are sorted group after group: a position is a place in that order. Chunks are 64 positions long.
struct NmsWorkspace {
    Box* boxes;          // by position
    Word* suppressors;   // [chunk * rows + position]: which positions of that chunk suppress this later one
    int* rows;           // position -> row
    int* groups;         // position -> group
    float* kept_scores;  // by row: its score, or NaN if it is not kept
    int* group_begins;   // by group: its positions [begin, end)
    int* group_ends;
    int* candidates;  // how many positions there are
};

MASKRT_HD size_t nms_image_bytes(int rows, int num_groups) {
    size_t const chunks = static_cast<size_t>(ceil_div(rows, kWordBits));
    size_t const bytes = rows * (sizeof(Box) + chunks * sizeof(Word) + 3 * sizeof(int)) +
                         (2 * static_cast<size_t>(num_groups) + 1) * sizeof(int);
    return (bytes + 15) / 16 * 16;
}

MASKRT_HD NmsWorkspace nms_workspace(NmsParams const& p, int image) {
    size_t const rows = static_cast<size_t>(p.rows);
    size_t const words = rows * static_cast<size_t>(ceil_div(p.rows, kWordBits));
    NmsWorkspace w;
    char* const base = static_cast<char*>(p.workspace) + image * nms_image_bytes(p.rows, p.num_groups);
    w.boxes = reinterpret_cast<Box*>(base);
    w.suppressors = reinterpret_cast<Word*>(w.boxes + rows);
    w.rows = reinterpret_cast<int*>(w.suppressors + words);
    w.groups = w.rows + rows;
    w.kept_scores = reinterpret_cast<float*>(w.groups + rows);
    w.group_begins = reinterpret_cast<int*>(w.kept_scores + rows);
    w.group_ends = w.group_begins + p.num_groups;
    w.candidates = w.group_ends + p.num_groups;
    return w;
}

}  // namespace maskrt
