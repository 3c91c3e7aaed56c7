// Values and gradients where a formula alone would give no number, or where a choice had to be made.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "autograd/autograd.h"

namespace reel {
namespace {

using testing::ElementsAre;
constexpr double inf = std::numeric_limits<double>::infinity();

struct Point {
  const char* name;
  Tensor (*function)(Here);
  double x, y, dx;
};

void PrintTo(const Point& p, std::ostream* out) { *out << p.name << " at " << p.x; }

class SpecialValues : public testing::TestWithParam<Point> {};

TEST_P(SpecialValues, AreThoseOfTheTable) {
  const Point& p = GetParam();
  Tape tape(Precision::f64);
  const auto step = tape.record();
  const Tensor x = tape.variable(p.x);
  const Tensor y = p.function(x);
  tape.backward(y);
  EXPECT_EQ(y.item(), p.y);
  EXPECT_EQ(x.gradient()[0], p.dx);
}

// What a dual number carries forwards is the gradient that comes backwards, also where there are two slopes.
TEST_P(SpecialValues, HaveTheSameSlopeForwards) {
  const Point& p = GetParam();
  // An infinite slope times 0 is NaN, and a slope within gelu overflows far out before a 0 meets it.
  if (!std::isfinite(p.dx) || std::fabs(p.x) > 1e100) return;
  Tape tape(Precision::dual);
  const auto step = tape.record();
  EXPECT_EQ(p.function(tape.variable(std::vector{p.x}, std::vector{1.0}, Shape{})).tangents()[0], p.dx);
}

TEST(SpecialValue, NaNPassesThroughEveryActivation) {
  for (const Precision precision : {Precision::f32, Precision::f64}) {
    Tape tape(precision);
    const auto step = tape.record();
    const Tensor x = tape.constant(std::nan(""));
    for (const Tensor& y :
         {relu(x), leaky_relu(x, 0.1), elu(x), gelu(x), gelu_erf(x), silu(x), softplus(x), sigmoid(x),
          tanh(x), clamp(x, -1, 1), abs(x), maximum(x, tape.constant(0.0)), minimum(x, tape.constant(0.0))}) {
      EXPECT_TRUE(std::isnan(y.item())) << y.values()[0];
    }
  }
}

// Floats have functions of their own, with bounds of their own.
TEST(SpecialValue, GeluOfFloatsFarOut) {
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.variable({10.5, 1e10, 3e38, -10.5, -1e10, -3e38, std::nan("")}, {7});
  const Tensor y = gelu(x);
  tape.backward(sum(y));
  const std::span<const float> values = y.data();
  const std::vector<double> slopes = x.gradient();
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(values[i], x.data()[i]);
    EXPECT_EQ(slopes[i], 1);
    EXPECT_EQ(values[i + 3], 0);
    EXPECT_EQ(slopes[i + 3], 0);
  }
  EXPECT_TRUE(std::isnan(values[6]) && std::isnan(slopes[6]));
}

const Point points[] = {
    {"exp", [](Here x) { return exp(x); }, 1000, inf, inf},
    {"exp", [](Here x) { return exp(x); }, -1000, 0, 0},
    {"log", [](Here x) { return log(x); }, 0, -inf, inf},
    {"log1p", [](Here x) { return log1p(x); }, -1, -inf, inf},
    {"sqrt", [](Here x) { return sqrt(x); }, 0, 0, inf},
    {"divide", [](Here x) { return x / 0.0; }, 2, inf, inf},
    {"divide", [](Here x) { return x / -0.0; }, 2, -inf, -inf},
    {"divide", [](Here x) { return x / 1e-310; }, 1e-310, 1, inf},  // whose 1 / a is infinite
    {"divide", [](Here x) { return x / inf; }, 2, 0, 0},
    {"abs", [](Here x) { return abs(x); }, 0, 0, 0},
    {"tanh", [](Here x) { return tanh(x); }, 1000, 1, 0},
    {"sigmoid", [](Here x) { return sigmoid(x); }, 1000, 1, 0},
    {"sigmoid", [](Here x) { return sigmoid(x); }, -1000, 0, 0},
    {"softplus", [](Here x) { return softplus(x); }, 1000, 1000, 1},
    {"softplus", [](Here x) { return softplus(x); }, -1000, 0, 0},
    {"relu", [](Here x) { return relu(x); }, 0, 0, 0},
    {"leaky_relu", [](Here x) { return leaky_relu(x, 0.25); }, 0, 0, 0.25},
    {"elu", [](Here x) { return elu(x, 0.5); }, 0, 0, 0.5},
    {"silu", [](Here x) { return silu(x); }, 1000, 1000, 1},
    {"silu", [](Here x) { return silu(x); }, -1000, 0, 0},
    {"gelu", [](Here x) { return gelu(x); }, 1e200, 1e200, 1},
    {"gelu", [](Here x) { return gelu(x); }, -1e200, 0, 0},
    {"gelu_erf", [](Here x) { return gelu_erf(x); }, 1000, 1000, 1},
    {"gelu_erf", [](Here x) { return gelu_erf(x); }, -1000, 0, 0},
    {"clamp", [](Here x) { return clamp(x, -1, 2); }, 2, 2, 1},
    {"clamp", [](Here x) { return clamp(x, -1, 2); }, 2.5, 2, 0},
    {"clamp", [](Here x) { return clamp(x, -1, 2); }, -1.5, -1, 0},
    {"pow to 0", [](Here x) { return pow(x, 0.0); }, 0, 1, 0},
    {"pow to 1", [](Here x) { return pow(x, 1.0); }, 0, 0, 1},
    {"maximum with 0", [](Here x) { return maximum(x, 0.0); }, 0, 0, 1},
    {"maximum with 0", [](Here x) { return maximum(0.0, x); }, -2, 0, 0},
    {"maximum with 0", [](Here x) { return maximum(x, 0); }, 2, 2, 1},
    {"maximum with 0", [](Here x) { return maximum(x, 0); }, inf, inf, 1},
    {"minimum with 1", [](Here x) { return minimum(x, 1.0); }, 1, 1, 1},
    {"minimum with 1", [](Here x) { return minimum(1.0, x); }, 2, 1, 0},
    {"minimum with 1", [](Here x) { return minimum(x, 1); }, -2, -2, 1},
    {"minimum with 1", [](Here x) { return minimum(x, 1); }, -inf, -inf, 1},
    {"power of 1", [](Here x) { return pow(1.0, x); }, 5, 1, 0},
    {"power of 0", [](Here x) { return pow(0.0, x); }, 2, 0, 0},
    {"power of 0", [](Here x) { return pow(0.0, x); }, 0, 1, 0},
    {"power of 0", [](Here x) { return pow(0.0, x); }, -1, inf, -inf},
    {"pow to 2", [](Here x) { return pow(x, 2.0); }, 0, 0, 0},
};
INSTANTIATE_TEST_SUITE_P(Every, SpecialValues, testing::ValuesIn(points));

class SpecialPairs : public testing::Test {
 protected:
  // The gradients of both arguments of a function at (a, b).
  std::vector<double> gradients(Tensor (*function)(Here, Here), double a, double b) {
    const auto step = tape_.record();
    const Tensor x = tape_.variable(a);
    const Tensor y = tape_.variable(b);
    tape_.backward(sum(function(x, y)));
    return {x.gradient()[0], y.gradient()[0]};
  }

 private:
  Tape tape_{Precision::f64};
};

TEST_F(SpecialPairs, TheFirstOfEqualsGetsTheGradient) {
  EXPECT_THAT(gradients([](Here x, Here y) { return maximum(x, y); }, 3, 3), ElementsAre(1, 0));
  EXPECT_THAT(gradients([](Here x, Here y) { return minimum(x, y); }, 3, 3), ElementsAre(1, 0));
}

TEST_F(SpecialPairs, APowerOfZeroHasGradients) {
  const auto power = [](Here x, Here y) { return pow(x, y); };
  EXPECT_THAT(gradients(power, 0, 2), ElementsAre(0, 0));
  EXPECT_THAT(gradients(power, 0, 1), ElementsAre(1, 0));
  EXPECT_THAT(gradients(power, 0, 0), ElementsAre(0, 0));
  EXPECT_THAT(gradients(power, 0, -1), ElementsAre(-inf, -inf));
}

// NaN lies between no two numbers.
TEST(SpecialSlope, OfAClampedNaNIsZero) {
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.variable({std::nan(""), 0.5, 2, 1, -1}, {5});
  const Tensor y = clamp(x, -1, 1);
  EXPECT_TRUE(std::isnan(y.values()[0]));
  tape.backward(sum(y));
  EXPECT_EQ(x.gradient(), (std::vector<double>{0, 1, 0, 1, 1}));
}

TEST(SpecialSlope, OfSquaresAndRootsWrittenAsPowers) {
  Tape tape(Precision::f64);
  const auto step = tape.record();
  const Tensor x = tape.variable({3, 0.25, 4}, {3});
  const Tensor squares = pow(x, 2), roots = pow(x, 0.5);
  EXPECT_EQ(squares.values(), (std::vector<double>{9, 0.0625, 16}));
  EXPECT_EQ(roots.values(), (std::vector<double>{std::sqrt(3.0), 0.5, 2}));
  tape.backward(sum(squares) + sum(roots));
  EXPECT_EQ(x.gradient(), (std::vector<double>{6 + 0.5 / std::sqrt(3.0), 0.5 + 1, 8 + 0.25}));
}

TEST(SpecialSlope, OfAPowerOfANumber) {
  for (const Precision precision : {Precision::f32, Precision::f64}) {
    Tape tape(precision);
    const auto step = tape.record();
    const Tensor x = tape.variable({3, 0, -1, 0.5}, {4});
    const Tensor y = pow(2, x);
    EXPECT_THAT(y.values(), testing::Pointwise(testing::DoubleNear(1e-7), {8.0, 1.0, 0.5, std::sqrt(2.0)}));
    tape.backward(sum(y));
    const double slope = std::log(2.0);
    EXPECT_THAT(x.gradient(), testing::Pointwise(testing::DoubleNear(1e-6),
                                                 {8 * slope, slope, slope / 2, std::sqrt(2.0) * slope}));
    const Tensor whole = tape.variable({2, 3}, {2});
    EXPECT_THAT(pow(-2.0, whole).values(), ElementsAre(4, -8));  // has no slope, as in PyTorch
  }
}

TEST(SpecialSlope, OfNumbersAndParameters) {
  ParameterBlock block;
  const Parameter w(block, block.add("w", {2}, true));
  block.values()[0] = 3;
  block.values()[1] = -1;
  Tape tape;
  const auto step = tape.record();
  EXPECT_THAT(pow(2.0, w).values(), ElementsAre(8, 0.5));
  EXPECT_THAT(maximum(w, 0).values(), ElementsAre(3, 0));
  EXPECT_THAT(minimum(1, w).values(), ElementsAre(1, -1));
  tape.backward(sum(pow(2.0, w)));
  EXPECT_NEAR(static_cast<double>(w.gradient()[0]), 8 * std::log(2.0), 1e-6);
}

TEST(SpecialSlope, OfANegativePowerOfZeroIsInfiniteForwardsToo) {
  Tape tape(Precision::dual);
  const auto step = tape.record();
  const auto number = [&](double value, double tangent) {
    return tape.variable(std::vector{value}, std::vector{tangent}, Shape{});
  };
  EXPECT_EQ(pow(number(0, 0), number(-1, 1)).tangents()[0], -inf);
  EXPECT_EQ(pow(number(0, 0), number(2, 1)).tangents()[0], 0);
}

TEST_F(SpecialPairs, ATargetOfZeroTakesNoPartInKlDiv) {
  const auto loss = [](Here x, Here t) { return kl_div(x, t); };
  EXPECT_EQ(gradients(loss, -1, 0)[0], 0);
}

TEST_F(SpecialPairs, ACertainLogitHasNoLossAndNoGradient) {
  const auto loss = [](Here x, Here t) { return bce_with_logits(x, t); };
  EXPECT_EQ(gradients(loss, 1000, 1)[0], 0);
  EXPECT_EQ(gradients(loss, -1000, 0)[0], 0);
  EXPECT_EQ(gradients(loss, 1000, 0)[0], 1);
}

// Losses with a kink inside: at a tie, too, forwards and backwards take one slope.
TEST(SpecialSlopes, AreTheSameInBothDirectionsWhereALossHasAKink) {
  struct Loss {
    const char* name;
    Tensor (*of)(Here, Here);
  };
  const Loss losses[] = {
      {"mse", [](Here x, Here t) { return mse(x, t); }},
      {"l1", [](Here x, Here t) { return l1(x, t); }},
      {"huber", [](Here x, Here t) { return huber(x, t, 0.5); }},
      {"bce_with_logits", [](Here x, Here t) { return bce_with_logits(x, t); }},
      {"maximum", [](Here x, Here t) { return maximum(x, t); }},
      {"minimum", [](Here x, Here t) { return minimum(x, t); }},
  };
  for (const Loss& loss : losses) {
    for (const double x : {-0.5, 0.0, 0.5}) {
      for (const double t : {0.0, 0.5, 1.0}) {
        Tape backward(Precision::f64);
        const auto step = backward.record();
        const Tensor input = backward.variable({x}, {});
        const Tensor target = backward.variable({t}, {});
        backward.backward(loss.of(input, target));
        const auto tangent = [&](double dx, double dt) {
          Tape forward(Precision::dual);
          const auto one = forward.record();
          return loss
              .of(forward.variable(std::vector{x}, std::vector{dx}, Shape{}),
                  forward.variable(std::vector{t}, std::vector{dt}, Shape{}))
              .tangents()[0];
        };
        EXPECT_DOUBLE_EQ(tangent(1, 0), input.gradient()[0])
            << loss.name << "(" << x << ", " << t << ") by x";
        EXPECT_DOUBLE_EQ(tangent(0, 1), target.gradient()[0])
            << loss.name << "(" << x << ", " << t << ") by t";
      }
    }
  }
}

TEST(SpecialRows, TheNormOfZerosHasTheGradientZero) {
  Tape tape(Precision::f64);
  const auto step = tape.record();
  const Tensor x = tape.variable({0, 0, 0}, {3});
  const Tensor y = norm(x);
  tape.backward(y);
  EXPECT_EQ(y.item(), 0);
  EXPECT_THAT(x.gradient(), ElementsAre(0, 0, 0));
}

TEST(SpecialRows, TheFirstOfEqualMaximaGetsTheGradient) {
  Tape tape(Precision::f64);
  const auto step = tape.record();
  const Tensor x = tape.variable({1, 4, 4, 2}, {4});
  tape.backward(max(x) + min(x));
  EXPECT_THAT(x.gradient(), ElementsAre(1, 1, 0, 0));
}

// As torch.max along an axis does.
TEST(SpecialRows, TheFirstNaNIsTheExtremeAndGetsTheGradient) {
  for (const auto extreme : {&max, &min}) {
    Tape tape;
    const auto step = tape.record();
    const Tensor x = tape.variable({1, std::nan(""), 3, std::nan("")}, {4});
    const Tensor y = extreme(x, {});
    tape.backward(y);
    EXPECT_TRUE(std::isnan(y.item()));
    EXPECT_THAT(x.gradient(), ElementsAre(0, 1, 0, 0));
  }
}

// The mean of the row is no float: its low digits matter beside a deviation of 1.
TEST(SpecialRows, LayerNormKeepsItsDigitsFarFromZero) {
  const std::vector<double> far = {40000, 40001, 40003};
  const auto normed = [&](Precision precision) {
    Tape tape(precision);
    const auto step = tape.record();
    const Tensor x = tape.variable(far, {1, 3});
    const Tensor y = layer_norm(x, tape.constant({1, 1, 1}, {3}), tape.constant({0, 0, 0}, {3}));
    tape.backward(sum(y * y * y));
    std::vector<double> all = y.values();
    const std::vector<double> gradient = x.gradient();
    all.insert(all.end(), gradient.begin(), gradient.end());
    return all;
  };
  const std::vector<double> single = normed(Precision::f32);
  const std::vector<double> exact = normed(Precision::f64);
  for (std::size_t i = 0; i < exact.size(); ++i) EXPECT_NEAR(single[i], exact[i], 1e-5) << i;
}

TEST(Mean, OfEqualNumbersIsThatNumber) {
  for (std::int64_t n = 1; n < 200; ++n) {
    const std::vector<double> ones(static_cast<std::size_t>(n), 1.0);
    EXPECT_EQ(evaluate([](Tensors x) { return mean(x[0]); }, {{{n}, ones}}).values[0], 1) << n;
  }
}

TEST(Mean, OverSeveralAxesDividesByAllOfThem) {
  Tape tape(Precision::f64);
  const auto step = tape.record();
  const Tensor x = tape.variable({1, 2, 3, 4, 5, 6}, {1, 2, 3});
  EXPECT_EQ(mean(x, {.axes = {1, 2}}).values(), std::vector<double>{3.5});
  EXPECT_EQ(mean(x, {.axes = {0, 1}}).values(), (std::vector<double>{2.5, 3.5, 4.5}));
  tape.backward(sum(mean(x, {.axes = {1, 2}})));
  for (const double g : x.gradient()) EXPECT_DOUBLE_EQ(g, 1.0 / 6);
}

}  // namespace
}  // namespace reel
