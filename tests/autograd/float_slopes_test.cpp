#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "autograd/autograd.h"

// Where a function is nearly flat its slope is small, but has digits all the same: a slope that is made as a
// difference of numbers near 1 loses them.

namespace reel {
namespace {

struct Curve {
  const char* name;
  Tensor (*function)(Here);
  double (*slope)(double x);  // without a difference of nearly equal numbers
};

void PrintTo(const Curve& c, std::ostream* out) { *out << c.name; }

double logistic(double x) { return 1 / (1 + std::exp(-x)); }
double bell(double x) { return logistic(x) * logistic(-x); }
double normal(double x) { return std::erfc(-x * M_SQRT1_2) / 2; }
double density(double x) { return std::exp(-x * x / 2) / std::sqrt(2 * M_PI); }

double gelu_slope(double x) {
  const double root = std::sqrt(2 / M_PI);
  const double u2 = 2 * root * (x + 0.044715 * x * x * x);
  return logistic(u2) + x * bell(u2) * 2 * root * (1 + 3 * 0.044715 * x * x);
}

const Curve curves[] = {
    {"exp", [](Here x) { return exp(x); }, [](double x) { return std::exp(x); }},
    {"expm1", [](Here x) { return expm1(x); }, [](double x) { return std::exp(x); }},
    {"sigmoid", [](Here x) { return sigmoid(x); }, bell},
    {"tanh", [](Here x) { return tanh(x); }, [](double x) { return 4 * bell(2 * x); }},
    {"erf", [](Here x) { return erf(x); }, [](double x) { return 2 / std::sqrt(M_PI) * std::exp(-x * x); }},
    {"softplus", [](Here x) { return softplus(x); }, logistic},
    {"silu", [](Here x) { return silu(x); }, [](double x) { return logistic(x) + x * bell(x); }},
    {"elu", [](Here x) { return elu(x); }, [](double x) { return x > 0 ? 1 : std::exp(x); }},
    {"elu of 0.3", [](Here x) { return elu(x, 0.3); },
     [](double x) { return x > 0 ? 1 : 0.3 * std::exp(x); }},
    {"gelu", [](Here x) { return gelu(x); }, gelu_slope},
    {"gelu_erf", [](Here x) { return gelu_erf(x); }, [](double x) { return normal(x) + x * density(x); }},
};

class FloatSlopes : public testing::TestWithParam<Curve> {};
INSTANTIATE_TEST_SUITE_P(Every, FloatSlopes, testing::ValuesIn(curves));

TEST_P(FloatSlopes, KeepTheirDigitsWhereTheyAreSmall) {
  std::vector<float> points;
  for (int i = -60; i <= 60; ++i) points.push_back(static_cast<float>(i) / 2);
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.variable(points, {static_cast<std::int64_t>(points.size())});
  tape.backward(sum(GetParam().function(x)));
  const std::vector<double> slopes = x.gradient();
  for (std::size_t i = 0; i < points.size(); ++i) {
    const double exact = GetParam().slope(static_cast<double>(points[i]));
    if (std::fabs(exact) < static_cast<double>(std::numeric_limits<float>::min())) continue;
    EXPECT_NEAR(slopes[i] / exact, 1, 1e-5) << "at " << points[i];
  }
}

TEST_P(FloatSlopes, AreTheirLimitsFarOut) {
  for (const float far : {1e4F, 1e30F, 3e38F}) {
    Tape tape;
    const auto step = tape.record();
    const Tensor x = tape.variable({static_cast<double>(far), -static_cast<double>(far), std::nan("")}, {3});
    tape.backward(sum(GetParam().function(x)));
    EXPECT_EQ(x.gradient()[0], GetParam().slope(1e4)) << far;
    EXPECT_EQ(x.gradient()[1], GetParam().slope(-1e4)) << -far;
    EXPECT_TRUE(std::isnan(x.gradient()[2]));
  }
}

}  // namespace
}  // namespace reel
