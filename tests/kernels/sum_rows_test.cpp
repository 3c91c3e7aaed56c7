#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/dual.h"
#include "kernels/matmul.h"
#include "kernels/parallel.h"

namespace reel::kernels {
namespace {

using Index = std::int64_t;

double tangent_of(double) { return 0; }
double tangent_of(Dual x) { return x.tangent; }

template <class T>
T number(std::mt19937& random) {
  const auto uniform = [&] { return static_cast<double>(random()) / 4294967296.0 * 2 - 1; };
  const double value = uniform();
  if constexpr (std::is_same_v<T, Dual>) {
    return {value, uniform()};
  } else {
    return static_cast<T>(value);
  }
}

template <class T>
void expect_sum_rows(Index rows, Index n, bool add, std::mt19937& random) {
  SCOPED_TRACE(std::to_string(rows) + "x" + std::to_string(n) + (add ? " add" : ""));
  std::vector<T> x;
  for (Index i = 0; i < rows * n; ++i) x.push_back(number<T>(random));
  std::vector<T> out(static_cast<std::size_t>(n + 1), T(std::numeric_limits<double>::quiet_NaN()));
  std::vector<T> before = out;
  for (Index j = 0; j < n && add; ++j)
    out[static_cast<std::size_t>(j)] = before[static_cast<std::size_t>(j)] = number<T>(random);
  sum_rows(x.data(), rows, n, Into<T>{out.data(), add});
  const double epsilon = std::is_same_v<T, float> ? 6e-8 : 1.2e-16;
  for (Index j = 0; j < n; ++j) {
    double value = add ? static_cast<double>(before[static_cast<std::size_t>(j)]) : 0;
    double tangent = add ? tangent_of(before[static_cast<std::size_t>(j)]) : 0;
    double size = 4;
    for (Index i = 0; i < rows; ++i) {
      const T v = x[static_cast<std::size_t>(i * n + j)];
      value += static_cast<double>(v);
      tangent += tangent_of(v);
      size += std::fabs(static_cast<double>(v)) + std::fabs(tangent_of(v));
    }
    ASSERT_NEAR(static_cast<double>(out[static_cast<std::size_t>(j)]), value, 8 * epsilon * size)
        << "column " << j;
    ASSERT_NEAR(tangent_of(out[static_cast<std::size_t>(j)]), tangent, 8 * epsilon * size) << "column " << j;
  }
  EXPECT_TRUE(std::isnan(static_cast<double>(out.back())));
}

TEST(SumRows, EqualsThePlainLoop) {
  std::mt19937 random(10);
  for (const Index rows : {0, 1, 2, 7, 64, 65, 257, 1000}) {
    for (const Index n : {1, 3, 10, 16, 65, 128, 300}) {
      for (const bool add : {false, true}) {
        expect_sum_rows<float>(rows, n, add, random);
        expect_sum_rows<double>(rows, n, add, random);
        if (rows < 100) expect_sum_rows<Dual>(rows, n, add, random);
      }
    }
  }
}

TEST(SumRows, GivesTheSameBitsForAnyNumberOfThreads) {
  std::mt19937 random(11);
  const int threads_before = threads();
  std::vector<float> x;
  for (Index i = 0; i < 777 * 333; ++i) x.push_back(number<float>(random));
  std::vector<float> first;
  for (const int count : {1, 2, 3, 5}) {
    set_threads(count);
    std::vector<float> out(333);
    sum_rows(x.data(), 777, 333, Into<float>{out.data(), false});
    if (count == 1) first = out;
    EXPECT_EQ(out, first);
  }
  set_threads(threads_before);
}

}  // namespace
}  // namespace reel::kernels
