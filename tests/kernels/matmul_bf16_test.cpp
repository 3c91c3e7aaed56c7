#include "kernels/matmul_bf16.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "kernels/parallel.h"
#include "tests/kernels/matmul_problem.h"

namespace reel::kernels {
namespace {

using namespace testing;

// The two bfloat16 on either side of x, and the nearer one by measuring.
float nearest_bf16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const float low = std::bit_cast<float>(bits & 0xffff0000U);
  const float high = std::bit_cast<float>((bits & 0xffff0000U) + 0x10000U);
  const double to_low = std::fabs(static_cast<double>(x) - static_cast<double>(low));
  const double to_high = std::fabs(static_cast<double>(high) - static_cast<double>(x));
  if (to_low != to_high) return to_low < to_high ? low : high;
  return (bits >> 16 & 1U) == 0 ? low : high;
}

TEST(Bf16, RoundsToTheNearestAndTiesToEven) {
  EXPECT_EQ(round_to_bf16(1.0f), 1.0f);
  EXPECT_EQ(round_to_bf16(1.00390625f), 1.0f);       // halfway between 1 and 1.0078125: the even one
  EXPECT_EQ(round_to_bf16(1.01171875f), 1.015625f);  // halfway between 1.0078125 and 1.015625
  EXPECT_EQ(round_to_bf16(-1.00390637f), -1.0078125f);
  std::mt19937 random(1);
  for (int i = 0; i < 100'000; ++i) {
    const auto x = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    if (!std::isnormal(x) || std::fabs(x) > 3.3e38f) continue;
    ASSERT_EQ(round_to_bf16(x), nearest_bf16(x)) << x;
  }
}

TEST(Bf16, KeepsWhatIsSpecial) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  EXPECT_EQ(round_to_bf16(infinity), infinity);
  EXPECT_EQ(round_to_bf16(-infinity), -infinity);
  EXPECT_EQ(round_to_bf16(std::numeric_limits<float>::max()), infinity);
  EXPECT_TRUE(std::isnan(round_to_bf16(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_TRUE(
      std::isnan(round_to_bf16(std::bit_cast<float>(0x7f800001U))));  // all its bits lie in the lost half
  EXPECT_TRUE(std::signbit(round_to_bf16(-0.0f)));
  EXPECT_EQ(round_to_bf16(1e-39f), 0.0f);
  EXPECT_TRUE(std::signbit(round_to_bf16(-1e-39f)));
}

// The same problem with every factor rounded beforehand.
Problem<float> rounded(Problem<float> p) {
  for (float& x : p.a.memory) x = round_to_bf16(x);
  for (float& x : p.b.memory) x = round_to_bf16(x);
  return p;
}

void expect_the_rounded_product(const Case& c, std::mt19937& random) {
  SCOPED_TRACE(name_of(c));
  Problem<float> p(c, random);
  Problem<float> expected = rounded(p);
  Problem<float> portable = p;
  matmul(expected.arguments());
  Matmul<float> arguments = p.arguments();
  arguments.products = Products::bf16;
  matmul(arguments);
  matmul_bf16_portable(portable.arguments());
  for (std::size_t i = 0; i < p.result.memory.size(); ++i) {
    const float want = expected.result.memory[i];
    if (is_poison(want)) {
      ASSERT_TRUE(is_poison(p.result.memory[i])) << "written outside of C";
      ASSERT_TRUE(is_poison(portable.result.memory[i])) << "written outside of C";
    } else {
      ASSERT_TRUE(same_bits(p.result.memory[i], want)) << p.result.memory[i] << " instead of " << want;
      ASSERT_TRUE(same_bits(portable.result.memory[i], want))
          << portable.result.memory[i] << " instead of " << want;
    }
  }
}

TEST(Bf16, TheProductIsThatOfTheRoundedMatricesBitForBit) {
  std::mt19937 random(2);
  for (int i = 0; i < 600; ++i) expect_the_rounded_product(any_case(random, 257), random);
}

TEST(Bf16, SoItIsForEverySmallSize) {
  std::mt19937 random(3);
  for (Index m = 1; m <= 14; ++m) {
    for (const Index n : {1, 2, 15, 16, 17, 31, 32, 33}) {
      for (const Index k : {1, 2, 3, 16, 31, 32, 33, 34}) {
        for (int kind = 0; kind < 4; ++kind) {
          expect_the_rounded_product({.m = m,
                                      .n = n,
                                      .k = k,
                                      .transpose_a = kind / 2 == 1,
                                      .transpose_b = kind % 2 == 1,
                                      .add = coin(random)},
                                     random);
        }
      }
    }
  }
}

TEST(Bf16, SoItIsBeyondOneBlockOfDepth) {
  std::mt19937 random(4);
  for (const Index k : {255, 336, 496, 511, 512, 513, 545, 1000, 1025, 2100}) {
    for (int kind = 0; kind < 8; ++kind) {
      expect_the_rounded_product({.m = 1 + pick(random, {0, 7, 12, 64, 300}),
                                  .n = 1 + pick(random, {0, 15, 31, 64, 300}),
                                  .k = k,
                                  .transpose_a = kind / 2 % 2 == 1,
                                  .transpose_b = kind % 2 == 1,
                                  .add = kind >= 4,
                                  .bias = kind < 4 && coin(random),
                                  .pad_a = 3,
                                  .pad_c = 1},
                                 random);
    }
  }
}

TEST(Bf16, GivesTheSameBitsForAnyNumberOfThreads) {
  std::mt19937 random(5);
  const int before = threads();
  for (const auto& [m, n, k] : {std::array<Index, 3>{768, 512, 128}, {128, 300, 768}, {500, 10, 784}}) {
    for (int kind = 0; kind < 4; ++kind) {
      Problem<float> p({.m = m, .n = n, .k = k, .transpose_a = kind / 2 == 1, .transpose_b = kind % 2 == 1},
                       random);
      std::vector<float> first;
      for (const int count : {1, 2, 5}) {
        set_threads(count);
        Problem<float> q = p;
        Matmul<float> arguments = q.arguments();
        arguments.products = Products::bf16;
        matmul(arguments);
        if (count == 1) first = q.result.memory;
        for (std::size_t i = 0; i < first.size(); ++i) {
          ASSERT_EQ(std::bit_cast<std::uint32_t>(first[i]), std::bit_cast<std::uint32_t>(q.result.memory[i]));
        }
      }
    }
  }
  set_threads(before);
}

TEST(Bf16, OtherPrecisionsAreMultipliedInFull) {
  std::mt19937 random(6);
  Problem<double> p({.m = 5, .n = 7, .k = 9}, random);
  Problem<double> q = p;
  matmul(p.arguments());
  Matmul<double> arguments = q.arguments();
  arguments.products = Products::bf16;
  matmul(arguments);
  EXPECT_EQ(p.result.at(0, 4, 6), q.result.at(0, 4, 6));
}

}  // namespace
}  // namespace reel::kernels
