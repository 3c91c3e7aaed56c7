#include "kernels/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "kernels/parallel.h"

namespace reel::kernels {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

// "name step" -> numbers; written by tests/golden/optimizers.py with PyTorch.
std::map<std::string, std::vector<double>> golden() {
  std::ifstream file(REEL_SOURCE_DIR "/tests/golden/optimizers.txt");
  std::map<std::string, std::vector<double>> all;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    std::string step;
    words >> name >> step;
    for (double number = 0; words >> number;) all[name + " " + step].push_back(number);
  }
  return all;
}

std::vector<float> start() {
  std::vector<float> w;
  for (int i = 0; i < 8; ++i) w.push_back(0.5F * static_cast<float>(i - 3));
  return w;
}
std::vector<float> gradient(int step) {
  std::vector<float> g;
  for (int i = 0; i < 8; ++i) g.push_back(0.125F * static_cast<float>((i * 7 + step * 3) % 11 - 5));
  return g;
}

struct Blocks {
  std::vector<float> w, g, m, v, a;
};
using Step = std::function<void(Blocks&, std::int64_t step, double scale)>;

Step with(SgdRule rule) {
  return [rule](Blocks& b, std::int64_t step, double scale) {
    sgd(b.w.data(), b.g.data(), b.m.data(), static_cast<std::int64_t>(b.w.size()), rule, step, scale);
  };
}
Step with(AdamRule rule) {
  return [rule](Blocks& b, std::int64_t step, double scale) {
    adam(b.w.data(), b.g.data(), b.m.data(), b.v.data(), static_cast<std::int64_t>(b.w.size()), rule,
         adam_correction(rule, step), scale);
  };
}
Step with(RmspropRule rule) {
  return [rule](Blocks& b, std::int64_t, double scale) {
    rmsprop(b.w.data(), b.g.data(), b.v.data(), b.a.data(), b.m.data(), static_cast<std::int64_t>(b.w.size()),
            rule, scale);
  };
}

Blocks blocks(std::vector<float> w, float g = 0) {
  const std::size_t n = w.size();
  return {std::move(w), std::vector<float>(n, g), std::vector<float>(n), std::vector<float>(n),
          std::vector<float>(n)};
}

TEST(OptimizerKernels, FollowPyTorch) {
  const auto expected = golden();
  ASSERT_GT(expected.size(), 20U);
  struct Case {
    const char* name;
    Step step;
    double clip = 0;
  };
  const AdamRule adamw = {.learning_rate = 0.05, .weight_decay = 0.01, .decoupled = true};
  const Case cases[] = {
      {"sgd", with(SgdRule{.learning_rate = 0.1})},
      {"sgd_decay", with(SgdRule{.learning_rate = 0.1, .weight_decay = 0.05})},
      {"sgd_momentum", with(SgdRule{.learning_rate = 0.1, .momentum = 0.9})},
      {"sgd_dampening",
       with(SgdRule{.learning_rate = 0.1, .momentum = 0.9, .dampening = 0.5, .weight_decay = 0.05})},
      {"sgd_nesterov",
       with(SgdRule{.learning_rate = 0.1, .momentum = 0.9, .weight_decay = 0.05, .nesterov = true})},
      {"sgd_clipped", with(SgdRule{.learning_rate = 0.1, .momentum = 0.9}), 0.5},
      {"adam", with(AdamRule{})},
      {"adam_l2",
       with(AdamRule{
           .learning_rate = 0.05, .beta1 = 0.8, .beta2 = 0.95, .epsilon = 1e-3, .weight_decay = 0.1})},
      {"adamw", with(adamw)},
      {"adamw_large_decay", with(AdamRule{.learning_rate = 0.05, .weight_decay = 0.5, .decoupled = true})},
      {"adamw_clipped", with(adamw), 0.5},
      {"rmsprop", with(RmspropRule{})},
      {"rmsprop_momentum", with(RmspropRule{.learning_rate = 0.02, .momentum = 0.9})},
      {"rmsprop_centered",
       with(RmspropRule{.learning_rate = 0.02, .alpha = 0.9, .epsilon = 1e-4, .centered = true})},
      {"rmsprop_all",
       with(RmspropRule{
           .learning_rate = 0.02, .alpha = 0.9, .weight_decay = 0.1, .momentum = 0.5, .centered = true})},
  };
  for (const Case& c : cases) {
    Blocks b = blocks(start());
    for (int step = 1; step <= 10; ++step) {
      b.g = gradient(step);
      const double norm = std::sqrt(squared_norm(b.g.data(), 8));
      c.step(b, step, c.clip > 0 ? std::min(1.0, c.clip / (norm + 1e-6)) : 1.0);
      if (step != 1 && step != 3 && step != 10) continue;
      const std::vector<double>& numbers = expected.at(std::string(c.name) + " " + std::to_string(step));
      ASSERT_EQ(numbers.size(), 8U);
      for (std::size_t i = 0; i < 8; ++i) {
        EXPECT_NEAR(static_cast<double>(b.w[i]), numbers[i], 1e-6 * std::max(1.0, std::fabs(numbers[i])))
            << c.name << " step " << step << " element " << i;
      }
    }
  }
}

// Adam once more, in double and as the paper writes it: the average is corrected before the root, epsilon is
// added after it.
TEST(OptimizerKernels, AdamIsTheFormula) {
  const AdamRule rule = {.learning_rate = 0.01,
                         .beta1 = 0.7,
                         .beta2 = 0.9,
                         .epsilon = 0.1,
                         .weight_decay = 0.3,
                         .decoupled = true};
  for (const std::int64_t n : {1, 5, 16, 33, 1000, 16384, 40001}) {
    const auto size = static_cast<std::size_t>(n);
    Blocks b = blocks(std::vector<float>(size, 1));
    std::vector<double> w(size, 1);
    std::vector<double> m(size, 0);
    std::vector<double> v(size, 0);
    for (int step = 1; step <= 3; ++step) {
      for (std::size_t i = 0; i < size; ++i) {
        b.g[i] = static_cast<float>((i * 31 + static_cast<std::size_t>(step)) % 17) * 0.25F - 2;
        const double g = 0.5 * static_cast<double>(b.g[i]);
        m[i] = 0.7 * m[i] + 0.3 * g;
        v[i] = 0.9 * v[i] + 0.1 * g * g;
        const double mean = m[i] / (1 - std::pow(0.7, step));
        const double square = v[i] / (1 - std::pow(0.9, step));
        w[i] = w[i] - 0.01 * (0.3 * w[i] + mean / (std::sqrt(square) + 0.1));
      }
      with(rule)(b, step, 0.5);
    }
    for (std::size_t i = 0; i < size; ++i) {
      ASSERT_NEAR(static_cast<double>(b.w[i]), w[i], 1e-6) << i;
      ASSERT_NEAR(static_cast<double>(b.m[i]), m[i], 1e-6) << i;
      ASSERT_NEAR(static_cast<double>(b.v[i]), v[i], 1e-6) << i;
    }
  }
}

TEST(OptimizerKernels, NoGradientNoChange) {
  for (const Step& step :
       {with(SgdRule{.momentum = 0.9}), with(AdamRule{}), with(AdamRule{.decoupled = true}),
        with(RmspropRule{}), with(RmspropRule{.momentum = 0.9, .centered = true})}) {
    Blocks b = blocks(start(), 0.0F);
    for (int t = 1; t <= 3; ++t) step(b, t, 1);
    EXPECT_EQ(b.w, start());
  }
}

TEST(OptimizerKernels, TinyGradientsMoveByEpsilonNotByTheirSign) {
  // The square of 1e-30 is 0 in float, so the step is rate g / epsilon: far below one float's precision.
  for (const float g : {1e-30F, -1e-30F, 1e-45F}) {
    Blocks b = blocks(start(), g);
    for (int t = 1; t <= 3; ++t) with(AdamRule{})(b, t, 1);
    EXPECT_EQ(b.w[0], start()[0]);
    EXPECT_LT(std::fabs(b.w[3]), 1e-22F);
  }
  // 1e-8 is as large as epsilon: half a step.
  Blocks b = blocks({0.0F}, 1e-8F);
  with(AdamRule{})(b, 1, 1);
  EXPECT_NEAR(b.w[0], -0.5e-3F, 1e-8F);
}

TEST(OptimizerKernels, HugeGradientsLeaveFiniteNumbers) {
  for (const float g : {1e19F, 1e20F, -1e20F, 1e25F, 1e30F, 3e38F, -3e38F}) {
    for (const Step& step :
         {with(AdamRule{}), with(AdamRule{.weight_decay = 0.1}), with(AdamRule{.beta2 = 0.5}),
          with(AdamRule{.weight_decay = 0.1, .decoupled = true}), with(RmspropRule{.learning_rate = 1e-3}),
          with(RmspropRule{.learning_rate = 1e-3, .momentum = 0.9, .centered = true})}) {
      Blocks b = blocks(start(), g);
      for (int t = 1; t <= 200; ++t) step(b, t, 1);
      for (std::size_t i = 0; i < 8; ++i) {
        ASSERT_TRUE(std::isfinite(b.w[i]) && std::isfinite(b.m[i]) && std::isfinite(b.v[i]) &&
                    std::isfinite(b.a[i]))
            << g;
        ASSERT_LT(std::fabs(b.w[i]), 100.0F) << g;
      }
      // Later gradients must still be able to move the weight.
      const std::vector<float> before = b.w;
      for (float& value : b.g) value = -g;
      for (int t = 201; t <= 400; ++t) step(b, t, 1);
      for (std::size_t i = 0; i < 8; ++i) EXPECT_NE(b.w[i], before[i]) << g;
    }
  }
}

TEST(OptimizerKernels, AHugeGradientIsAFullFirstStep) {
  for (const float g : {1.0F, 1e10F, 1e20F, 1e25F}) {
    Blocks b = blocks({1.0F}, g);
    with(AdamRule{})(b, 1, 1);
    EXPECT_NEAR(b.w[0], 0.999F, 1e-6F) << g;
  }
}

// From 0, so that the move itself is seen: a weight 16 on, or a zero behind the end, has part in its rounding
// alone.
TEST(OptimizerKernels, AWeightMovesAsFarWhateverSharesItsDivision) {
  const float gradients[] = {0, 1e-25F, 1e-16F, 1e-8F, 1, 1e8F, 1e16F, 1e25F};
  for (const double rate : {1e-9, 1e-3, 1e4}) {
    for (const double epsilon : {1e-40, 1e-16, 1e-8, 1e-3, 1e10}) {
      // Both are as in the kernel, which spares itself to divide by the root of 1 - beta2.
      const double root_of_share = std::sqrt(1e-3);
      const double least = 0x1p-63 * std::sqrt(std::max(1.0, 10 * rate * root_of_share)) / root_of_share;
      for (const float own : gradients) {
        const double limited = std::min(static_cast<double>(own), 0x1p47);
        for (const float other : gradients) {
          Blocks b = blocks(std::vector<float>(48), other);
          std::fill_n(b.g.begin(), 16, own);
          b.g[40] = own;
          with(AdamRule{.learning_rate = rate, .epsilon = epsilon})(b, 1, 1);
          // In the first step the averages are the gradient and its square.
          const double root = limited < 0x1p-58 ? 0 : limited;  // of a square that is no normal float
          const double move = rate * limited / (root + std::max(epsilon, least));
          for (const std::size_t i : {std::size_t{0}, std::size_t{15}, std::size_t{40}})
            ASSERT_NEAR(-static_cast<double>(b.w[i]), move, std::max(2e-6 * move, 1e-22))
                << own << " beside " << other << ", rate " << rate << ", epsilon " << epsilon;
        }
      }
    }
  }
}

TEST(OptimizerKernels, MomentumStartsWithTheFirstGradient) {
  Blocks b = blocks({1.0F}, 2.0F);
  b.m[0] = 50;  // of another life
  with(SgdRule{.learning_rate = 0.25, .momentum = 0.9, .dampening = 0.5})(b, 1, 1);
  EXPECT_EQ(b.m[0], 2.0F);
  EXPECT_EQ(b.w[0], 0.5F);
}

// As subnormal numbers they would stay where they are for ever, and slow down processors that take long for
// these.
TEST(OptimizerKernels, WhatIsRememberedOfAnOldGradientFadesToZero) {
#if !defined(__SSE2__)
  GTEST_SKIP() << "this processor is left to make subnormal numbers";
#endif
  const Step steps[] = {
      with(SgdRule{.momentum = 0.9}),
      with(AdamRule{.beta2 = 0.9}),
      with(RmspropRule{.alpha = 0.9, .momentum = 0.9, .centered = true}),
  };
  for (const Step& step : steps) {
    Blocks b = blocks(start());
    b.g = gradient(1);
    step(b, 1, 1);
    b.g.assign(8, 0.0F);
    for (int t = 2; t <= 1200; ++t) {
      step(b, t, 1);
      for (const std::vector<float>& memory : {b.m, b.v, b.a}) {
        for (const float x : memory) ASSERT_NE(std::fpclassify(x), FP_SUBNORMAL) << "step " << t;
      }
    }
    for (const std::vector<float>& memory : {b.m, b.v, b.a}) EXPECT_EQ(memory, std::vector<float>(8));
  }
}

// On every thread that has a part of the weights.
TEST(OptimizerKernels, SubnormalNumbersBecomeZeroInEveryPart) {
#if !defined(__SSE2__)
  GTEST_SKIP() << "this processor is left to make subnormal numbers";
#endif
  const int before = threads();
  set_threads(4);
  // A thread begins with the rules of the one that made it: they are made by this one.
  parallel_for(64, 1e9, [](std::int64_t) {});
  constexpr std::size_t size = 1 << 18;
  constexpr float little = 2 * std::numeric_limits<float>::min();  // a quarter of it is subnormal
  for (const Step& step : {with(SgdRule{.momentum = 0.25}), with(AdamRule{.beta1 = 0.25, .beta2 = 0.25}),
                           with(RmspropRule{.alpha = 0.25, .momentum = 0.25, .centered = true})}) {
    Blocks b = blocks(std::vector<float>(size, 1), 0.0F);
    for (int again = 0; again < 20; ++again) {
      for (std::vector<float>* memory : {&b.m, &b.v, &b.a}) memory->assign(size, little);
      step(b, 2, 1);
      for (const std::vector<float>* memory : {&b.m, &b.v, &b.a}) {
        for (const float x : *memory) ASSERT_TRUE(x == 0 || x == little);  // some rules have less memory
      }
    }
  }
  set_threads(before);
}

TEST(OptimizerKernels, ASubnormalWeightBecomesZero) {
#if !defined(__SSE2__)
  GTEST_SKIP() << "this processor is left to make subnormal numbers";
#endif
  for (const Step& step :
       {with(SgdRule{}), with(AdamRule{}), with(AdamRule{.decoupled = true}), with(RmspropRule{})}) {
    Blocks b = blocks({1e-39F, -1e-40F, 1e-37F}, 0.0F);
    step(b, 1, 1);
    EXPECT_EQ(b.w, (std::vector<float>{0, 0, 1e-37F}));
  }
}

TEST(OptimizerKernels, AnEpsilonThatIsSubnormalKeepsZeroOverZeroAway) {
  for (const double epsilon : {1e-38, 1e-40, 1e-50}) {
    for (const Step& step :
         {with(AdamRule{.epsilon = epsilon}), with(AdamRule{.epsilon = epsilon, .decoupled = true}),
          with(RmspropRule{.epsilon = epsilon})}) {
      Blocks b = blocks(start(), 0.0F);
      step(b, 1, 1);
      EXPECT_EQ(b.w, start()) << epsilon;
    }
  }
}

// Neither the thread that asks for a step nor those that help are left with rules of arithmetic that are not
// the caller's.
TEST(OptimizerKernels, LeaveSubnormalNumbersToOthers) {
  const auto quarter_of_the_least = [] {
    const volatile float least = std::numeric_limits<float>::min();
    return least / 4;
  };
  const float expected = quarter_of_the_least();
  ASSERT_GT(expected, 0);
  for (const Step& step : {with(SgdRule{}), with(SgdRule{.momentum = 0.9}), with(AdamRule{}),
                           with(RmspropRule{.momentum = 0.9, .centered = true})}) {
    Blocks b = blocks(std::vector<float>(1 << 18, 1));
    step(b, 1, 1);
    parallel_for(64, 1e9, [&](std::int64_t) { EXPECT_EQ(quarter_of_the_least(), expected); });
  }
}

// The variance of equal gradients is 0, and rounding makes it negative now and then.
TEST(OptimizerKernels, CenteredRmspropOfEqualGradientsIsNoRootOfANegativeNumber) {
  for (int k = 1; k <= 50; ++k) {
    Blocks b = blocks({1.0F}, 0.1F * static_cast<float>(k));
    for (int t = 1; t <= 300; ++t)
      with(RmspropRule{.alpha = 0.9, .epsilon = 1e-3, .centered = true})(b, t, 1);
    ASSERT_TRUE(std::isfinite(b.w[0])) << k;
  }
}

TEST(OptimizerKernels, ScaleComesBeforeEverything) {
  for (const Step& step :
       {with(SgdRule{.weight_decay = 0.1}), with(SgdRule{.momentum = 0.9, .weight_decay = 0.1}),
        with(AdamRule{.weight_decay = 0.1}), with(RmspropRule{.weight_decay = 0.1, .centered = true})}) {
    Blocks scaled = blocks(start(), 4.0F);
    Blocks plain = blocks(start(), 1.0F);
    for (int t = 1; t <= 3; ++t) {
      step(scaled, t, 0.25);
      step(plain, t, 1);
    }
    EXPECT_EQ(scaled.w, plain.w);
    EXPECT_EQ(scaled.m, plain.m);
    EXPECT_EQ(scaled.v, plain.v);
  }
}

TEST(OptimizerKernels, TouchNothingBehindTheEnd) {
  for (const std::int64_t n : {0, 1, 15, 17}) {
    Blocks b = blocks(std::vector<float>(20, 3), 5);
    adam(b.w.data(), b.g.data(), b.m.data(), b.v.data(), n, {}, adam_correction({}, 1));
    sgd(b.w.data(), b.g.data(), b.m.data(), n, {.momentum = 0.5}, 1);
    rmsprop(b.w.data(), b.g.data(), b.v.data(), b.a.data(), b.m.data(), n,
            {.momentum = 0.5, .centered = true});
    for (auto i = static_cast<std::size_t>(n); i < 20; ++i) {
      ASSERT_TRUE(b.w[i] == 3 && b.m[i] == 0 && b.v[i] == 0 && b.a[i] == 0);
    }
  }
}

TEST(SquaredNorm, NeitherOverflowsNorVanishes) {
  const std::vector<float> large(128, 1e19F);
  EXPECT_DOUBLE_EQ(std::sqrt(squared_norm(large.data(), 128)), static_cast<double>(1e19F) * std::sqrt(128.0));
  EXPECT_NEAR(std::sqrt(squared_norm(large.data(), 128)), 1.1313708498984762e20,
              1e13);  // 1e19 itself is no float
  const std::vector<float> largest(10000, std::numeric_limits<float>::max());
  EXPECT_DOUBLE_EQ(std::sqrt(squared_norm(largest.data(), 10000)), 100 * static_cast<double>(largest[0]));
  const std::vector<float> smallest(4, 1e-45F);
  EXPECT_DOUBLE_EQ(std::sqrt(squared_norm(smallest.data(), 4)), 2 * static_cast<double>(smallest[0]));
}

// Whole chunks add up floats where these hold the squares, and doubles elsewhere.
TEST(SquaredNorm, IsRightForNumbersOfAnySize) {
  const std::int64_t n = 3 * 4096 + 5;
  for (const double size :
       {1e-44, 1e-30, 1e-22, 1e-20, 3e-18, 1e-14, 1e-10, 1.0, 1e10, 1e17, 1e18, 1e20, 1e38}) {
    for (const double other : {0.0, 1e-22, 1e-19, 1e-16, 1.0, 1e16, 1e19}) {
      std::vector<float> x;
      double expected = 0;
      for (std::int64_t i = 0; i < n; ++i) {
        const double wave = std::sin(static_cast<double>(i));
        x.push_back(static_cast<float>(wave * (i % 8 == 3 ? size : other)));
        expected += static_cast<double>(x.back()) * static_cast<double>(x.back());
      }
      EXPECT_NEAR(squared_norm(x.data(), n) / expected, 1, 1e-6) << size << " and " << other;
    }
  }
}

TEST(SquaredNorm, AddsEveryElementOnce) {
  for (const std::int64_t n : {0, 1, 31, 33, 4095, 4096, 4097, 100001, 2000003}) {
    std::vector<float> x;
    double expected = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      x.push_back(static_cast<float>(i % 13 - 6));
      expected += static_cast<double>((i % 13 - 6) * (i % 13 - 6));
    }
    EXPECT_EQ(squared_norm(x.data(), n), expected) << n;  // small integers: every order gives the same sum
  }
}

TEST(SquaredNorm, IsNotFiniteIfAnElementIsNot) {
  for (const std::size_t where : {0U, 17U, 4096U, 99999U}) {
    std::vector<float> x(100000, 1.0F);
    EXPECT_TRUE(all_finite(x.data(), 100000));
    x[where] = infinity;
    EXPECT_EQ(squared_norm(x.data(), 100000), static_cast<double>(infinity));
    EXPECT_FALSE(all_finite(x.data(), 100000));
    x[where] = -infinity;
    EXPECT_FALSE(all_finite(x.data(), 100000));
    x[where] = not_a_number;
    EXPECT_TRUE(std::isnan(squared_norm(x.data(), 100000)));
    EXPECT_FALSE(all_finite(x.data(), 100000));
    EXPECT_TRUE(all_finite(x.data(), static_cast<std::int64_t>(where)));
    x[where] = std::numeric_limits<float>::max();
    EXPECT_TRUE(all_finite(x.data(), 100000));
  }
  EXPECT_TRUE(all_finite(nullptr, 0));
}

TEST(OptimizerKernels, SameBitsForAnyNumberOfThreadsAndAnyAlignment) {
  constexpr std::size_t n = 100003;
  const int before = threads();
  const auto make = [](std::size_t gap) {
    Blocks b = blocks(std::vector<float>(n + gap, 0.5F));
    for (std::size_t i = 0; i < n; ++i) b.g[i + gap] = static_cast<float>((i * 7919) % 1009) * 0.001F - 0.5F;
    return b;
  };
  const auto run = [](Blocks& b, std::size_t gap) {
    const auto count = static_cast<std::int64_t>(n);
    float* w = b.w.data() + gap;
    const float* g = b.g.data() + gap;
    double norms = 0;
    for (int t = 1; t <= 3; ++t) {
      norms += squared_norm(g, count);
      adam(w, g, b.m.data() + gap, b.v.data() + gap, count, {.weight_decay = 0.1}, adam_correction({}, t),
           0.9);
      sgd(w, g, b.m.data() + gap, count, {.momentum = 0.9, .nesterov = true}, t);
      sgd(w, g, nullptr, count, {}, t);
      rmsprop(w, g, b.v.data() + gap, b.a.data() + gap, b.m.data() + gap, count,
              {.momentum = 0.5, .centered = true});
    }
    return norms;
  };
  set_threads(1);
  Blocks one = make(0);
  const double norm = run(one, 0);
  for (const int count : {2, 3, 5}) {
    set_threads(count);
    Blocks many = make(0);
    EXPECT_EQ(run(many, 0), norm);
    EXPECT_EQ(one.w, many.w);
    EXPECT_EQ(one.v, many.v);
  }
  for (const std::size_t gap : {1U, 3U, 8U}) {
    Blocks shifted = make(gap);
    EXPECT_EQ(run(shifted, gap), norm);
    EXPECT_EQ(one.w,
              std::vector<float>(shifted.w.begin() + static_cast<std::ptrdiff_t>(gap), shifted.w.end()));
  }
  set_threads(before);
}

}  // namespace
}  // namespace reel::kernels
