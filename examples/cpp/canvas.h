// From a picture to the canvas that the model takes, as runtime/preprocess.py does it for a contract whose canvas has
// placement "corner", resize "torch" and rounding "down". A model with other rules needs its own here.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

struct Image {
    int height = 0, width = 0;
    std::vector<uint8_t> rgb;  // height × width × 3
};

// A binary PPM ("P6", 8 bits), such as `ffmpeg -i picture.jpg picture.ppm` writes.
inline Image read_ppm(std::string const& path) {
    std::ifstream file(path, std::ios::binary);
    std::string magic;
    Image image;
    int largest = 0;
    file >> magic >> image.width >> image.height >> largest;
    if (!file || magic != "P6" || largest != 255 || image.width < 1 || image.height < 1)
        throw std::runtime_error(path + ": no binary PPM of 8 bits; make one: ffmpeg -i picture.jpg picture.ppm");
    file.ignore(1);
    image.rgb.resize(size_t{3} * image.height * image.width);
    if (!file.read(reinterpret_cast<char*>(image.rgb.data()), static_cast<std::streamsize>(image.rgb.size())))
        throw std::runtime_error(path + ": cut short");
    return image;
}

// As `maskrt engine inspect --json` tells it (contract.canvas); height and width are 0 where any size goes.
struct CanvasRule {
    int min_size, max_size, stride, height, width;
};

struct Canvas {
    int height, width;              // with its padding
    int valid_height, valid_width;  // the picture, at the top left
    std::vector<uint8_t> rgb;
};

// Scaled to min_size on its short side, or less where its long side would pass max_size or a fixed canvas; bilinear,
// half-pixel centres, no antialiasing; padded with zeros to a multiple of the stride.
inline Canvas make_canvas(Image const& image, CanvasRule const& rule) {
    double const h = image.height, w = image.width;
    double scale = std::min(rule.min_size / std::min(h, w), rule.max_size / std::max(h, w));
    if (rule.height && rule.width) scale = std::min({scale, rule.height / h, rule.width / w});
    Canvas canvas{};
    canvas.valid_height = std::max(1, static_cast<int>(std::floor(h * scale)));
    canvas.valid_width = std::max(1, static_cast<int>(std::floor(w * scale)));
    auto const round_up = [&](int side) { return (side + rule.stride - 1) / rule.stride * rule.stride; };
    canvas.height = rule.height ? rule.height : round_up(canvas.valid_height);
    canvas.width = rule.width ? rule.width : round_up(canvas.valid_width);
    canvas.rgb.assign(size_t{3} * canvas.height * canvas.width, 0);
    auto const source = [](int at, int from, int to, int& low, int& high) {
        float const position = std::max(0.F, static_cast<float>(from) / to * (at + 0.5F) - 0.5F);
        low = std::min(static_cast<int>(position), from - 1);
        high = std::min(low + 1, from - 1);
        return position - low;
    };
    for (int y = 0; y < canvas.valid_height; ++y) {
        int top, bottom;
        float const wy = source(y, image.height, canvas.valid_height, top, bottom);
        for (int x = 0; x < canvas.valid_width; ++x) {
            int left, right;
            float const wx = source(x, image.width, canvas.valid_width, left, right);
            for (int c = 0; c < 3; ++c) {
                auto const pixel = [&](int row, int column) {
                    return static_cast<float>(image.rgb[(size_t{3} * row * image.width) + 3 * column + c]);
                };
                float const above = (1 - wx) * pixel(top, left) + wx * pixel(top, right);
                float const below = (1 - wx) * pixel(bottom, left) + wx * pixel(bottom, right);
                canvas.rgb[(size_t{3} * y * canvas.width) + 3 * x + c] =
                    static_cast<uint8_t>(std::lround((1 - wy) * above + wy * below));
            }
        }
    }
    return canvas;
}
