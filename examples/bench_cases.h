#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
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

/// A training that is made anew after 500 steps: a model that knows its only batch by heart computes with
/// numbers next to zero, subnormal ones, for which some processors take a hundred times as long.
class Renewed {
 public:
  using Step = std::function<void()>;
  explicit Renewed(std::function<Step()> make) : make_(std::move(make)) { renew(); }

  /// Makes it anew and warms it up if it is time; to be called between steps, as no part of any.
  void renew_if_due() {
    if (steps_ >= 500) renew();
  }
  void step() {
    step_();
    ++steps_;
  }

 private:
  void renew() {
    step_ = nullptr;  // first, so that the two are never there at once
    step_ = make_();
    for (int i = 0; i < 3; ++i) step_();
    steps_ = 0;
  }

  std::function<Step()> make_;
  Step step_;
  int steps_ = 0;
};

}  // namespace reel::examples
