#include "plugin_log.h"

#include <cstdio>
#include <mutex>

namespace maskrt {

namespace {

std::mutex finder_mutex;
nvinfer1::ILoggerFinder* logger_finder = nullptr;

}  // namespace

void set_logger_finder(nvinfer1::ILoggerFinder* finder) noexcept {
    std::lock_guard<std::mutex> const lock(finder_mutex);
    if (finder != nullptr) logger_finder = finder;
}

void log_error(std::string const& message) noexcept {
    std::lock_guard<std::mutex> const lock(finder_mutex);
    nvinfer1::ILogger* const logger = logger_finder != nullptr ? logger_finder->findLogger() : nullptr;
    if (logger != nullptr)
        logger->log(nvinfer1::ILogger::Severity::kERROR, message.c_str());
    else
        std::fprintf(stderr, "%s\n", message.c_str());
}

}  // namespace maskrt
