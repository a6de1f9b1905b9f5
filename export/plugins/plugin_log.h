// Errors of the plugins, told through TensorRT's logger; nothing is ever thrown into TensorRT.
#pragma once

#include <NvInferRuntime.h>

#include <exception>
#include <string>

namespace maskrt {

void set_logger_finder(nvinfer1::ILoggerFinder* finder) noexcept;

// To the logger of the engine being built or run, or to stderr where the library was loaded without one.
void log_error(std::string const& message) noexcept;

// Runs f(); what it throws is logged under the operator's name. Returns whether it went well.
template <class F>
bool guarded(char const* operator_name, F const& f) noexcept {
    try {
        f();
        return true;
    } catch (std::exception const& error) {
        log_error(std::string("maskrt::") + operator_name + ": " + error.what());
    } catch (...) {
        log_error(std::string("maskrt::") + operator_name + ": unknown error");
    }
    return false;
}

}  // namespace maskrt
