#pragma once

#include <stdexcept>

namespace reel::data {

/// The content of a data file is wrong, or does not fit the use (exit code 3).
struct DataError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The operating system refused to open or read a file (exit code 5).
struct IoError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace reel::data
