#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include "autograd/parameter.h"

// A model of parameters alone, whose gradients a test writes itself.

namespace reel::nn {

inline void set_start(std::span<float> w) {
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = 0.5F * (static_cast<float>(i) - 3);
}

// Two weights and a bias, as in tests/golden/optimizers.py; 5 + 3 + 8 numbers.
struct Model {
  ParameterBlock block;

  Model() {
    block.add("first.weight", Shape({5}), true);
    block.add("first.bias", Shape({3}), false);
    block.add("second.weight", Shape({2, 4}), true);
    for (std::size_t i = 0; i < 3; ++i) set_start(block.values(i));
  }
  ParameterBlock& parameters() { return block; }

  void set_gradient(std::size_t i, int step) {
    const std::span<float> g = block.gradients(i);
    for (std::size_t k = 0; k < g.size(); ++k) {
      g[k] = 0.125F * static_cast<float>((static_cast<int>(k) * 7 + step * 3) % 11 - 5);
    }
    block.entry(i).has_gradient = true;
  }
  void fill_gradient(std::size_t i, float value) {
    for (float& g : block.gradients(i)) g = value;
    block.entry(i).has_gradient = true;
  }
  // The bias has no gradient in steps 2, 3 and 7; what lies in its memory must not matter.
  void set_gradients(int step) {
    set_gradient(0, step);
    if (step == 2 || step == 3 || step == 7) {
      for (float& g : block.gradients(1)) g = std::numeric_limits<float>::infinity();
    } else {
      set_gradient(1, step + 1);
    }
    set_gradient(2, step + 2);
  }
  std::vector<float> all() const {
    std::vector<float> w;
    for (std::size_t i = 0; i < block.count(); ++i)
      w.insert(w.end(), block.values(i).begin(), block.values(i).end());
    return w;
  }
  void expect_gaps_are_zero() const {
    for (const auto& e : block.entries()) {
      for (std::int64_t i = e.offset + e.size(); i % 16 != 0; ++i) ASSERT_EQ(block.values()[i], 0.0F) << i;
    }
  }
};

}  // namespace reel::nn
