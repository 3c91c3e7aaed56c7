#include "kernels/math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace reel::kernels {
namespace {

constexpr float inf = std::numeric_limits<float>::infinity();

// The distance of two floats in steps of the float grid, signed zeros together.
double ulps(float a, double exact) {
  const auto rounded = static_cast<float>(exact);
  if (std::isnan(a) || std::isnan(rounded)) return std::isnan(a) && std::isnan(rounded) ? 0 : 1e30;
  if (std::isinf(a) || std::isinf(rounded)) {
    return a == rounded || std::fabs(exact) > 3.4028233e38 ? 0 : 1e30;
  }
  const float size = std::max(std::fabs(rounded), std::numeric_limits<float>::min());
  const double step = static_cast<double>(std::nextafter(size, inf)) - static_cast<double>(size);
  return std::fabs(static_cast<double>(a) - exact) / step;
}

struct Function {
  const char* name;
  void (*loop)(const float* x, float* y, int n);
  double (*exact)(double x);
  double bound;
};

template <float (*f)(float)>
void over(const float* x, float* y, int n) {
  for (int i = 0; i < n; ++i) y[i] = f(x[i]);
}

double exact_sigmoid(double x) { return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x)); }
double exact_softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::fabs(x))); }

#ifdef __FMA__
constexpr double slack = 1;
#else
constexpr double slack = 3;  // every step of a polynomial rounds twice
#endif

const Function functions[] = {
    {"exp", over<exp>, std::exp, 1.0},
    {"expm1", over<expm1>, std::expm1, 2.0},
    {"log", over<log>, std::log, 1.0},
    {"log1p", over<log1p>, std::log1p, 2.0},
    {"tanh", over<tanh>, std::tanh, 2.5},
    {"sigmoid", over<sigmoid>, exact_sigmoid, 2.5},
    {"softplus", over<softplus>, exact_softplus, 2.0},
    {"erf", over<erf>, std::erf, 2.0},
};

void PrintTo(const Function& f, std::ostream* out) { *out << f.name; }

class FloatMath : public testing::TestWithParam<Function> {};
INSTANTIATE_TEST_SUITE_P(Every, FloatMath, testing::ValuesIn(functions),
                         [](const testing::TestParamInfo<Function>& p) { return std::string(p.param.name); });

TEST_P(FloatMath, StaysWithinItsErrorOverTheWholeRange) {
  constexpr int n = 4096;
  std::vector<float> x(n), y(n);
  double worst = 0;
  float worst_x = 0;
  std::uint32_t bits = 0;
  constexpr std::uint32_t stride = 1021;  // every 1021st of all floats, signs and NaNs included
  for (bool more = true; more;) {
    int count = 0;
    for (; count < n && more; ++count) {
      x[static_cast<std::size_t>(count)] = std::bit_cast<float>(bits);
      more = bits <= std::numeric_limits<std::uint32_t>::max() - stride;
      bits += stride;
    }
    GetParam().loop(x.data(), y.data(), count);
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
      const double error = ulps(y[i], GetParam().exact(static_cast<double>(x[i])));
      if (error > worst) {
        worst = error;
        worst_x = x[i];
      }
    }
  }
  EXPECT_LE(worst, GetParam().bound * slack) << "at " << worst_x;
  RecordProperty("ulps", std::to_string(worst));
}

TEST_P(FloatMath, KnowsTheSpecialValues) {
  std::vector<float> x = {0.0f,
                          -0.0f,
                          1e-45f,
                          -1e-45f,
                          1.18e-38f,
                          -1.18e-38f,
                          1e-8f,
                          -1e-8f,
                          0.5f,
                          -0.5f,
                          1.0f,
                          -1.0f,
                          10.0f,
                          -10.0f,
                          20.0f,
                          -20.0f,
                          87.3f,
                          -87.3f,
                          88.72f,
                          -88.72f,
                          88.73f,
                          -88.73f,
                          103.97f,
                          -103.97f,
                          104.0f,
                          -104.0f,
                          1e4f,
                          -1e4f,
                          1e30f,
                          -1e30f,
                          std::numeric_limits<float>::max(),
                          -std::numeric_limits<float>::max(),
                          inf,
                          -inf,
                          std::numeric_limits<float>::quiet_NaN(),
                          1.0f + 1.2e-7f,
                          1.0f - 6e-8f,
                          -1.0f - 1.2e-7f};
  std::vector<float> y(x.size());
  GetParam().loop(x.data(), y.data(), static_cast<int>(x.size()));
  for (std::size_t i = 0; i < x.size(); ++i) {
    EXPECT_LE(ulps(y[i], GetParam().exact(static_cast<double>(x[i]))), GetParam().bound * slack)
        << GetParam().name << "(" << x[i] << ") = " << y[i];
  }
}

TEST_P(FloatMath, GivesTheSameBitsInAVectorAndAlone) {
  constexpr int n = 200;
  std::vector<float> x(n), together(n);
  for (int i = 0; i < n; ++i) x[static_cast<std::size_t>(i)] = -9.0f + 0.097f * static_cast<float>(i);
  GetParam().loop(x.data(), together.data(), n);
  for (int offset = 0; offset < 64; ++offset) {
    std::vector<float> y(n);
    GetParam().loop(x.data() + offset, y.data() + offset, n - offset);
    for (std::size_t i = static_cast<std::size_t>(offset); i < n; ++i) {
      ASSERT_EQ(std::bit_cast<std::uint32_t>(y[i]), std::bit_cast<std::uint32_t>(together[i]))
          << "offset " << offset;
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    float alone = 0;
    GetParam().loop(&x[i], &alone, 1);
    ASSERT_EQ(std::bit_cast<std::uint32_t>(alone), std::bit_cast<std::uint32_t>(together[i]));
  }
}

TEST(DualMath, CarriesTheDerivative) {
  const Dual x(0.7, 1.0);
  EXPECT_DOUBLE_EQ(exp(x).tangent, std::exp(0.7));
  EXPECT_DOUBLE_EQ(log(x).tangent, 1 / 0.7);
  EXPECT_DOUBLE_EQ(log1p(x).tangent, 1 / 1.7);
  EXPECT_DOUBLE_EQ(expm1(x).tangent, std::exp(0.7));
  EXPECT_DOUBLE_EQ(tanh(x).tangent, 1 - std::tanh(0.7) * std::tanh(0.7));
  EXPECT_DOUBLE_EQ(erf(Dual(0, 1)).tangent, 1.1283791670955126);
  EXPECT_DOUBLE_EQ(softplus(Dual(0, 1)).tangent, 0.5);
  EXPECT_DOUBLE_EQ(sin(x).tangent, std::cos(0.7));
  EXPECT_DOUBLE_EQ(cos(x).tangent, -std::sin(0.7));
  EXPECT_DOUBLE_EQ(sqrt(x).tangent, 0.5 / std::sqrt(0.7));
  EXPECT_DOUBLE_EQ(rsqrt(x).tangent, -0.5 / (0.7 * std::sqrt(0.7)));
  EXPECT_DOUBLE_EQ(abs(Dual(0, 1)).tangent, 0);
  EXPECT_DOUBLE_EQ(pow(Dual(0, 1), Dual(2)).tangent, 0);
  EXPECT_DOUBLE_EQ(pow(Dual(0, 1), Dual(0)).tangent, 0);
  EXPECT_DOUBLE_EQ(pow(x, Dual(3)).tangent, 3 * 0.7 * 0.7);
}

}  // namespace
}  // namespace reel::kernels
