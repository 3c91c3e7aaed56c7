#pragma once

#include <stdexcept>

namespace reel::nn {

/// The content of a weights or checkpoint file is wrong (exit code 4).
struct FileError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The operating system refused to open, read, write or lock a file (exit code 5).
struct IoError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace reel::nn
