#include "kernels/rotary.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/dual.h"
#include "kernels/parallel.h"
#include "kernels/philox.h"

namespace reel::kernels {
namespace {

template <class T>
std::vector<T> numbers(std::int64_t n, std::uint64_t stream) {
  std::vector<T> x(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = T(Philox(1, stream).uniform(i) * 4 - 2);
  return x;
}

TEST(Rotary, TurnsPairsByTheirAngle) {
  constexpr std::int64_t rows = 3, time = 5, channels = 6;
  const std::vector<double> x = numbers<double>(rows * time * channels, 1);
  for (const std::int64_t first : {0, 7}) {
    std::vector<double> y(x.size());
    rotary({.rows = rows,
            .time = time,
            .channels = channels,
            .base = 100.0,
            .first_position = first,
            .backwards = false},
           x.data(), Into<double>{y.data(), false});
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t t = 0; t < time; ++t) {
        for (std::int64_t i = 0; i < 3; ++i) {
          const double angle =
              static_cast<double>(first + t) * std::pow(100.0, -2.0 * static_cast<double>(i) / 6);
          const auto at = static_cast<std::size_t>((r * time + t) * channels + i);
          EXPECT_NEAR(y[at], x[at] * std::cos(angle) - x[at + 3] * std::sin(angle), 1e-14);
          EXPECT_NEAR(y[at + 3], x[at + 3] * std::cos(angle) + x[at] * std::sin(angle), 1e-14);
        }
      }
    }
  }
}

TEST(Rotary, ProductsDependOnTheDistanceOnly) {
  const std::vector<double> q = numbers<double>(8, 1), k = numbers<double>(8, 2);
  const auto product = [&](std::int64_t i, std::int64_t j) {
    std::vector<double> a(8), b(8);
    rotary({.rows = 1, .time = 1, .channels = 8, .base = 10000.0, .first_position = i, .backwards = false},
           q.data(), Into<double>{a.data(), false});
    rotary({.rows = 1, .time = 1, .channels = 8, .base = 10000.0, .first_position = j, .backwards = false},
           k.data(), Into<double>{b.data(), false});
    double sum = 0;
    for (std::size_t c = 0; c < 8; ++c) sum += a[c] * b[c];
    return sum;
  };
  EXPECT_NEAR(product(5, 2), product(103, 100), 1e-12);
  EXPECT_GT(std::fabs(product(5, 2) - product(5, 4)), 1e-3);
}

TEST(Rotary, TheWayBackIsTheInverseAndAdds) {
  const std::vector<float> x = numbers<float>(2 * 9 * 10, 3);
  std::vector<float> y(x.size()), back(x.size(), 1.0F);
  rotary({.rows = 2, .time = 9, .channels = 10, .base = 10000.0, .first_position = 3, .backwards = false},
         x.data(), Into<float>{y.data(), false});
  rotary({.rows = 2, .time = 9, .channels = 10, .base = 10000.0, .first_position = 3, .backwards = true},
         y.data(), Into<float>{back.data(), true});
  for (std::size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(back[i], x[i] + 1, 1e-6);
}

TEST(Rotary, TheTableFollowsEveryArgument) {
  // One table is kept from call to call; a row of a long sequence and the same row alone must agree.
  const std::vector<float> x = numbers<float>(20 * 4, 3);
  std::vector<float> all(x.size()), one(4), other(4);
  rotary({.rows = 1, .time = 20, .channels = 4, .base = 10000.0, .first_position = 0, .backwards = false},
         x.data(), Into<float>{all.data(), false});
  for (std::int64_t t = 0; t < 20; ++t) {
    rotary({.rows = 1, .time = 1, .channels = 4, .base = 10000.0, .first_position = t, .backwards = false},
           x.data() + t * 4, Into<float>{one.data(), false});
    for (std::size_t c = 0; c < 4; ++c) EXPECT_EQ(one[c], all[static_cast<std::size_t>(t) * 4 + c]);
  }
  rotary({.rows = 1, .time = 1, .channels = 4, .base = 50.0, .first_position = 19, .backwards = false},
         x.data(), Into<float>{other.data(), false});
  rotary({.rows = 1, .time = 1, .channels = 4, .base = 10000.0, .first_position = 19, .backwards = false},
         x.data(), Into<float>{one.data(), false});
  EXPECT_NE(one, other);
  rotary({.rows = 1, .time = 2, .channels = 2, .base = 50.0, .first_position = 19, .backwards = false},
         x.data(), Into<float>{other.data(), false});
  rotary({.rows = 1, .time = 1, .channels = 4, .base = 50.0, .first_position = 19, .backwards = false},
         x.data(), Into<float>{one.data(), false});
  EXPECT_NE(one, other);
}

TEST(Rotary, SameBitsForAnyNumberOfThreads) {
  const int before = threads();
  const std::vector<float> x = numbers<float>(40 * 70 * 16, 3);
  std::vector<float> y(x.size()), z(x.size());
  set_threads(1);
  rotary({.rows = 40, .time = 70, .channels = 16, .base = 10000.0, .first_position = 0, .backwards = false},
         x.data(), Into<float>{y.data(), false});
  for (const int n : {2, 3, 5}) {
    set_threads(n);
    rotary({.rows = 40, .time = 70, .channels = 16, .base = 10000.0, .first_position = 0, .backwards = false},
           x.data(), Into<float>{z.data(), false});
    EXPECT_EQ(y, z) << n;
  }
  set_threads(before);
}

}  // namespace
}  // namespace reel::kernels
