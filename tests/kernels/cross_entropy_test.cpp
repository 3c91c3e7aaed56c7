#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <vector>

#include "kernels/parallel.h"
#include "kernels/philox.h"
#include "kernels/softmax.h"

namespace reel::kernels {
namespace {

// Logits of all sizes, with some that are infinite or not a number.
template <class T>
std::vector<T> some_logits(std::int64_t rows, std::int64_t cols) {
  const Philox numbers(3, static_cast<std::uint64_t>(cols));
  std::vector<T> z(static_cast<std::size_t>(rows * cols));
  for (std::size_t i = 0; i < z.size(); ++i) z[i] = static_cast<T>(numbers.uniform(i) * 20 - 10);
  const auto at = [&](std::int64_t row, std::int64_t col) -> T& {
    return z[static_cast<std::size_t>(row * cols + col)];
  };
  at(3, cols / 2) = -std::numeric_limits<T>::infinity();
  at(5, cols - 1) = std::numeric_limits<T>::infinity();
  at(7, 0) = std::numeric_limits<T>::quiet_NaN();
  at(8, 0) = static_cast<T>(1e4);
  at(9, 0) = static_cast<T>(-1e4);
  return z;
}

template <class T>
void expect_same_bits(const std::vector<T>& a, const std::vector<T>& b, const char* what) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] != a[i] && b[i] != b[i]) continue;
    ASSERT_EQ(std::memcmp(&a[i], &b[i], sizeof(T)), 0) << what << " " << i << ": " << a[i] << ", " << b[i];
  }
}

template <class T>
void compare_with_rows_alone(std::int64_t cols, double smoothing) {
  constexpr std::int64_t rows = 45;
  constexpr std::int32_t ignored = -100;
  const std::vector<T> z = some_logits<T>(rows, cols);
  std::vector<std::int32_t> labels;
  for (std::int64_t r = 0; r < rows; ++r) {
    labels.push_back(r % 7 == 0 ? ignored : static_cast<std::int32_t>(r * 5 % cols));
  }
  std::vector<T> scale(rows), loss(rows), lse(rows), alone_loss(rows), alone_lse(rows);
  for (std::size_t r = 0; r < scale.size(); ++r) scale[r] = static_cast<T>(0.1) * static_cast<T>(r + 1);
  const CrossEntropy all{rows, cols, labels.data(), ignored, smoothing};
  cross_entropy(all, z.data(), loss.data(), lse.data());
  for (std::int64_t r = 0; r < rows; ++r) {
    const CrossEntropy one{1, cols, labels.data() + r, ignored, smoothing};
    cross_entropy(one, z.data() + r * cols, alone_loss.data() + r, alone_lse.data() + r);
  }
  expect_same_bits(loss, alone_loss, "loss");
  expect_same_bits(lse, alone_lse, "lse");
  for (const bool add : {false, true}) {
    std::vector<T> dz(z.size(), T(0.25)), alone(z.size(), T(0.25));
    cross_entropy_grad(all, z.data(), lse.data(), scale.data(), Into<T>{dz.data(), add});
    for (std::int64_t r = 0; r < rows; ++r) {
      const CrossEntropy one{1, cols, labels.data() + r, ignored, smoothing};
      cross_entropy_grad(one, z.data() + r * cols, lse.data() + r, scale.data() + r,
                         Into<T>{alone.data() + r * cols, add});
    }
    expect_same_bits(dz, alone, add ? "dz added" : "dz");
    for (std::int64_t c = 0; c < cols; ++c) {
      EXPECT_EQ(dz[static_cast<std::size_t>(7 * cols + c)], add ? T(0.25) : T(0)) << "an ignored row";
    }
  }
}

TEST(CrossEntropyKernel, ARowAmongOthersHasTheBitsItHasAlone) {
  set_threads(1);
  for (const std::int64_t cols : {1, 2, 3, 5, 10, 16, 31, 32, 33, 100, 700}) {
    for (const double smoothing : {0.0, 0.1}) {
      SCOPED_TRACE(cols);
      compare_with_rows_alone<float>(cols, smoothing);
      compare_with_rows_alone<double>(cols, smoothing);
    }
  }
}

}  // namespace
}  // namespace reel::kernels
