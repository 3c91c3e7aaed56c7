#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "autograd/tensor.h"

namespace reel::examples {

/// One row of `reel bench`: a training step, or a generated token.
struct BenchCase {
  std::string name;
  std::string unit;       // what is counted per second: "samples" or "tokens"
  double units = 0;       // per step
  double operations = 0;  // floating-point, of the products alone
  double bytes = 0;       // that must go through memory, because no cache holds them
  bool heavy = false;     // left out unless asked for by name
  /// Makes the model; the result runs one step. What it holds lives as long as the function.
  std::function<std::function<void()>(Products products)> make;
};

std::vector<BenchCase> bench_cases();

/// Steps after which a case is made anew. A model that knows its only batch by heart computes with numbers
/// next to zero, subnormal ones, for which some processors take a hundred times as long.
inline constexpr int steps_of_a_training = 500;

}  // namespace reel::examples
