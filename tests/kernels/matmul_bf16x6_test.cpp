#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "kernels/matmul_bf16.h"
#include "kernels/parallel.h"
#include "tests/kernels/matmul_problem.h"
#include "tests/kernels/order_of_tiles.h"
#include "tests/support/guarded.h"

namespace reel::kernels {
namespace {

using namespace testing;

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float largest = std::numeric_limits<float>::max();

void multiply_in_full(Problem<float>& p) { matmul(p.arguments()); }
void multiply_in_pieces(Problem<float>& p) { matmul_bf16x6(p.arguments()); }

// As the pieces are added up where there is a matrix unit, and as floats elsewhere.
void expect_the_product_of_pieces(Problem<float> p) {
  const Case& c = p.c;
  SCOPED_TRACE(name_of(c));
  if (c.m * c.n * c.batch == 0 || (c.k == 0 && c.add)) return;
  Problem<float> expected = p;
  if (has_way(Bf16Way::tiles)) {
    multiply_in_order_of_tiles(expected, three_pieces);
  } else {
    multiply_in_full(expected);
  }
  multiply_in_pieces(p);
  expect_result(p, expected);
}

void expect_the_product_of_pieces(const Case& c, std::mt19937& random) {
  expect_the_product_of_pieces(Problem<float>(c, random));
}

TEST(Bf16x6, TheProductIsThatOfThePiecesBitForBit) {
  std::mt19937 random(2);
  for (int i = 0; i < 250; ++i) expect_the_product_of_pieces(any_case(random, 257), random);
}

TEST(Bf16x6, SoItIsForEverySmallSize) {
  std::mt19937 random(3);
  for_every_small_size({1, 2, 15, 16, 17, 31, 32, 33}, random,
                       [&](const Case& c) { expect_the_product_of_pieces(c, random); });
}

TEST(Bf16x6, SoItIsBeyondOneBlockOfDepth) {
  std::mt19937 random(4);
  for_every_depth({97, 127, 128, 129, 161, 255, 256, 257, 511, 512, 513, 784, 1025}, {0, 31, 32, 64, 100},
                  {0, 31, 32, 64, 100}, random,
                  [&](const Case& c) { expect_the_product_of_pieces(c, random); });
}

// More panels than are packed at a time, where the batch alone gives all threads work.
TEST(Bf16x6, SoItIsForMorePanelsThanThereIsRoomFor) {
  std::mt19937 random(10);
  for (const bool turned : {false, true})
    expect_the_product_of_pieces({.m = 4, .n = 600, .k = 200, .transpose_b = turned, .batch = 8}, random);
}

TEST(Bf16x6, GivesTheSameBitsForAnyNumberOfThreads) {
  std::mt19937 random(5);
  const int before = threads();
  for (const auto& [m, n, k] : {std::array<Index, 3>{768, 512, 128}, {128, 300, 768}, {500, 65, 784}}) {
    for (int kind = 0; kind < 4; ++kind) {
      const Problem<float> p(
          {.m = m, .n = n, .k = k, .transpose_a = kind / 2 == 1, .transpose_b = kind % 2 == 1}, random);
      Problem<float> alone = p;
      set_threads(1);
      multiply_in_pieces(alone);
      for (const int count : {2, 5}) {
        set_threads(count);
        Problem<float> q = p;
        multiply_in_pieces(q);
        expect_result(q, alone);
      }
    }
  }
  set_threads(before);
}

struct Errors {
  double of_all = 0, largest = 0;  // root mean square; in shares of |A| |B|
};
Errors errors_of(Problem<float>& p) {
  Errors errors;
  for (Index i = 0; i < p.c.m; ++i) {
    for (Index j = 0; j < p.c.n; ++j) {
      double exact = 0, size = 0;
      for (Index k = 0; k < p.c.k; ++k) {
        const double product = static_cast<double>(p.left(0, i, k)) * static_cast<double>(p.right(0, k, j));
        exact += product;
        size += std::fabs(product);
      }
      const double error = std::fabs(static_cast<double>(p.result.at(0, i, j)) - exact) / size;
      errors.of_all += error * error / static_cast<double>(p.c.m * p.c.n);
      errors.largest = std::max(errors.largest, error);
    }
  }
  errors.of_all = std::sqrt(errors.of_all);
  return errors;
}

// Pieces leave out less than 2^-24, and each of 16 products of a chain and of the other sums is rounded
// once; floats round once for every k, but where one product outweighs all others only once in effect.
TEST(Bf16x6, IsAsExactAsFloatsAndMoreSoOfNumbersAlike) {
  std::mt19937 random(11);
  std::normal_distribution<float> normal;
  for (const Index k : {32, 100, 128, 500, 784}) {
    for (const float spread : {0.0f, 3.0f, 8.0f}) {  // of the exponents
      Problem<float> p({.m = 70, .n = 90, .k = k}, random);
      const auto draw = [&] { return normal(random) * std::exp2(spread * normal(random)); };
      for (float& x : p.a.memory) x = draw();
      for (float& x : p.b.memory) x = draw();
      Problem<float> full = p;
      multiply_in_pieces(p);
      multiply_in_full(full);
      const Errors got = errors_of(p);
      const Errors of_floats = errors_of(full);
      EXPECT_LE(got.largest, of_floats.largest * 1.5) << "k " << k << ", spread " << spread;
      const Index roundings = 16 + 1 + 6 * ((k + 31) / 32) + (k + 127) / 128;
      EXPECT_LE(got.largest, (static_cast<double>(roundings) + 1.1) * 0x1p-24);
      const bool much_better = has_way(Bf16Way::tiles) && spread == 0;
      EXPECT_LE(got.of_all, (much_better ? 0.7 : 1.1) * of_floats.of_all)
          << "k " << k << ", spread " << spread;
    }
  }
}

// Every float of 24 bits is exactly its pieces, those halfway between two bfloat16 included.
TEST(Bf16x6, OneTimesANumberIsThatNumber) {
  std::mt19937 random(12);
  Problem<float> p({.m = 64, .n = 64, .k = 64}, random);
  for (Index i = 0; i < 64; ++i) {
    for (Index k = 0; k < 64; ++k) {
      p.a.at(0, i, k) = i == k ? 1.0f : 0.0f;
      const auto mantissa = static_cast<std::uint32_t>(random()) & 0x7fffffU;
      const auto exponent = static_cast<std::uint32_t>(24 + random() % 230);
      const std::uint32_t sign = static_cast<std::uint32_t>(random()) & 0x80000000U;
      const std::uint32_t halfway = random() % 4 == 0 ? 0x7f0000U : 0x7fffffU;
      p.b.at(0, i, k) = std::bit_cast<float>(sign | exponent << 23 | (mantissa & halfway) |
                                             (halfway == 0x7f0000U ? 0x8000U : 0U));
    }
  }
  multiply_in_pieces(p);
  for (Index i = 0; i < 64; ++i) {
    for (Index j = 0; j < 64; ++j) ASSERT_EQ(p.result.at(0, i, j), p.b.at(0, i, j)) << i << ", " << j;
  }
}

TEST(Bf16x6, WhatIsNotFiniteIsWhatFloatsMakeOfIt) {
  std::mt19937 random(13);
  const std::vector<float> special = {
      infinity,
      -infinity,
      largest,
      -largest,
      std::numeric_limits<float>::quiet_NaN(),
      std::bit_cast<float>(0x7f800001U),   // all its bits lie in the lower half
      std::bit_cast<float>(0xffffffffU)};  // an addition carries out of it
  for (int kind = 0; kind < 16; ++kind) {
    for (const float x : special) {
      const Case c{.m = 50,
                   .n = 75,
                   .k = 100,  // one block of both
                   .transpose_a = kind / 2 % 2 == 1,
                   .transpose_b = kind % 2 == 1,
                   .add = kind >= 8,
                   .bias = kind / 4 == 1,
                   .addend = kind % 4 == 3,
                   .pad_b = 2};
      SCOPED_TRACE(name_of(c) + " with " + std::to_string(x));
      Problem<float> p(c, random);
      const auto row = static_cast<Index>(random() % 50), column = static_cast<Index>(random() % 75);
      const auto k = static_cast<Index>(random() % 100), other = static_cast<Index>(random() % 100);
      // Some products of the special number are 0, so that a large one leaves sums of the usual size.
      for (Index j = 0; j < c.n; j += 2) (c.transpose_b ? p.b.at(0, j, k) : p.b.at(0, k, j)) = 0;
      for (Index i = 0; i < c.m; i += 2) (c.transpose_a ? p.a.at(0, other, i) : p.a.at(0, i, other)) = 0;
      Problem<float> clean = p;
      (c.transpose_a ? p.a.at(0, k, row) : p.a.at(0, row, k)) = x;
      (c.transpose_b ? p.b.at(0, column, other) : p.b.at(0, other, column)) = x;
      Problem<float> full = p;
      multiply_in_full(full);
      multiply_in_pieces(clean);
      multiply_in_pieces(p);
      for (Index i = 0; i < c.m; ++i) {
        for (Index j = 0; j < c.n; ++j) {
          const float got = p.result.at(0, i, j);
          const float want = i == row || j == column ? full.result.at(0, i, j) : clean.result.at(0, i, j);
          ASSERT_TRUE(same_bits(got, want) || (std::isnan(got) && std::isnan(want)))
              << i << ", " << j << ": " << got << " instead of " << want;
        }
      }
    }
  }
}

// Sums of finite pieces that leave the range of floats, where those of floats stay within it or do so, too.
TEST(Bf16x6, SoAreSumsBeyondTheLargestNumber) {
  std::mt19937 random(14);
  Problem<float> p({.m = 33, .n = 33, .k = 64}, random);
  std::fill(p.a.memory.begin(), p.a.memory.end(), 0.0f);
  std::fill(p.b.memory.begin(), p.b.memory.end(), 0.0f);
  const float below =
      std::bit_cast<float>(0x5f7fffffU);  // squared, below 2^128; its first piece, 2^64, is not
  for (Index i = 0; i < 33; ++i) {
    p.a.at(0, i, 5) = i == 3 ? 0x1p100f : below;
    p.b.at(0, 5, i) = i == 4 ? -0x1p100f : below;
  }
  Problem<float> full = p;
  multiply_in_full(full);
  multiply_in_pieces(p);
  EXPECT_TRUE(std::isfinite(p.result.at(0, 0, 0)));
  EXPECT_EQ(p.result.at(0, 3, 4), -infinity);
  EXPECT_EQ(p.result.at(0, 3, 5), infinity);
  expect_result(p, full);
}

// Packed factors are filled up with zeros, which what an earlier product left in that memory must not reach.
TEST(Bf16x6, AnEarlierProductOfInfinitiesLeavesNothingBehind) {
  std::mt19937 random(9);
  for (int kind = 0; kind < 4; ++kind) {
    const bool transpose_a = kind / 2 == 1;
    const bool transpose_b = kind % 2 == 1;
    Problem<float> infinite(
        {.m = 64, .n = 64, .k = 128, .transpose_a = transpose_a, .transpose_b = transpose_b}, random);
    for (float& x : infinite.a.memory) x = infinity;
    for (float& x : infinite.b.memory) x = infinity;
    multiply_in_pieces(infinite);
    EXPECT_EQ(infinite.result.at(0, 63, 63), infinity);
    for (const Index k : {1, 2, 15, 31, 33, 70})
      expect_the_product_of_pieces(
          {.m = 5, .n = 20, .k = k, .transpose_a = transpose_a, .transpose_b = transpose_b}, random);
  }
}

// Small ones among others: a piece that is a subnormal must not reach into the number beside it.
TEST(Bf16x6, SoItIsForNumbersNextToZero) {
  std::mt19937 random(15);
  for (int kind = 0; kind < 4; ++kind) {
    for (const Index k : {1, 2, 33, 100}) {
      Problem<float> p({.m = 40, .n = 50, .k = k, .transpose_a = kind / 2 == 1, .transpose_b = kind % 2 == 1},
                       random);
      for (auto* const matrix : {&p.a.memory, &p.b.memory}) {
        for (float& x : *matrix) {
          if (coin(random)) x = std::ldexp(x, -static_cast<int>(random() % 150));
        }
      }
      expect_the_product_of_pieces(p);
    }
  }
}

// What is multiplied again is read where it lies, too.
TEST(Bf16x6, ReadsAndWritesNothingBehindItsMatrices) {
  std::mt19937 random(16);
  for (const Index m : {1, 5, 12, 13, 30, 33}) {
    for (const Index n : {1, 17, 32, 40}) {
      for (const Index k : {1, 8, 70}) {
        for (int kind = 0; kind < 4; ++kind) {
          Problem<float> p(
              {.m = m, .n = n, .k = k, .transpose_a = kind / 2 == 1, .transpose_b = kind % 2 == 1}, random);
          for (float& x : p.a.memory) x = infinity;
          const auto size = [](Index rows, Index columns) {
            return static_cast<std::size_t>(rows * columns);
          };
          reel::testing::Guarded<float> a(size(m, k)), b(size(k, n)), c(size(m, n));
          std::copy_n(p.a.data(), m * k, a.data());
          std::copy_n(p.b.data(), k * n, b.data());
          Matmul<float> guarded = p.arguments();
          guarded.a = a.data();
          guarded.b = b.data();
          guarded.c = {c.data(), false};
          matmul_bf16x6(guarded);
          multiply_in_full(p);
          for (Index i = 0; i < m; ++i) {
            for (Index j = 0; j < n; ++j) {
              const float got = c.data()[i * n + j], want = p.result.at(0, i, j);
              ASSERT_TRUE(got == want || (std::isnan(got) && std::isnan(want))) << i << ", " << j;
            }
          }
        }
      }
    }
  }
}

TEST(Bf16x6, AMatmulTakesPiecesFrom64RowsAndColumnsOn) {
  std::mt19937 random(8);
  for (const auto& [m, n, k] : {std::array<Index, 3>{64, 64, 90},
                                {64, 64, 32},
                                {63, 64, 90},
                                {64, 63, 90},
                                {64, 64, 31},
                                {1, 512, 128}}) {
    Problem<float> p({.m = m, .n = n, .k = k}, random);
    Problem<float> expected = p;
    Matmul<float> arguments = p.arguments();
    arguments.products = Products::bf16x6;
    const bool large = m >= 64 && n >= 64 && k >= 32;
    EXPECT_EQ(is_faster_in_pieces(arguments), large && has_way(Bf16Way::tiles));
    matmul(arguments);
    if (large) {
      multiply_in_pieces(expected);
    } else {
      multiply_in_full(expected);
    }
    expect_result(p, expected);
  }
}

}  // namespace
}  // namespace reel::kernels
