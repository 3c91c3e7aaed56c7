#include "kernels/matmul_bf16.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "kernels/parallel.h"
#include "tests/kernels/matmul_problem.h"
#include "tests/kernels/order_of_tiles.h"

namespace reel::kernels {
namespace {

using namespace testing;

TEST(Bf16, RoundsToTheNearestAndTiesToEven) {
  EXPECT_EQ(round_to_bf16(1.0f), 1.0f);
  EXPECT_EQ(round_to_bf16(1.00390625f), 1.0f);       // halfway between 1 and 1.0078125: the even one
  EXPECT_EQ(round_to_bf16(1.01171875f), 1.015625f);  // halfway between 1.0078125 and 1.015625
  EXPECT_EQ(round_to_bf16(-1.00390637f), -1.0078125f);
  std::mt19937 random(1);
  for (int i = 0; i < 100'000; ++i) {
    const auto x = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    if (!std::isnormal(x) || std::fabs(x) > 3.3e38f) continue;
    ASSERT_EQ(round_to_bf16(x), nearest_bf16(x, Tie::to_even)) << x;
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

constexpr Bf16Way ways[] = {Bf16Way::floats, Bf16Way::pairs, Bf16Way::tiles};

void expect_the_rounded_product(const Case& c, std::mt19937& random) {
  const Problem<float> original(c, random);
  if (c.m * c.n * c.batch == 0 || (c.k == 0 && c.add)) return;
  Problem<float> in_one_chain = rounded(original);
  Problem<float> in_tiles = in_one_chain;
  matmul(in_one_chain.arguments());
  for (const Bf16Way way : ways) {
    if (!has_way(way)) continue;
    SCOPED_TRACE(name_of(c) + ", way " + std::to_string(static_cast<int>(way)));
    Problem<float> p = original;
    matmul_bf16(p.arguments(), way);
    if (way == Bf16Way::tiles) multiply_in_order_of_tiles(in_tiles, one_piece);
    expect_result(p, way == Bf16Way::tiles ? in_tiles : in_one_chain);
  }
}

TEST(Bf16, TheProductIsThatOfTheRoundedMatricesBitForBit) {
  std::mt19937 random(2);
  for (int i = 0; i < 600; ++i) expect_the_rounded_product(any_case(random, 257), random);
}

TEST(Bf16, SoItIsForEverySmallSize) {
  std::mt19937 random(3);
  for_every_small_size({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14}, random,
                       [&](const Case& c) { expect_the_rounded_product(c, random); });
}

TEST(Bf16, SoItIsBeyondOneBlockOfDepth) {
  std::mt19937 random(4);
  for_every_depth({255, 336, 496, 511, 512, 513, 545, 1000, 1025, 2100}, {0, 7, 12, 64, 300},
                  {0, 15, 31, 64, 300}, random,
                  [&](const Case& c) { expect_the_rounded_product(c, random); });
}

// Packed factors are filled up with zeros, which what an earlier product left in that memory must not reach.
TEST(Bf16, AnEarlierProductOfInfinitiesLeavesNothingBehind) {
  std::mt19937 random(9);
  for (const Bf16Way way : ways) {
    for (int kind = 0; kind < 4 && has_way(way); ++kind) {
      const bool transpose_a = kind / 2 == 1;
      const bool transpose_b = kind % 2 == 1;
      Problem<float> infinite(
          {.m = 64, .n = 64, .k = 128, .transpose_a = transpose_a, .transpose_b = transpose_b}, random);
      for (float& x : infinite.a.memory) x = std::numeric_limits<float>::infinity();
      for (float& x : infinite.b.memory) x = std::numeric_limits<float>::infinity();
      matmul_bf16(infinite.arguments(), way);
      EXPECT_TRUE(std::isinf(infinite.result.at(0, 63, 63)));
      for (const Index k : {1, 2, 15, 31, 33, 70})
        expect_the_rounded_product(
            {.m = 5, .n = 20, .k = k, .transpose_a = transpose_a, .transpose_b = transpose_b}, random);
    }
  }
}

// A row is the same alone, as a key-value cache asks for it, and among others.
TEST(Bf16, ARowHasTheSameBitsAloneAndAmongOthers) {
  std::mt19937 random(7);
  for (const Bf16Way way : ways) {
    for (int kind = 0; kind < 4 && has_way(way); ++kind) {
      Problem<float> p(
          {.m = 45, .n = 70, .k = 600, .transpose_a = kind / 2 == 1, .transpose_b = kind % 2 == 1}, random);
      const Matmul<float> all = p.arguments();
      matmul_bf16(all, way);
      for (Index i = 0; i < 45; ++i) {
        std::vector<float> row(70, poison<float>());
        Matmul<float> one = all;
        one.m = 1;
        one.a += i * (one.transpose_a ? 1 : one.lda);
        one.c = {row.data(), false};
        matmul_bf16(one, way);
        for (Index j = 0; j < 70; ++j)
          ASSERT_TRUE(same_bits(row[static_cast<std::size_t>(j)], p.result.at(0, i, j))) << i << ", " << j;
      }
    }
  }
}

// More panels than are packed at a time, where the batch alone gives all threads work.
TEST(Bf16, SoItIsForMorePanelsThanThereIsRoomFor) {
  std::mt19937 random(10);
  for (const bool turned : {false, true})
    expect_the_rounded_product({.m = 4, .n = 600, .k = 500, .transpose_b = turned, .batch = 8}, random);
}

TEST(Bf16, GivesTheSameBitsForAnyNumberOfThreads) {
  std::mt19937 random(5);
  const int before = threads();
  for (const auto& [m, n, k] : {std::array<Index, 3>{768, 512, 128}, {128, 300, 768}, {500, 10, 784}}) {
    for (int kind = 0; kind < 4; ++kind) {
      const Problem<float> p(
          {.m = m, .n = n, .k = k, .transpose_a = kind / 2 == 1, .transpose_b = kind % 2 == 1}, random);
      for (const Bf16Way way : ways) {
        std::vector<float> first;
        for (const int count : {1, 2, 5}) {
          if (!has_way(way)) continue;
          set_threads(count);
          Problem<float> q = p;
          matmul_bf16(q.arguments(), way);
          if (count == 1) first = q.result.memory;
          for (std::size_t i = 0; i < first.size(); ++i)
            ASSERT_EQ(std::bit_cast<std::uint32_t>(first[i]),
                      std::bit_cast<std::uint32_t>(q.result.memory[i]));
        }
      }
    }
  }
  set_threads(before);
}

TEST(Bf16, AMatmulTakesTheFastestWay) {
  EXPECT_TRUE(has_way(Bf16Way::floats));
  EXPECT_TRUE(has_way(fastest_way()));
  std::mt19937 random(8);
  Problem<float> p({.m = 40, .n = 50, .k = 90}, random);
  Problem<float> q = p;
  Matmul<float> arguments = p.arguments();
  arguments.products = Products::bf16;
  matmul(arguments);
  matmul_bf16(q.arguments(), fastest_way());
  expect_result(p, q);
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
