#include "kernels/philox.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

namespace reel::kernels {
namespace {

using Words = std::array<std::uint32_t, 4>;

// The vectors that Random123 publishes for philox4x32 with 10 rounds.
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({~0U, ~0U, ~0U, ~0U}, {~0U, ~0U}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, BlockSpreadsTheCounterOverTheWords) {
  const Philox random(3, 4);
  EXPECT_EQ(random.block(0x85a308d3243f6a88, 0x0370734413198a2e),
            philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, random.key()));
  const Words words = random.block(21);
  EXPECT_EQ(random.bits(42), words[0] | std::uint64_t{words[1]} << 32);
  EXPECT_EQ(random.bits(43), words[2] | std::uint64_t{words[3]} << 32);
}

// Runs of other days must find the same numbers: these bits are part of every checkpoint's meaning.
TEST(Philox, BitsNeverChange) {
  const Philox random(1, 2);
  EXPECT_EQ(random.bits(0), 0x66d412094fff0d3eU);
  EXPECT_EQ(random.normal(0), 1.2172502120497315);
  EXPECT_EQ(random.normal(1), 0.58526374153793692);
  std::vector<std::int32_t> order(8);
  random.permutation(3, std::span(order));
  EXPECT_EQ(order, (std::vector<std::int32_t>{4, 0, 5, 7, 3, 6, 1, 2}));
}

TEST(Philox, SeedsAndStreamsDiffer) {
  std::set<std::array<std::uint32_t, 2>> keys;
  for (std::uint64_t seed = 0; seed < 64; ++seed) {
    for (std::uint64_t stream = 0; stream < 64; ++stream) keys.insert(Philox(seed, stream).key());
  }
  EXPECT_EQ(keys.size(), 64U * 64U);
  EXPECT_NE(Philox(1, 2).key(), Philox(2, 1).key());
}

TEST(Philox, UniformHasTheMomentsOfTheUnitInterval) {
  const Philox random(11, 1);
  constexpr std::uint64_t n = 200000;
  double sum = 0;
  double squares = 0;
  double neighbours = 0;
  std::vector<int> bins(100, 0);
  double last = 0.5;
  for (std::uint64_t i = 0; i < n; ++i) {
    const double u = random.uniform(i);
    ASSERT_GT(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
    squares += (u - 0.5) * (u - 0.5);
    neighbours += (u - 0.5) * (last - 0.5);
    last = u;
    ++bins[static_cast<std::size_t>(u * 100)];
  }
  EXPECT_NEAR(sum / n, 0.5, 5 * std::sqrt(1.0 / 12 / n));
  EXPECT_NEAR(squares / n, 1.0 / 12, 5 * std::sqrt(1.0 / 180 / n));
  EXPECT_NEAR(neighbours / n, 0.0, 5.0 / 12 / std::sqrt(double{n}));
  double chi2 = 0;
  for (const int count : bins) chi2 += (count - n / 100.0) * (count - n / 100.0) / (n / 100.0);
  EXPECT_LT(chi2, 99 + 5 * std::sqrt(2 * 99.0));
  EXPECT_GT(chi2, 99 - 5 * std::sqrt(2 * 99.0));
}

TEST(Philox, NormalHasTheMomentsOfTheNormalDistribution) {
  const Philox random(5, 9);
  constexpr std::uint64_t n = 200000;
  double m1 = 0;
  double m2 = 0;
  double m3 = 0;
  double m4 = 0;
  double pairs = 0;
  int beyond_two = 0;
  for (std::uint64_t i = 0; i < n; ++i) {
    const double z = random.normal(i);
    m1 += z;
    m2 += z * z;
    m3 += z * z * z;
    m4 += z * z * z * z;
    pairs += z * random.normal(i ^ 1);
    beyond_two += std::fabs(z) > 2;
  }
  const double unit = 5 / std::sqrt(double{n});
  EXPECT_NEAR(m1 / n, 0, unit);
  EXPECT_NEAR(m2 / n, 1, unit * std::sqrt(2.0));
  EXPECT_NEAR(m3 / n, 0, unit * std::sqrt(15.0));
  EXPECT_NEAR(m4 / n, 3, unit * std::sqrt(96.0));
  EXPECT_NEAR(pairs / n, 0, unit * std::sqrt(2.0));  // every pair is counted twice
  EXPECT_NEAR(beyond_two / double{n}, 0.0455003, unit * 0.2084);
}

TEST(Philox, NormalIsTheFormulaOfBoxAndMuller) {
  const Philox random(77, 3);
  for (std::uint64_t i = 0; i < 5000; ++i) {
    const double u = random.uniform(i & ~std::uint64_t{1});
    const double v = random.uniform(i | 1);
    const double angle = 2 * 3.14159265358979323846 * v;
    const double expected = std::sqrt(-2 * std::log(u)) * ((i & 1) != 0 ? std::sin(angle) : std::cos(angle));
    // The angle of the reference is rounded to one part in 2^53, so its sine is only right to about 1e-15.
    ASSERT_NEAR(random.normal(i), expected, 4e-15 * std::max(1.0, std::sqrt(-2 * std::log(u)))) << i;
  }
}

TEST(Philox, BelowCoversItsRangeEvenly) {
  const Philox random(8, 8);
  std::vector<int> counts(7, 0);
  for (std::uint64_t i = 0; i < 70000; ++i) {
    const std::uint64_t k = random.below(i, 7);
    ASSERT_LT(k, 7U);
    ++counts[k];
  }
  for (const int count : counts) EXPECT_NEAR(count, 10000, 500);
  EXPECT_EQ(random.below(0, 1), 0U);
  EXPECT_EQ(random.below(0, 0), 0U);
  EXPECT_LT(random.below(1, ~std::uint64_t{0}), ~std::uint64_t{0});
}

TEST(Philox, PermutationIsABijectionOfItsOwn) {
  const Philox random(21, 6);
  for (const std::size_t n : {0UL, 1UL, 2UL, 3UL, 10UL, 1797UL, 60000UL}) {
    std::vector<std::int32_t> order(n);
    random.permutation(0, std::span(order));
    std::vector<std::int32_t> sorted = order;
    std::sort(sorted.begin(), sorted.end());
    for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(sorted[i], static_cast<std::int32_t>(i));
    std::vector<std::int32_t> next(n);
    random.permutation(1, std::span(next));
    std::vector<std::int32_t> again(n);
    random.permutation(0, std::span(again));
    EXPECT_EQ(order, again);
    EXPECT_TRUE(n < 10 || order != next);
  }
}

TEST(Philox, PermutationsOfThreeAreEquallyLikely) {
  const Philox random(2, 2);
  std::vector<int> counts(27, 0);
  for (std::uint64_t epoch = 0; epoch < 6000; ++epoch) {
    std::array<std::uint32_t, 3> p{};
    random.permutation(epoch, std::span<std::uint32_t>(p));
    ++counts[p[0] * 9 + p[1] * 3 + p[2]];
  }
  int seen = 0;
  for (const int count : counts) {
    if (count == 0) continue;
    ++seen;
    EXPECT_NEAR(count, 1000, 150);
  }
  EXPECT_EQ(seen, 6);
}

}  // namespace
}  // namespace reel::kernels
