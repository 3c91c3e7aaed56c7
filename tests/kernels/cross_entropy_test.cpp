#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
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
  std::vector<T> scale(rows), loss(rows), kept(2 * rows), alone_loss(rows), alone_kept(2 * rows);
  for (std::size_t r = 0; r < scale.size(); ++r) scale[r] = static_cast<T>(0.1) * static_cast<T>(r + 1);
  const CrossEntropy all{rows, cols, labels.data(), ignored, smoothing};
  cross_entropy(all, z.data(), loss.data(), kept.data());
  for (std::int64_t r = 0; r < rows; ++r) {
    const CrossEntropy one{1, cols, labels.data() + r, ignored, smoothing};
    cross_entropy(one, z.data() + r * cols, alone_loss.data() + r, alone_kept.data() + 2 * r);
  }
  expect_same_bits(loss, alone_loss, "loss");
  expect_same_bits(kept, alone_kept, "kept");
  for (const bool add : {false, true}) {
    std::vector<T> dz(z.size(), T(0.25)), alone(z.size(), T(0.25));
    cross_entropy_grad(all, z.data(), kept.data(), scale.data(), Into<T>{dz.data(), add});
    for (std::int64_t r = 0; r < rows; ++r) {
      const CrossEntropy one{1, cols, labels.data() + r, ignored, smoothing};
      cross_entropy_grad(one, z.data() + r * cols, kept.data() + 2 * r, scale.data() + r,
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

// The loss of a row in double, where no float is large.
double loss_in_double(const std::vector<float>& z, const std::vector<double>& weights) {
  const double most = *std::max_element(z.begin(), z.end());
  double sum = 0;
  for (const float x : z) sum += std::exp(static_cast<double>(x) - most);
  double loss = 0;
  for (std::size_t i = 0; i < z.size(); ++i)
    loss += weights[i] * (std::log(sum) + most - static_cast<double>(z[i]));
  return loss;
}

TEST(CrossEntropyKernel, ALossThatAFloatCanHoldDoesNotOverflowOnTheWay) {
  set_threads(1);
  constexpr std::int64_t cols = 23;
  constexpr std::int32_t label = 4;
  constexpr double smoothing = 0.1;
  // Of 3e38 even one difference is too large for a float.
  for (const float size : {1.0F, 1e37F, 1e38F, 3e38F}) {
    SCOPED_TRACE(size);
    std::vector<float> z(cols);
    std::vector<float> targets(cols);
    std::vector<double> hard(cols, smoothing / cols);
    std::vector<double> soft(cols);
    hard[label] += 1 - smoothing;
    for (std::size_t c = 0; c < z.size(); ++c) {
      z[c] = c % 2 == 0 ? size : -size;
      targets[c] = c == label ? 0.75F : c == 1 ? 0.25F : 0.0F;
      soft[c] = (1 - smoothing) * static_cast<double>(targets[c]) + smoothing / cols;
    }
    const auto labels = label;
    float loss = 0;
    float kept[2];
    cross_entropy(CrossEntropy{1, cols, &labels, -100, smoothing}, z.data(), &loss, kept);
    const double expected = loss_in_double(z, hard);
    EXPECT_NEAR(static_cast<double>(loss) / expected, 1, 1e-6) << loss << " for " << expected;
    soft_cross_entropy(z.data(), targets.data(), 1, cols, smoothing, &loss, kept);
    const double expected_soft = loss_in_double(z, soft);
    EXPECT_NEAR(static_cast<double>(loss) / expected_soft, 1, 1e-6) << loss << " for " << expected_soft;
  }
  // The label's own difference is infinite, but not the part of it that counts.
  const std::vector<float> two = {3e38F, -3e38F};
  const std::int32_t wrong = 1;
  float loss = 0;
  float kept[2];
  cross_entropy(CrossEntropy{1, 2, &wrong, -100, 0.9}, two.data(), &loss, kept);
  EXPECT_NEAR(static_cast<double>(loss) / loss_in_double(two, {0.45, 0.55}), 1, 1e-6) << loss;
}

TEST(CrossEntropyKernel, AnInfiniteLossStaysInfinite) {
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> z = {1, -inf, 2};
  const std::vector<float> targets = {0.5F, 0.25F, 0.25F};
  const std::int32_t label = 0;
  float loss = 0;
  float kept[2];
  cross_entropy(CrossEntropy{1, 3, &label, -100, 0.1}, z.data(), &loss, kept);
  EXPECT_EQ(loss, inf);
  soft_cross_entropy(z.data(), targets.data(), 1, 3, 0.0, &loss, kept);
  EXPECT_EQ(loss, inf);
  const std::vector<float> beyond = {3e38F, -3e38F};
  const std::int32_t wrong = 1;
  cross_entropy(CrossEntropy{1, 2, &wrong, -100, 0.1}, beyond.data(), &loss, kept);
  EXPECT_EQ(loss, inf) << "5.7e38 is beyond the floats";
}

// Logits near `offset`, as floats are there: the same numbers for both precisions.
std::vector<float> far_logits(std::int64_t rows, std::int64_t cols, float offset) {
  const Philox numbers(5, static_cast<std::uint64_t>(cols));
  std::vector<float> z(static_cast<std::size_t>(rows * cols));
  for (std::size_t i = 0; i < z.size(); ++i)
    z[i] = offset + static_cast<float>(std::floor(numbers.uniform(i) * 5));
  return z;
}

// The gradients by logits and targets, of one row alone or of all at once, with a gradient of 1 for each row.
template <class T>
std::vector<double> gradients(const std::vector<float>& logits, std::int64_t cols, bool soft) {
  const std::vector<T> z(logits.begin(), logits.end());
  const std::int64_t rows = static_cast<std::int64_t>(z.size()) / cols;
  const std::vector<std::int32_t> labels(static_cast<std::size_t>(rows), 0);
  const std::vector<T> ones(static_cast<std::size_t>(rows), T(1));
  std::vector<T> loss(ones.size()), kept(2 * ones.size()), dz(z.size()), dt(z.size());
  if (soft) {
    const std::vector<T> targets(z.size(), T(1) / static_cast<T>(cols));
    soft_cross_entropy(z.data(), targets.data(), rows, cols, 0.0, loss.data(), kept.data());
    soft_cross_entropy_grad(z.data(), targets.data(), rows, cols, 0.0, kept.data(), ones.data(),
                            Into<T>{dz.data()}, Into<T>{dt.data()});
  } else {
    const CrossEntropy ce{rows, cols, labels.data(), -100, 0.0};
    cross_entropy(ce, z.data(), loss.data(), kept.data());
    cross_entropy_grad(ce, z.data(), kept.data(), ones.data(), Into<T>{dz.data()});
  }
  std::vector<double> all(dz.begin(), dz.end());
  all.insert(all.end(), dt.begin(), dt.end());
  return all;
}

TEST(CrossEntropyKernel, ItsGradientsKeepTheirDigitsFarFromZero) {
  set_threads(1);
  for (const std::int64_t cols : {2, 3, 10, 33, 100, 700, 1500}) {
    for (const std::int64_t rows : {1, 40}) {
      for (const float offset : {0.0F, 1e4F, -1e4F, 1e6F, 1e7F, -1e7F}) {
        const std::vector<float> z = far_logits(rows, cols, offset);
        for (const bool soft : {false, true}) {
          const std::vector<double> single = gradients<float>(z, cols, soft);
          const std::vector<double> exact = gradients<double>(z, cols, soft);
          double most = 0;
          for (std::size_t i = 0; i < exact.size(); ++i) {
            most = std::max(most, std::fabs(single[i] - exact[i]) / std::max(1.0, std::fabs(exact[i])));
          }
          EXPECT_LT(most, 5e-7) << rows << " rows of " << cols << " near " << offset
                                << (soft ? ", soft" : "");
        }
      }
    }
  }
}

TEST(LogsumexpKernel, ItsGradientKeepsItsDigitsFarFromZero) {
  for (const float offset : {0.0F, 1e4F, 1e6F, 1e7F, -1e7F}) {
    const float x[2] = {offset, offset};
    const float dy = 1;
    float y, kept[2], dx[2];
    logsumexp(x, 1, 2, &y, kept);
    logsumexp_grad(x, kept, &dy, 1, 2, Into<float>{dx});
    EXPECT_FLOAT_EQ(dx[0], 0.5F) << offset;
    EXPECT_FLOAT_EQ(dx[1], 0.5F) << offset;
  }
}

}  // namespace
}  // namespace reel::kernels
