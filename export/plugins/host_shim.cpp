// The kernels' block programs on a CPU, behind a C interface: what the tests hold against torchvision, bit by bit.
// Build: g++ -std=c++17 -O2 -ffp-contract=off -shared -fPIC host_shim.cpp -o libmaskrt_host.so
#include "deform_conv_block.h"
#include "nms_block.h"
#include "roi_align_block.h"
#include "roi_align_levels.h"

using namespace maskrt;

namespace {

template <class Shared, class Params, class Program>
void run(Grid const& grid, Params const& params, bool backwards, Program const& program) {
    for (int i = 0; i < grid.x * grid.y; ++i) {
        int const index = backwards ? grid.x * grid.y - 1 - i : i;
        Shared shared;
        CpuBlock block{index % grid.x, index / grid.x, grid.threads, backwards};
        program(block, params, shared);
    }
}

template <class Storage>
void roi_align(RoiAlignParams const& params, bool max, bool backwards) {
    run<RoiAlignShared>(roi_align_grid<Storage>(params), params, backwards,
                        [&](CpuBlock& block, RoiAlignParams const& p, RoiAlignShared& shared) {
                            if (max)
                                roi_align_block<Storage, Maximum>(block, p, shared);
                            else
                                roi_align_block<Storage, Average>(block, p, shared);
                        });
}

template <class Storage>
void deform_conv(DeformConvParams const& params, bool backwards) {
    run<DeformConvShared>(deform_conv_grid(params), params, backwards,
                          deform_conv_block<Storage, CpuBlock>);
}

}  // namespace

extern "C" {

// storage: 0 float linear, 1 half channels-last by 8.
void maskrt_host_roi_align(RoiAlignParams const* params, int storage, int max, int backwards) {
    if (storage == 0) roi_align<LinearFloat>(*params, max, backwards);
    if (storage == 1) roi_align<ChannelsLastHalf>(*params, max, backwards);
}

void maskrt_host_roi_align_grid(RoiAlignParams const* params, int storage, Grid* grid) {
    *grid = storage == 0 ? roi_align_grid<LinearFloat>(*params) : roi_align_grid<ChannelsLastHalf>(*params);
}

int maskrt_host_roi_level(RoiAlignParams const* params, float const* roi) { return roi_level(*params, roi); }

float maskrt_host_level_threshold(int level, int canonical_level) { return level_threshold(level, canonical_level); }

void maskrt_host_deform_conv(DeformConvParams const* params, int storage, int backwards) {
    if (storage == 0) deform_conv<LinearFloat>(*params, backwards);
    if (storage == 1) deform_conv<ChannelsLastHalf>(*params, backwards);
}

void maskrt_host_deform_conv_grid(DeformConvParams const* params, Grid* grid) { *grid = deform_conv_grid(*params); }

void maskrt_host_grouped_nms(NmsParams const* params, int backwards) {
    using Block = CpuBlock;
    run<CountShared>(nms_count_grid(*params), *params, backwards, nms_rank_block<Block>);
    run<MaskShared>(nms_mask_grid(*params), *params, backwards, nms_mask_block<Block>);
    run<SweepShared>(nms_sweep_grid(*params), *params, backwards, nms_sweep_block<Block>);
    run<CountShared>(nms_count_grid(*params), *params, backwards, nms_emit_block<Block>);
}

void maskrt_host_nms_grids(NmsParams const* params, Grid grids[4]) {
    grids[0] = grids[3] = nms_count_grid(*params);
    grids[1] = nms_mask_grid(*params);
    grids[2] = nms_sweep_grid(*params);
}

size_t maskrt_host_nms_image_bytes(int rows, int num_groups) { return nms_image_bytes(rows, num_groups); }

float maskrt_host_float_from_half(unsigned short half) { return float_from_half(half); }

unsigned short maskrt_host_half_from_float(float value) { return half_from_float(value); }

}  // extern "C"
