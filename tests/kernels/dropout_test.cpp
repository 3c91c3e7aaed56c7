#include "kernels/dropout.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "kernels/dual.h"
#include "kernels/parallel.h"

namespace reel::kernels {
namespace {

template <class T>
std::vector<T> ramp(std::int64_t n) {
  std::vector<T> x;
  for (std::int64_t i = 0; i < n; ++i) x.push_back(T(0.25 * static_cast<double>(i % 37) - 4.0));
  return x;
}

template <class T>
class Dropout : public ::testing::Test {};
using Scalars = ::testing::Types<float, double, Dual>;
TYPED_TEST_SUITE(Dropout, Scalars);

TYPED_TEST(Dropout, IsTheMaskOfEachElementTimesTheScale) {
  using T = TypeParam;
  for (const std::int64_t n : {0, 1, 7, 31, 33, 127, 128, 129, 1000, 40000}) {
    const DropoutMask mask(0.3, 5, 6, 7);
    const std::vector<T> x = ramp<T>(n);
    std::vector<T> y(x.size() + 1, T(99));
    std::vector<T> sum(x.size() + 1, T(1));
    dropout(x.data(), n, mask, {y.data(), false});
    dropout_grad(x.data(), n, mask, {sum.data(), true});
    for (std::int64_t i = 0; i < n; ++i) {
      const auto k = static_cast<std::size_t>(i);
      const T expected = mask.keeps(i) ? x[k] * T(1 / (1 - 0.3)) : T(0);
      ASSERT_EQ(y[k], expected) << i;
      ASSERT_EQ(sum[k], T(1) + expected) << i;
    }
    EXPECT_EQ(y.back(), T(99));
    EXPECT_EQ(sum.back(), T(1));
  }
}

TYPED_TEST(Dropout, FactorsStartAnywhere) {
  using T = TypeParam;
  const DropoutMask mask(0.5, 1, 2, 3);
  for (const std::int64_t first : {0, 1, 100, 127, 128, 5000}) {
    std::vector<T> factors(301, T(-1));
    dropout_factors(mask, first, 300, factors.data());
    for (std::int64_t j = 0; j < 300; ++j) {
      ASSERT_EQ(factors[static_cast<std::size_t>(j)], mask.keeps(first + j) ? T(2) : T(0))
          << first << " " << j;
    }
    EXPECT_EQ(factors.back(), T(-1));
  }
}

TEST(DropoutMask, CarriesTangents) {
  const DropoutMask mask(0.5, 1, 2, 3);
  std::vector<Dual> x(200, Dual(3, 7));
  std::vector<Dual> y(200);
  dropout(x.data(), 200, mask, {y.data(), false});
  for (std::int64_t i = 0; i < 200; ++i) {
    EXPECT_EQ(y[static_cast<std::size_t>(i)].tangent, mask.keeps(i) ? 14.0 : 0.0);
  }
}

TEST(DropoutMask, DependsOnSeedStreamStepAndElement) {
  constexpr std::int64_t n = 4096;
  const DropoutMask masks[] = {
      {0.5, 1, 2, 3}, {0.5, 9, 2, 3}, {0.5, 1, 9, 3}, {0.5, 1, 2, 9}, {0.5, 1, 2, 3 + (1ULL << 32)}};
  for (const DropoutMask& other : masks) {
    if (&other == &masks[0]) continue;
    int equal = 0;
    for (std::int64_t i = 0; i < n; ++i) equal += masks[0].keeps(i) == other.keeps(i);
    EXPECT_NEAR(equal, n / 2, 5 * std::sqrt(n) / 2);
  }
  int neighbours = 0;
  int far = 0;  // the counter must reach its second word
  for (std::int64_t i = 0; i < n; ++i) {
    neighbours += masks[0].keeps(i) == masks[0].keeps(i + 1);
    far += masks[0].keeps(i) == masks[0].keeps(i + (std::int64_t{1} << 40));
  }
  EXPECT_NEAR(neighbours, n / 2, 5 * std::sqrt(n) / 2);
  EXPECT_NEAR(far, n / 2, 5 * std::sqrt(n) / 2);
}

TEST(DropoutMask, WordsOfFarElementsAreThoseOfTheirBlocks) {
  const DropoutMask mask(0.5, 1, 2, (std::uint64_t{7} << 32) + 1);
  const std::int64_t chunk = (std::int64_t{1} << 33) - 1;
  std::uint32_t words[DropoutMask::span];
  for (const std::int64_t c : {chunk, chunk + 1, std::int64_t{1} << 28}) {
    mask.words(c, words);
    for (std::int64_t j = 0; j < DropoutMask::span; ++j) {
      ASSERT_EQ(words[j] >= mask.threshold(), mask.keeps(c * DropoutMask::span + j)) << j;
    }
  }
}

TEST(DropoutMask, KeepsTheShareItPromises) {
  constexpr std::int64_t n = 100000;
  for (const double p : {0.0, 0.01, 0.1, 0.5, 0.9, 0.999}) {
    const DropoutMask mask(p, 4, 0, 12);
    int kept = 0;
    for (std::int64_t i = 0; i < n; ++i) kept += mask.keeps(i);
    EXPECT_NEAR(kept, n * (1 - p), 5 * std::sqrt(n * p * (1 - p)) + 1e-9) << p;
    EXPECT_DOUBLE_EQ(mask.scale(), 1 / (1 - p));
  }
}

TEST(DropoutMask, ExtremeProbabilities) {
  const std::vector<float> x = ramp<float>(1000);
  std::vector<float> y(1000);
  dropout(x.data(), 1000, DropoutMask(0, 1, 2, 3), {y.data(), false});
  EXPECT_EQ(x, y);
  dropout(x.data(), 1000, DropoutMask(1 - 1e-16, 1, 2, 3), {y.data(), false});
  for (const float value : y) EXPECT_EQ(value, 0.0F);
}

TEST(DropoutMask, DroppedInfinitiesAreZero) {
  const DropoutMask mask(0.5, 1, 2, 3);
  const std::vector<float> x(256, std::numeric_limits<float>::infinity());
  std::vector<float> y(256);
  dropout(x.data(), 256, mask, {y.data(), false});
  for (std::int64_t i = 0; i < 256; ++i) {
    EXPECT_EQ(y[static_cast<std::size_t>(i)], mask.keeps(i) ? x[0] : 0.0F);
  }
}

TEST(DropoutMask, SameBitsForAnyNumberOfThreads) {
  constexpr std::int64_t n = 100003;
  const std::vector<float> x = ramp<float>(n);
  const int before = threads();
  std::vector<float> one(n);
  set_threads(1);
  dropout(x.data(), n, DropoutMask(0.2, 1, 2, 3), {one.data(), false});
  for (const int count : {2, 3, 5}) {
    std::vector<float> many(n);
    set_threads(count);
    dropout(x.data(), n, DropoutMask(0.2, 1, 2, 3), {many.data(), false});
    EXPECT_EQ(one, many);
  }
  set_threads(before);
}

TEST(DropoutMask, AnEmptyIntoIsLeftOut) { dropout<float>(nullptr, 10, DropoutMask(0.5, 1, 2, 3), {}); }

}  // namespace
}  // namespace reel::kernels
