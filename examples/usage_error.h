#pragma once

#include <stdexcept>

namespace reel::examples {

/// Flags that do not fit together, or do not fit the data (exit code 2).
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace reel::examples
