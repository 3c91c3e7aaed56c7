#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

#include "autograd/autograd.h"

// linear_relu, and what it may do with the gradient that comes from above.

namespace reel {
namespace {

using testing::HasSubstr;

struct Sizes {
  std::int64_t rows, in, out;
};

std::vector<double> waves(std::int64_t count, double step) {
  std::vector<double> x;
  for (std::int64_t i = 0; i < count; ++i) x.push_back(std::sin(step * static_cast<double>(i)));
  return x;
}

// y, and the gradients of the input, the weight and the bias, if there is one.
template <class Layer>
std::vector<std::vector<double>> results(Tape& tape, Sizes s, bool bias, Layer layer) {
  const auto step = tape.record();
  const Tensor x = tape.variable(waves(s.rows * s.in, 0.7), {s.rows, s.in});
  const Tensor w = tape.variable(waves(s.out * s.in, 1.3), {s.out, s.in});
  const Tensor b = tape.variable(waves(s.out, 2.1), {s.out});
  const Tensor y = bias ? layer(x, w, b) : layer(x, w);
  tape.backward(y, waves(s.rows * s.out, 0.3));
  std::vector<std::vector<double>> all = {y.values(), x.gradient(), w.gradient()};
  if (bias) all.push_back(b.gradient());
  return all;
}

std::vector<std::uint64_t> bits(const std::vector<double>& x) {
  std::vector<std::uint64_t> all;
  for (const double v : x) all.push_back(std::bit_cast<std::uint64_t>(v));
  return all;
}

void expect_that_of_two_ops(Tape& tape, Sizes s) {
  for (const bool bias : {false, true}) {
    const auto one = results(tape, s, bias, [](auto... x) { return linear_relu(x...); });
    const auto two = results(tape, s, bias, [](auto... x) { return relu(linear(x...)); });
    for (std::size_t i = 0; i < one.size(); ++i)
      EXPECT_EQ(bits(one[i]), bits(two[i])) << i << ": " << s.rows << ", " << s.in << ", " << s.out;
    EXPECT_THAT(one[0], testing::Contains(0.0));
    EXPECT_THAT(one[0], testing::Contains(testing::Gt(0.0)));
  }
}

TEST(LinearRelu, HasTheBitsOfTwoOps) {
  for (const Products products : {Products::full, Products::bf16, Products::bf16x6}) {
    Tape tape(Precision::f32, products);
    for (const Sizes s : {Sizes{2, 3, 5}, {3, 8, 40}, {70, 40, 80}, {65, 600, 70}})
      expect_that_of_two_ops(tape, s);
  }
  Tape precise(Precision::f64);
  expect_that_of_two_ops(precise, {9, 20, 30});
}

TEST(LinearRelu, GivesNoMinusZeroAndKeepsNan) {
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.constant({1e-30, std::nan(""), -HUGE_VAL}, {3, 1});
  const auto y = linear_relu(x, tape.constant({-1e-30}, {1, 1}), tape.constant({-0.0}, {1})).values();
  EXPECT_FALSE(std::signbit(y[0]));
  EXPECT_EQ(y[0], 0);
  EXPECT_TRUE(std::isnan(y[1]));
  EXPECT_EQ(y[2], HUGE_VAL);
}

// As the documentation says.
TEST(LinearRelu, TakesMinusInfinityFor0WithoutAnAnomaly) {
  Tape tape;
  tape.detect_anomaly(true);
  const auto step = tape.record();
  const Tensor x = tape.constant({1e30}, {1, 1});
  const Tensor w = tape.constant({-1e30}, {1, 1});
  EXPECT_EQ(linear_relu(x, w).item(), 0);
  EXPECT_THROW(linear(x, w), NonFiniteError);
}

TEST(LinearRelu, LeavesAGradientThatIsRetainedAsItIs) {
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.variable({1.0, -1.0}, {2, 1});
  const Tensor y = linear_relu(x, tape.constant({2.0}, {1, 1})).retain_gradient();
  tape.backward(sum(y * 3.0), {.retain_graph = true});
  EXPECT_EQ(y.gradient(), (std::vector<double>{3, 3}));
  EXPECT_EQ(x.gradient(), (std::vector<double>{6, 0}));
  tape.backward(sum(y * 5.0));
  EXPECT_EQ(y.gradient(), (std::vector<double>{8, 8}));
  EXPECT_EQ(x.gradient(), (std::vector<double>{16, 0}));
}

const Op& scaled_in_place() {
  return define({.name = "test_scaled_in_place",
                 .formula = "y = 1e30 x",
                 .shape = {"same", [](const Call& c) { return c[0]; }},
                 .forward = [](auto& c) { c.y()[0] = c.scalar(1e30) * c.x()[0]; },
                 .backward =
                     [](auto& c) {
                       auto* const dx = c.dy_to_change();
                       dx[0] = c.scalar(1e30) * dx[0];
                       c.dx().store(0, dx[0]);
                     }});
}

// The gradient of its variable is the sum of two finite ones.
Tensor loss_of_an_infinite_sum(Tape& tape) {
  const Tensor x = tape.variable(1e-3);
  const Tensor played_last = record(scaled_in_place(), {x});
  return played_last * 1e8 + x * 3e38;
}

// The search for the op that made an infinite sum of gradients runs backward of an op once more.
TEST(DyToChange, IsACopyWhereTheTapeMayDeliverItAgain) {
  Tape tape;
  tape.detect_anomaly(true);
  const auto step = tape.record();
  const Tensor loss = loss_of_an_infinite_sum(tape);
  try {
    tape.backward(loss);
    FAIL() << "no error";
  } catch (const NonFiniteError& e) {
    EXPECT_THAT(e.what(), HasSubstr("test_scaled_in_place: gradient 0 of x is inf"));
    EXPECT_THAT(e.what(), HasSubstr("of which this op's is finite"));
  }
}

TEST(DyToChange, SoItIsWhereTheTapeIsWatched) {
  Tape tape;
  tape.watch(true);
  const auto step = tape.record();
  const Tensor loss = loss_of_an_infinite_sum(tape);
  tape.backward(loss);
  EXPECT_THAT(tape.autopsy(loss).what, HasSubstr("of which this op's is finite"));
}

}  // namespace
}  // namespace reel
