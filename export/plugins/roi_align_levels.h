// From which ratio on a RoI belongs to a level: worked out on the host, once, for roi_level to compare with.
#pragma once

#include <cmath>

namespace maskrt {

// The smallest float32 ratio = sqrt(area) / canonical_scale with floor(canonical_level + log2(ratio) + 1e-6) >= level,
// every operation rounded to float32 as in torchvision's LevelMapper.
inline float level_threshold(int level, int canonical_level) {
    auto reaches = [=](float ratio) {
        float const exponent = static_cast<float>(std::log2(static_cast<double>(ratio)));
        return std::floor(static_cast<float>(canonical_level) + exponent + 1e-6f) >= static_cast<float>(level);
    };
    float ratio = std::ldexp(1.0f, level - canonical_level);  // the 1e-6 lets slightly smaller ones pass too
    for (float below = ratio; reaches(below); below = std::nextafter(below, 0.0f)) ratio = below;
    return ratio;
}

}  // namespace maskrt
