#include "kernels/norm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace reel::kernels {
namespace {

using Index = std::int64_t;
using Floats = std::vector<float>;

TEST(Norm, EpsilonStandsUnderTheRoot) {
  const float x[2] = {-1, 1}, w[2] = {1, 1}, b[2] = {0, 0};
  float y[2], saved[layer_norm_saved];
  layer_norm(x, w, b, 1, 2, 3.0, y, saved);  // variance 1
  EXPECT_EQ(y[1], 0.5F);
  rms_norm(x, w, 1, 2, 3.0, y, saved);
  EXPECT_EQ(y[1], 0.5F);
}

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

Floats normal_numbers(Index n, std::mt19937& random) {
  std::normal_distribution<float> numbers;
  Floats x(at(n));
  std::generate(x.begin(), x.end(), [&] { return numbers(random); });
  return x;
}

// A row before the weight and the bias, in doubles, and the root of its variance plus epsilon.
struct Exact {
  std::vector<double> numbers;
  double deviation;
};

Exact normalised(const float* x, Index cols, double epsilon) {
  const auto n = static_cast<double>(cols);
  double mean = 0, variance = 0;
  for (Index i = 0; i < cols; ++i) mean += static_cast<double>(x[i]) / n;
  for (Index i = 0; i < cols; ++i) variance += std::pow(static_cast<double>(x[i]) - mean, 2) / n;
  Exact exact{{}, std::sqrt(variance + epsilon)};
  for (Index i = 0; i < cols; ++i)
    exact.numbers.push_back((static_cast<double>(x[i]) - mean) / exact.deviation);
  return exact;
}

struct Numbers {
  double scale;  // of the deviation from the mean
  double mean;   // in that scale
};

void PrintTo(const Numbers& p, std::ostream* out) { *out << "scale " << p.scale << ", mean " << p.mean; }

class LayerNorm : public testing::TestWithParam<Numbers> {};
INSTANTIATE_TEST_SUITE_P(OfNumbers, LayerNorm,
                         testing::Values(Numbers{1, 0}, Numbers{1, 3}, Numbers{1, 4e4}, Numbers{1, -1e6},
                                         Numbers{1e-8, 1e7}, Numbers{1e-12, 0}, Numbers{1e-12, 1e4},
                                         Numbers{1e-18, 0}, Numbers{1e-30, 0}, Numbers{1e-36, 1},
                                         Numbers{1e15, 0}, Numbers{1e18, 2}, Numbers{1e19, 0},
                                         Numbers{1e30, 1e3}, Numbers{3e37, 0}, Numbers{1e36, 100}));

// Every third row: rows beside it need not be as large.
TEST_P(LayerNorm, KeepsItsDigits) {
  const Numbers p = GetParam();
  std::mt19937 random(1);
  for (const Index cols : {2, 5, 16, 33, 128, 1000, 5000}) {
    constexpr Index rows = 20;
    Floats x = normal_numbers(rows * cols, random);
    for (Index r = 0; r < rows; r += 3) {
      for (Index i = r * cols; i < (r + 1) * cols; ++i)
        x[at(i)] =
            static_cast<float>(p.scale * (static_cast<double>(std::clamp(x[at(i)], -3.0F, 3.0F)) + p.mean));
    }
    const double epsilon = 1e-5 * std::min(1.0, p.scale * p.scale);
    const Floats w = normal_numbers(cols, random), b = normal_numbers(cols, random);
    Floats y(x.size()), saved(at(rows * layer_norm_saved));
    layer_norm(x.data(), w.data(), b.data(), rows, cols, epsilon, y.data(), saved.data());
    for (Index r = 0; r < rows; ++r) {
      const std::vector<double> exact = normalised(x.data() + r * cols, cols, epsilon).numbers;
      for (Index c = 0; c < cols; ++c) {
        const double want = exact[at(c)] * static_cast<double>(w[at(c)]) + static_cast<double>(b[at(c)]);
        const double size = std::fabs(exact[at(c)] * static_cast<double>(w[at(c)])) +
                            std::fabs(static_cast<double>(b[at(c)])) +
                            std::fabs(static_cast<double>(w[at(c)]));
        ASSERT_NEAR(static_cast<double>(y[at(r * cols + c)]), want, 2e-6 * size)
            << "row " << r << ", column " << c << " of " << cols;
      }
    }
  }
}

TEST(Norm, LayerNormOfEqualNumbersIsTheBias) {
  for (const float value : {0.0F, 0.1F, -7.7F, 1e-20F, 1e-38F, 12345.678F, 1e20F, 3e38F}) {
    for (const Index cols : {1, 3, 7, 100, 129}) {
      const Floats x(at(cols), value), w(at(cols), 1.0F), b(at(cols), 0.25F);
      Floats y(at(cols));
      float saved[layer_norm_saved];
      layer_norm(x.data(), w.data(), b.data(), 1, cols, 1e-30, y.data(), saved);
      EXPECT_EQ(y, b) << value << ", " << cols << " columns";
    }
  }
}

// The mean of such rows is off by more than their deviation, if floats are added up.
TEST(Norm, LayerNormOfEqualNumbersButOne) {
  for (const float value : {0.1F, -7.7F, 12345.678F, 1.1e20F}) {
    for (const Index cols : {100, 777, 1000, 3001, 5000}) {
      Floats x(at(cols), value);
      x[at(cols / 3)] = std::nextafter(value, 0.0F);
      const Floats w(at(cols), 1.0F), b(at(cols), 0.0F);
      Floats y(at(cols));
      float saved[layer_norm_saved];
      layer_norm(x.data(), w.data(), b.data(), 1, cols, 1e-30, y.data(), saved);
      const std::vector<double> exact = normalised(x.data(), cols, 1e-30).numbers;
      for (Index c = 0; c < cols; ++c)
        ASSERT_NEAR(static_cast<double>(y[at(c)]) / exact[at(c)], 1, 5e-3)
            << value << ", column " << c << " of " << cols;
    }
  }
}

TEST(Norm, LayerNormOfWhatIsNoNumberIsNone) {
  for (const float value :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Floats x(100, 1.0F);
    x[70] = value;  // in row 1 of 2
    const Floats w(50, 1.0F), b(50, 0.0F);
    Floats y(100), saved(2 * layer_norm_saved);
    layer_norm(x.data(), w.data(), b.data(), 2, 50, 1e-5, y.data(), saved.data());
    EXPECT_TRUE(std::all_of(y.begin(), y.begin() + 50, [](float v) { return v == 0; }));
    EXPECT_TRUE(std::all_of(y.begin() + 50, y.end(), [](float v) { return std::isnan(v); }));
  }
}

// Sums of columns at every width of a tile, and more rows than are added up at a time; each result wanted or
// not.
TEST(Norm, GradientsOfLayerNorm) {
  std::mt19937 random(2);
  for (const Index rows : {1, 2, 63, 64, 65, 128, 300}) {
    for (const Index cols : {2, 15, 63, 64, 65, 128, 130}) {
      for (int wanted = 1; wanted < 16; ++wanted) {
        const bool adds = (wanted & 8) != 0;
        SCOPED_TRACE(std::to_string(rows) + "x" + std::to_string(cols) + ", case " + std::to_string(wanted));
        const Floats x = normal_numbers(rows * cols, random), w = normal_numbers(cols, random),
                     b = normal_numbers(cols, random), dy = normal_numbers(rows * cols, random);
        Floats y(x.size()), saved(at(rows * layer_norm_saved));
        layer_norm(x.data(), w.data(), b.data(), rows, cols, 1e-5, y.data(), saved.data());
        Floats dx(x.size(), 1.0F), dw(at(cols), 2.0F), db(at(cols), 3.0F);
        const auto into = [&](int bit, Floats& to) {
          return (wanted & bit) != 0 ? Into<float>{to.data(), adds} : Into<float>{};
        };
        layer_norm_grad(x.data(), w.data(), saved.data(), dy.data(), rows, cols, into(1, dx), into(2, dw),
                        into(4, db));
        std::vector<double> want_dx(x.size(), 1.0), want_dw(at(cols), 2.0), want_db(at(cols), 3.0);
        if (!adds) {
          for (auto* all : {&want_dx, &want_dw, &want_db}) std::fill(all->begin(), all->end(), 0.0);
        }
        for (Index r = 0; r < rows; ++r) {
          const auto [h, deviation] = normalised(x.data() + r * cols, cols, 1e-5);
          double mean_g = 0, mean_gh = 0;
          const auto n = static_cast<double>(cols);
          for (Index c = 0; c < cols; ++c) {
            const double d = static_cast<double>(dy[at(r * cols + c)]), g = d * static_cast<double>(w[at(c)]);
            mean_g += g / n;
            mean_gh += g * h[at(c)] / n;
            want_dw[at(c)] += d * h[at(c)];
            want_db[at(c)] += d;
          }
          for (Index c = 0; c < cols; ++c) {
            const double g = static_cast<double>(dy[at(r * cols + c)]) * static_cast<double>(w[at(c)]);
            want_dx[at(r * cols + c)] += (g - mean_g - h[at(c)] * mean_gh) / deviation;
          }
        }
        const auto expect = [&](const Floats& got, const std::vector<double>& want, int bit, float before,
                                double tolerance) {
          for (std::size_t i = 0; i < got.size(); ++i) {
            if ((wanted & bit) == 0) {
              ASSERT_EQ(got[i], before) << i;
            } else {
              ASSERT_NEAR(static_cast<double>(got[i]), want[i], tolerance * (1 + std::fabs(want[i]))) << i;
            }
          }
        };
        // Two numbers that lie close together have a large slope, most of which cancels.
        expect(dx, want_dx, 1, 1.0F, cols == 2 ? 1e-2 : 1e-4);
        expect(dw, want_dw, 2, 2.0F, 1e-4);
        expect(db, want_db, 4, 3.0F, 1e-4);
      }
    }
  }
}

}  // namespace
}  // namespace reel::kernels
