#include "kernels/gelu.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/dual.h"

namespace reel::kernels {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

// The bits of gelu() of each number, which knows no stretches.
void expect_the_bits_of_each(const std::vector<float>& x) {
  std::vector<float> slopes = x, values(x.size());
  gelu_and_slope(slopes.data(), values.data(), static_cast<std::int64_t>(x.size()));
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto [value, slope] = gelu(x[i]);
    if (std::isnan(value)) {
      ASSERT_TRUE(std::isnan(values[i]) && std::isnan(slopes[i])) << x[i] << " at " << i;
      continue;
    }
    ASSERT_EQ(std::bit_cast<std::uint32_t>(values[i]), std::bit_cast<std::uint32_t>(value))
        << x[i] << " at " << i;
    ASSERT_EQ(std::bit_cast<std::uint32_t>(slopes[i]), std::bit_cast<std::uint32_t>(slope))
        << x[i] << " at " << i;
  }
}

std::vector<float> small_numbers(std::size_t n) {
  std::vector<float> x;
  for (std::size_t i = 0; i < n; ++i) x.push_back(static_cast<float>(i * 37 % 199) * 0.1F - 9.9F);
  return x;
}

TEST(Gelu, OfAStretchIsThatOfEachNumber) {
  for (const std::size_t n : {0U, 1U, 15U, 16U, 17U, 1023U, 1024U, 1025U, 5000U})
    expect_the_bits_of_each(small_numbers(n));
  std::vector<float> all;
  for (int i = -80000; i <= 80000; ++i) all.push_back(static_cast<float>(i) / 7000);
  expect_the_bits_of_each(all);
}

TEST(Gelu, OfALargeNumberIsItsLimitWhereverItStands) {
  for (const float large : {10.0F, -10.0F, 10.2F, -10.2F, 15.0F, -15.0F, 20.0F, -20.0F, 1e10F, -1e10F, 3e38F,
                            -3e38F, infinity, nan}) {
    for (const std::size_t n : {1U, 3U, 16U, 33U, 100U}) {
      for (std::size_t i = 0; i < n; ++i) {
        std::vector<float> x = small_numbers(n);
        x[i] = large;
        expect_the_bits_of_each(x);
      }
    }
    const auto [value, slope] = gelu(large);
    if (std::fabs(large) == 10) continue;  // not quite its limit
    if (std::isnan(large)) {
      EXPECT_TRUE(std::isnan(value) && std::isnan(slope));
    } else {
      EXPECT_EQ(value, large > 0 ? large : 0) << large;
      EXPECT_EQ(slope, large > 0 ? 1 : 0) << large;
    }
  }
}

TEST(Gelu, OfDoublesAndDuals) {
  double x[3] = {-1, 0.5, 1e200}, y[3];
  Dual dual_x[3] = {{-1, 1}, {0.5, 1}, {0, 1}}, dual_y[3];
  gelu_and_slope(x, y, 3);
  gelu_and_slope(dual_x, dual_y, 3);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(dual_y[i].value, y[i]);
    EXPECT_NEAR(dual_y[i].tangent, x[i], 1e-15);
  }
  EXPECT_EQ(y[2], 1e200);
  EXPECT_EQ(x[2], 1);
  EXPECT_EQ(dual_x[2].value, 0.5);
  EXPECT_NEAR(dual_x[2].tangent, std::sqrt(2 / M_PI), 1e-15);  // the curvature at 0
}

}  // namespace
}  // namespace reel::kernels
