// What must hold before a library is loaded or called: it is the one that was meant, and of a fitting version.
#pragma once

#include <filesystem>
#include <stdexcept>
#include <string>

// major, minor and patch out of TensorRT's number: 8603 is 8.6.3, 101303 is 10.13.3.
struct Version {
    int major, minor, patch;

    explicit Version(int number)
        : major(number < 10000 ? number / 1000 : number / 10000),
          minor(number < 10000 ? number / 100 % 10 : number / 100 % 100),
          patch(number % 100) {}

    std::string text() const {
        return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch);
    }
};

// Throws where methods of TensorRT's interfaces would not be where its headers said. Within 10 and within 11 a later
// library has all that an earlier one had, in the same places; 8.6.1 moved the plugin registry's methods against 8.6.0.
inline void expect_tensorrt(int compiled, int running) {
    Version const headers(compiled), library(running);
    bool const same_major = headers.major == library.major;
    bool const fits = headers.major < 10 ? compiled == running : same_major && library.minor >= headers.minor;
    if (fits) return;
    throw std::runtime_error("compiled with the headers of TensorRT " + headers.text() + ", but the library is " +
                             library.text() + "; compile it again with the headers of " + library.text() +
                             " (cmake -DTENSORRT_ROOT=...)");
}

// The path of a file here or elsewhere with a slash in it: a bare name dlopen looks up in its own folders alone.
inline std::string library_path(std::string const& name) {
    std::error_code error;
    std::filesystem::path const path = std::filesystem::canonical(name, error);
    if (error) throw std::runtime_error(name + ": " + error.message() + "; build it: maskrt build-plugins -o " + name);
    return path.string();
}
