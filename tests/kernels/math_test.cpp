#include "kernels/math.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cfenv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/sine.h"

namespace reel::kernels {
namespace {

constexpr float inf = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

// The distance of a float from the exact value in steps of the float grid, signed zeros together.
double ulps(float a, double exact) {
  const auto rounded = static_cast<float>(exact);
  if (std::isnan(a) || std::isnan(rounded)) return std::isnan(a) && std::isnan(rounded) ? 0 : 1e30;
  if (std::isinf(a) || std::isinf(rounded)) {
    return a == rounded || std::fabs(exact) > 3.4028233e38 ? 0 : 1e30;
  }
  const float size = std::max(std::fabs(rounded), std::numeric_limits<float>::min());
  const double step = static_cast<double>(size) - static_cast<double>(std::nextafter(size, 0.0f));
  const bool power = (std::bit_cast<std::uint32_t>(size) & 0x7fffffu) == 0;
  return std::fabs(static_cast<double>(a) - exact) /
         (power && size > std::numeric_limits<float>::min() ? 2 * step : step);
}

struct Function {
  const char* name;
  void (*loop)(const float* x, float* y, int n);
  double (*exact)(double x);
  double bound;  // in ulps, where fused multiply-add is available
};

template <float (*f)(float)>
void over(const float* x, float* y, int n) {
  for (int i = 0; i < n; ++i) y[i] = f(x[i]);
}

template <int quarters>
void sine_over(const float* x, float* y, int n) {
  sine<float>(x, quarters, nullptr, n, {y, false});
}

double exact_slope_of_cos(double x) { return -std::sin(x); }
double exact_sigmoid(double x) { return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x)); }
double exact_sigmoid_slope(double x) { return exact_sigmoid(x) * exact_sigmoid(-x); }
double exact_sigmoid4(double x) { return x <= -64 ? 0 : exact_sigmoid(x * std::log(4.0)); }
double exact_softplus(double x) {
  return (x < 0 ? 0 : x) + std::log1p(std::exp(-std::fabs(x)));  // keeps a NaN
}
double exact_normal_cdf(double x) { return std::erfc(-x * M_SQRT1_2) / 2; }
double exact_rsqrt(double x) { return 1 / std::sqrt(x); }
double exact_abs(double x) { return std::fabs(x); }
double exact_sign(double x) { return std::isnan(x) ? x : x > 0 ? 1 : x < 0 ? -1 : 0; }

#ifdef __FMA__
constexpr double slack = 1;
#else
constexpr double slack = 3;  // every step of a polynomial rounds twice
#endif

const Function functions[] = {
    {"exp", over<exp>, std::exp, 0.91},
    {"expm1", over<expm1>, std::expm1, 1.45},
    {"log", over<log>, std::log, 0.87},
    {"log1p", over<log1p>, std::log1p, 1.45},
    {"tanh", over<tanh>, std::tanh, 2.01},
    {"sigmoid", over<sigmoid>, exact_sigmoid, 1.65},
    {"sigmoid_slope", over<sigmoid_slope<float>>, exact_sigmoid_slope, 3.9},
    {"sigmoid4", over<sigmoid4>, exact_sigmoid4, 3.53},
    {"softplus", over<softplus>, exact_softplus, 1.71},
    {"erf", over<erf>, std::erf, 1.43},
    {"normal_cdf", over<normal_cdf>, exact_normal_cdf, 67},
    {"sin", sine_over<0>, std::sin, 0.51},
    {"cos", sine_over<1>, std::cos, 0.51},
    {"slope_of_cos", sine_over<2>, exact_slope_of_cos, 0.51},
    {"sqrt", over<sqrt<float>>, std::sqrt, 0.51},
    {"rsqrt", over<rsqrt<float>>, exact_rsqrt, 1.5},
    {"abs", over<abs<float>>, exact_abs, 0.0},
    {"sign", over<sign<float>>, exact_sign, 0.0},
};

// Zeros, subnormals, the neighbourhoods of 1 and of the bounds of exp in float and in double, inf and NaN.
std::vector<float> special_values() {
  std::vector<float> values;
  for (const float x :
       {0.0f,    1e-45f,    1e-40f,     1.17549435e-38f, 1.18e-38f, 1e-30f, 1e-8f,   1e-4f,
        0.5f,    1.0f,      1.0000001f, 0.99999994f,     10.0f,     20.0f,  87.3f,   87.33655f,
        88.72f,  88.72284f, 88.73f,     103.97f,         103.98f,   104.0f, 709.78f, 709.79f,
        745.13f, 1e4f,      1e30f,      3.40282347e38f,  inf,       nan}) {
    values.push_back(x);
    values.push_back(-x);
  }
  return values;
}

void PrintTo(const Function& f, std::ostream* out) { *out << f.name; }

class FloatMath : public testing::TestWithParam<Function> {
 protected:
  double worst_ = 0;
  float worst_x_ = 0;

  // Every stride-th float of `count` from the one with these bits on.
  void walk(std::uint32_t first, std::uint64_t count, std::uint32_t stride) {
    constexpr std::size_t block = 4096;
    std::vector<float> x(block), y(block);
    std::uint32_t bits = first;
    while (count > 0) {
      const std::size_t n = std::min<std::uint64_t>(count, block);
      for (std::size_t i = 0; i < n; ++i, bits += stride) x[i] = std::bit_cast<float>(bits);
      GetParam().loop(x.data(), y.data(), static_cast<int>(n));
      for (std::size_t i = 0; i < n; ++i) {
        const double error = ulps(y[i], GetParam().exact(static_cast<double>(x[i])));
        if (error > worst_) {
          worst_ = error;
          worst_x_ = x[i];
        }
      }
      count -= n;
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Every, FloatMath, testing::ValuesIn(functions),
                         [](const testing::TestParamInfo<Function>& p) { return std::string(p.param.name); });

TEST_P(FloatMath, StaysWithinItsErrorOverTheWholeRange) {
  constexpr std::uint32_t stride = 1021;
  walk(0, (std::uint64_t{1} << 32) / stride, stride);  // signs and NaNs included
  EXPECT_LE(worst_, GetParam().bound * slack) << "at " << worst_x_;
}

TEST_P(FloatMath, StaysWithinItsErrorWhereItMattersMost) {
  constexpr std::uint32_t stride = 97;
  for (const float sign : {1.0f, -1.0f}) {  // from 1/16 to 128
    walk(std::bit_cast<std::uint32_t>(sign * 0.0625f), (std::uint64_t{11} << 23) / stride, stride);
  }
  EXPECT_LE(worst_, GetParam().bound * slack) << "at " << worst_x_;
}

TEST_P(FloatMath, StaysWithinItsErrorBesideTheSpecialValues) {
  for (const float x : special_values()) {
    if (!std::isnan(x)) walk(std::bit_cast<std::uint32_t>(x) - 1000, 2000, 1);
  }
  EXPECT_LE(worst_, GetParam().bound * slack) << "at " << worst_x_;
}

TEST_P(FloatMath, KnowsTheSpecialValues) {
  const std::vector<float> x = special_values();
  std::vector<float> y(x.size());
  GetParam().loop(x.data(), y.data(), static_cast<int>(x.size()));
  for (std::size_t i = 0; i < x.size(); ++i) {
    EXPECT_LE(ulps(y[i], GetParam().exact(static_cast<double>(x[i]))), GetParam().bound * slack)
        << GetParam().name << "(" << x[i] << ") = " << y[i];
  }
}

// A result of 0 costs no more than another: processors of Intel stop for 150 cycles and more where a number
// underflows, and a causal mask asks for e^-inf again and again.
TEST_P(FloatMath, DoesNotUnderflowFarOut) {
#ifndef __FMA__
  if (std::string(GetParam().name) == "normal_cdf") {
    GTEST_SKIP() << "without fused multiply-add, g++ computes e^x also where its bound then replaces it";
  }
#endif
  constexpr int n = 64;
  for (const float x : {-inf, -1e30f, -200.0f, 200.0f, 1e30f, inf}) {
    const std::vector<float> same(n, x);
    std::vector<float> y(n);
    std::feclearexcept(FE_ALL_EXCEPT);
    GetParam().loop(same.data(), y.data(), n);
    EXPECT_EQ(std::fetestexcept(FE_UNDERFLOW), 0) << GetParam().name << "(" << x << ")";
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
      if (std::isnan(x[i]) || std::isnan(y[i])) continue;
      ASSERT_EQ(std::bit_cast<std::uint32_t>(y[i]), std::bit_cast<std::uint32_t>(together[i]))
          << "offset " << offset;
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    float alone = 0;
    GetParam().loop(&x[i], &alone, 1);
    if (std::isnan(alone)) continue;
    ASSERT_EQ(std::bit_cast<std::uint32_t>(alone), std::bit_cast<std::uint32_t>(together[i]));
  }
}

TEST(FloatMathAt, TheEdges) {
  EXPECT_LT(exp(88.72f), inf);
  EXPECT_EQ(exp(88.73f), inf);
  EXPECT_EQ(std::fpclassify(exp(-103.9f)), FP_SUBNORMAL);
  EXPECT_EQ(exp(-104.0f), 0.0f);
  EXPECT_EQ(log(0.0f), -inf);
  EXPECT_EQ(log(-0.0f), -inf);
  EXPECT_TRUE(std::isnan(log(-1e-45f)));
  EXPECT_EQ(log1p(-1.0f), -inf);
  EXPECT_TRUE(std::isnan(log1p(-1.0000001f)));
  EXPECT_EQ(expm1(-inf), -1.0f);
  EXPECT_EQ(tanh(inf), 1.0f);
  EXPECT_EQ(tanh(-inf), -1.0f);
  EXPECT_EQ(erf(-inf), -1.0f);
  EXPECT_EQ(normal_cdf(inf), 1.0f);
  EXPECT_EQ(normal_cdf(-inf), 0.0f);
  EXPECT_EQ(sigmoid(-1e4f), 0.0f);
  EXPECT_EQ(sigmoid(1e4f), 1.0f);
  EXPECT_EQ(sigmoid4(-64.0f), 0.0f);
  EXPECT_EQ(sigmoid4(-1e30f), 0.0f);
  EXPECT_EQ(sigmoid4(-inf), 0.0f);
  EXPECT_EQ(sigmoid4(inf), 1.0f);
  EXPECT_EQ(softplus(-1e4f), 0.0f);
  EXPECT_EQ(softplus(1e4f), 1e4f);
  using Plain = float (*)(float);
  for (const Plain odd : std::initializer_list<Plain>{expm1, log1p, tanh, erf}) {
    EXPECT_TRUE(std::signbit(odd(-0.0f)));
    EXPECT_FALSE(std::signbit(odd(0.0f)));
    EXPECT_TRUE(std::isnan(odd(nan)));
    EXPECT_TRUE(std::isnan(odd(-nan)));
  }
  EXPECT_TRUE(std::isnan(sigmoid(nan)) && std::isnan(sigmoid4(nan)) && std::isnan(softplus(nan)) &&
              std::isnan(sign(nan)));
}

// From 2^20 on the C library's serves, element by element.
TEST(Sine, OfLargeNumbersIsExactAndLeavesTheirNeighboursAlone) {
  const float edge = 0x1p20F;
  const std::vector<float> x = {1.5F,
                                std::nextafter(edge, 0.0F),
                                edge,
                                -edge,
                                std::nextafter(edge, inf),
                                -3e38F,
                                -0.25F,
                                inf,
                                nan,
                                -0.0F,
                                1e7F};
  for (const int quarters : {0, 1, 2, 3, 4}) {
    std::vector<float> y(x.size());
    sine<float>(x.data(), quarters, nullptr, static_cast<std::int64_t>(x.size()), {y.data(), false});
    for (std::size_t i = 0; i < x.size(); ++i) {
      const auto wide = static_cast<double>(x[i]);
      const double size = (quarters & 1) != 0 ? std::cos(wide) : std::sin(wide);
      EXPECT_LE(ulps(y[i], (quarters & 2) != 0 ? -size : size), 0.51 * slack) << x[i] << " " << quarters;
      float alone = 0;
      sine<float>(&x[i], quarters, nullptr, 1, {&alone, false});
      EXPECT_TRUE(std::isnan(alone) ? std::isnan(y[i]) : alone == y[i]) << x[i];
    }
  }
  float zero = -0.0F;
  sine<float>(&zero, 0, nullptr, 1, {&zero, false});
  EXPECT_TRUE(std::signbit(zero));
}

TEST(Sine, IsMultipliedAndAdded) {
  std::vector<float> x(3000), factor(3000), y(3000, 1.0F), sizes(3000);
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<float>(i) * 0.37F - 500;
    factor[i] = static_cast<float>(i % 7) - 3;
  }
  sine<float>(x.data(), 3, nullptr, 3000, {sizes.data(), false});
  sine<float>(x.data(), 3, factor.data(), 3000, {y.data(), true});
  for (std::size_t i = 0; i < x.size(); ++i) ASSERT_EQ(y[i], 1 + factor[i] * sizes[i]) << i;
  sine<float>(x.data(), 0, nullptr, 3000, {});  // nobody wants it
  double wide = 0.5;
  sine<double>(&wide, 1, nullptr, 1, {&wide, false});
  EXPECT_EQ(wide, std::cos(0.5));
}

// A softmax computes with one, and what its tests expect with the other.
TEST(ExpOfNegative, HasTheBitsOfExp) {
  const auto bits = [](float x) { return std::bit_cast<std::uint32_t>(x); };
  constexpr std::uint32_t stride = 1021;
  const std::uint32_t last = bits(-inf);
  for (std::uint32_t i = bits(-0.0f); i <= last; i = last - i < stride && i != last ? last : i + stride) {
    const auto x = std::bit_cast<float>(i);
    ASSERT_EQ(bits(exp_of_negative(x)), bits(exp(x))) << x;
  }
  for (const float x : {-0.0f, 0.0f, 1e-7f, -87.33655f, -103.97f, -103.98f, -104.0f, -132.39f, -132.4f,
                        -3.40282347e38f, 44.0f})
    EXPECT_EQ(bits(exp_of_negative(x)), bits(exp(x))) << x;
  EXPECT_TRUE(std::isnan(exp_of_negative(nan)) && std::isnan(exp_of_negative(-nan)));
}

// Against long double, which holds 11 bits more.
double worst_ulps(double (*f)(double), long double (*exact)(long double), double low, double high) {
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> between(low, high);
  double worst = 0;
  for (int i = 0; i < 4000; ++i) {
    const double x = between(random);
    const long double y = exact(static_cast<long double>(x));
    const double size = std::fabs(static_cast<double>(y));
    const long double step =
        static_cast<long double>(std::nextafter(size, HUGE_VAL)) - static_cast<long double>(size);
    worst = std::max(worst, static_cast<double>(std::fabs(static_cast<long double>(f(x)) - y) / step));
  }
  return worst;
}

TEST(DoubleMath, StaysWithinTwoUlps) {
  using Long = long double;
  const auto exact_l_sigmoid = [](Long x) -> Long {
    return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x));
  };
  const auto exact_l_softplus = [](Long x) -> Long {
    return (x < 0 ? 0 : x) + std::log1p(std::exp(-std::fabs(x)));
  };
  for (const double range : {1e-3, 1.0, 30.0, 700.0}) {
    EXPECT_LE(worst_ulps(exp, std::exp, -range, range), 2);
    EXPECT_LE(worst_ulps(expm1, std::expm1, -range, range), 2);
    EXPECT_LE(worst_ulps(log, std::log, 0, range), 2);
    EXPECT_LE(worst_ulps(log1p, std::log1p, -std::min(range, 0.99), range), 2);
    EXPECT_LE(worst_ulps(tanh, std::tanh, -range, range), 2);
    EXPECT_LE(worst_ulps(erf, std::erf, -range, range), 2);
    EXPECT_LE(worst_ulps(sigmoid, exact_l_sigmoid, -range, range), 2.5);
    EXPECT_LE(worst_ulps(softplus, exact_l_softplus, -range, range), 2);
  }
}

template <class T>
class Choice : public testing::Test {};
using Reals = testing::Types<float, double>;
TYPED_TEST_SUITE(Choice, Reals);

TYPED_TEST(Choice, OfTheLargerAndTheSmallerKeepsNaN) {
  using T = TypeParam;
  constexpr T big = std::numeric_limits<T>::infinity();
  constexpr T none = std::numeric_limits<T>::quiet_NaN();
  const std::vector<T> values = {-big,     T(-1e30), T(-1), T(-1e-40), T(0),
                                 T(1e-40), T(0.5),   T(1),  T(1e30),   big};
  for (const T x : values) {
    for (const T y : values) {
      EXPECT_EQ(maximum(x, y), std::max(x, y));
      EXPECT_EQ(minimum(x, y), std::min(x, y));
    }
    EXPECT_TRUE(std::isnan(maximum(x, none)) && std::isnan(maximum(none, x)));
    EXPECT_TRUE(std::isnan(minimum(x, none)) && std::isnan(minimum(none, x)));
  }
}

TYPED_TEST(Choice, OfAPowerIsTheLibrarys) {
  using T = TypeParam;
  for (const T x : {T(-2), T(0), T(0.5), T(1), T(3)}) {
    for (const T y : {T(-2), T(0), T(0.5), T(1), T(3)}) {
      const T expected = std::pow(x, y);
      if (std::isnan(expected)) {
        EXPECT_TRUE(std::isnan(pow(x, y)));
      } else {
        EXPECT_EQ(pow(x, y), expected);
      }
    }
  }
}

struct Derivative {
  const char* name;
  Dual (*f)(Dual);
  double (*slope)(double);
};

TEST(DualMath, CarriesTheDerivative) {
  const Derivative derivatives[] = {
      {"exp", exp, std::exp},
      {"expm1", expm1, std::exp},
      {"log", log, [](double x) { return 1 / x; }},
      {"log1p", log1p, [](double x) { return 1 / (1 + x); }},
      {"tanh", tanh, [](double x) { return 1 / (std::cosh(x) * std::cosh(x)); }},
      {"erf", erf, [](double x) { return 2 / std::sqrt(M_PI) * std::exp(-x * x); }},
      {"sigmoid", sigmoid, [](double x) { return 1 / (4 * std::cosh(x / 2) * std::cosh(x / 2)); }},
      {"normal_cdf", normal_cdf, [](double x) { return std::exp(-x * x / 2) / std::sqrt(2 * M_PI); }},
      {"softplus", softplus, [](double x) { return 1 / (1 + std::exp(-x)); }},
      {"sin", sin, [](double x) { return std::cos(x); }},
      {"cos", cos, [](double x) { return -std::sin(x); }},
      {"sqrt", sqrt, [](double x) { return 1 / (2 * std::sqrt(x)); }},
      {"rsqrt", rsqrt, [](double x) { return -1 / (2 * x * std::sqrt(x)); }},
      {"abs", abs, [](double x) { return x < 0 ? -1.0 : 1.0; }},
      {"sign", sign, [](double) { return 0.0; }},
  };
  for (const Derivative& d : derivatives) {
    const bool everywhere =
        std::string(d.name) != "log" && std::string(d.name) != "sqrt" && std::string(d.name) != "rsqrt";
    for (const double x : {-0.9, -0.3, 0.2, 0.7, 1.9}) {
      if (x < 0 && !everywhere) continue;
      const double slope = d.slope(x);
      EXPECT_NEAR(d.f(Dual(x, 3)).tangent, 3 * slope, 1e-14 * std::max(1.0, std::fabs(slope) * 3))
          << d.name << "(" << x << ")";
      EXPECT_EQ(d.f(Dual(x, 0)).tangent, 0) << d.name << "(" << x << ")";
    }
  }
}

TEST(DualMath, PicksOneSideWhereThereIsNoDerivative) {
  EXPECT_EQ(abs(Dual(0, 1)).tangent, 0);
  EXPECT_EQ(softplus(Dual(0, 1)).tangent, 0.5);
  EXPECT_EQ(sigmoid(Dual(0, 1)).tangent, 0.25);
  EXPECT_EQ(sqrt(Dual(0, 0)).tangent, 0);
  EXPECT_EQ(maximum(Dual(1, 2), Dual(1, 3)).tangent, 2);  // the first of two equal numbers
  EXPECT_EQ(minimum(Dual(1, 2), Dual(1, 3)).tangent, 2);
  EXPECT_EQ(maximum(Dual(1, 2), Dual(4, 3)).tangent, 3);
  EXPECT_EQ(minimum(Dual(1, 2), Dual(-4, 3)).tangent, 3);
}

TEST(DualMath, CarriesTheDerivativesOfAPower) {
  const Dual z = pow(Dual(0.7, 2), Dual(3, 5));
  EXPECT_NEAR(z.tangent, 2 * 3 * 0.49 + 5 * 0.343 * std::log(0.7), 1e-14);
  EXPECT_EQ(pow(Dual(0, 1), Dual(2)).tangent, 0);
  EXPECT_EQ(pow(Dual(0, 1), Dual(0)).tangent, 0);
  EXPECT_EQ(pow(Dual(0, 1), Dual(1)).tangent, 1);
  EXPECT_EQ(pow(Dual(0), Dual(2, 1)).tangent, 0);
  EXPECT_EQ(pow(Dual(-2, 1), Dual(3)).tangent, 12);
}

TEST(DualMath, MultipliesAndAddsAtOnce) {
  const Dual z = fma(Dual(2, 1), Dual(3, 10), Dual(4, 100));
  EXPECT_EQ(z.value, 10);
  EXPECT_EQ(z.tangent, 3 + 20 + 100);
}

}  // namespace
}  // namespace reel::kernels
