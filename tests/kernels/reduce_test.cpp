#include "kernels/reduce.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/dual.h"

namespace reel::kernels {
namespace {

// Small whole numbers: their sums are exact in any order.
std::vector<float> whole_numbers(std::int64_t n) {
  std::vector<float> x;
  for (std::int64_t i = 0; i < n; ++i) x.push_back(static_cast<float>(i * 37 % 101 - 50));
  return x;
}

TEST(Reduce, ASumHasEveryTermAtEveryLength) {
  for (const std::int64_t n : {0, 1, 2, 31, 32, 33, 1023, 1024, 1025, 65535, 65536, 65537, 300001}) {
    const std::vector<float> x = whole_numbers(n);
    double expected = 0;
    for (const float v : x) expected += static_cast<double>(v);
    EXPECT_EQ(static_cast<double>(sum(x.data(), n)), expected) << n;
  }
}

TEST(Reduce, TheExtremeIsFoundWhereverItStands) {
  for (const std::int64_t cols : {1, 2, 3, 15, 16, 17, 31, 32, 33, 63, 64, 65, 200}) {
    for (std::int64_t at = 0; at < cols; ++at) {
      std::vector<float> x(static_cast<std::size_t>(3 * cols), 0.5F);  // [3, cols]
      x[static_cast<std::size_t>(cols + at)] = 2;
      x[static_cast<std::size_t>(2 * cols + at)] = -2;
      float high[3], low[3];
      row_max(x.data(), 3, cols, high);
      row_min(x.data(), 3, cols, low);
      EXPECT_EQ(high[0], 0.5F);
      EXPECT_EQ(high[1], 2) << cols << " columns, the largest at " << at;
      EXPECT_EQ(low[2], -2) << cols << " columns, the smallest at " << at;
      std::vector<float> dx(x.size(), 7);
      const float dy[3] = {1, 1, 1};
      row_extreme_grad(x.data(), high, dy, 3, cols, Into<float>{dx.data(), false});
      for (std::int64_t c = 0; c < cols; ++c) {
        EXPECT_EQ(dx[static_cast<std::size_t>(cols + c)], c == at ? 1 : 0);
        EXPECT_EQ(dx[static_cast<std::size_t>(c)], c == 0 ? 1 : 0);  // of equal ones, the first
      }
    }
  }
}

TEST(Reduce, ANaNIsTheExtremeWhereverItStandsAndGradientsAreAdded) {
  for (const std::int64_t cols : {1, 2, 33, 64, 65, 200}) {
    for (std::int64_t at = 0; at < cols; ++at) {
      std::vector<float> x(static_cast<std::size_t>(cols), 0.5F);
      x[static_cast<std::size_t>(at)] = std::nanf("");
      float high = 0, low = 0;
      row_max(x.data(), 1, cols, &high);
      row_min(x.data(), 1, cols, &low);
      EXPECT_TRUE(std::isnan(high)) << cols << " columns, NaN at " << at;
      EXPECT_TRUE(std::isnan(low)) << cols << " columns, NaN at " << at;
      std::vector<float> dx(x.size(), 7);
      const float dy = 2;
      row_extreme_grad(x.data(), &high, &dy, 1, cols, Into<float>{dx.data(), true});
      for (std::int64_t c = 0; c < cols; ++c) EXPECT_EQ(dx[static_cast<std::size_t>(c)], c == at ? 9 : 7);
    }
  }
}

// The derivative that forward mode finds must be the one of backward, which goes to the first of equal ones.
TEST(Reduce, OfEqualDualsTheFirstIsTheExtreme) {
  constexpr int most = 70;
  for (int first = 0; first < most; ++first) {
    Dual x[most];  // 0 up to the first, and 2 from there on
    for (int i = 0; i < most; ++i) x[i] = {i < first ? 0.0 : 2.0, static_cast<double>(i)};
    Dual high, low;
    row_max(x, 1, most, &high);
    EXPECT_EQ(high.value, 2);
    EXPECT_EQ(high.tangent, first);
    for (Dual& v : x) v.value = -v.value;
    row_min(x, 1, most, &low);
    EXPECT_EQ(low.tangent, first);
  }
}

}  // namespace
}  // namespace reel::kernels
