#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "autograd/autograd.h"

// Layers that are one op with what comes before or behind, and what they may do with the gradient from above.

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

// y, and the gradients of the addend, the input, the weight and the bias, if there is one.
template <class Layer>
std::vector<std::vector<double>> results(Tape& tape, Sizes s, bool bias, Layer layer) {
  const auto step = tape.record();
  const Tensor addend = tape.variable(waves(s.rows * s.out, 0.9), {s.rows, s.out});
  const Tensor x = tape.variable(waves(s.rows * s.in, 0.7), {s.rows, s.in});
  const Tensor w = tape.variable(waves(s.out * s.in, 1.3), {s.out, s.in});
  const Tensor b = tape.variable(waves(s.out, 2.1), {s.out});
  const Tensor y = bias ? layer(addend, x, w, b) : layer(addend, x, w);
  tape.backward(y, waves(s.rows * s.out, 0.3), {.retain_graph = true});
  tape.backward(y, waves(s.rows * s.out, 0.4));
  std::vector<std::vector<double>> all = {y.values(), addend.gradient(), x.gradient(), w.gradient()};
  if (bias) all.push_back(b.gradient());
  return all;
}

std::vector<std::uint64_t> bits(const std::vector<double>& x) {
  std::vector<std::uint64_t> all;
  for (const double v : x) all.push_back(std::bit_cast<std::uint64_t>(v));
  return all;
}

template <class One, class Two>
void expect_the_same(Tape& tape, Sizes s, One one_op, Two two_ops) {
  for (const bool bias : {false, true}) {
    const auto one = results(tape, s, bias, one_op);
    const auto two = results(tape, s, bias, two_ops);
    for (std::size_t i = 0; i < one.size(); ++i)
      EXPECT_EQ(bits(one[i]), bits(two[i])) << i << ": " << s.rows << ", " << s.in << ", " << s.out;
    EXPECT_THAT(one[0], testing::Contains(testing::Gt(0.0)));
  }
}

template <class One, class Two>
void expect_the_bits_of_two_ops(One one, Two two) {
  for (const Products products : {Products::full, Products::bf16, Products::bf16x6}) {
    Tape tape(Precision::f32, products);
    for (const Sizes s : {Sizes{2, 3, 5}, {3, 8, 40}, {70, 40, 80}, {65, 600, 70}, {1, 520, 48}})
      expect_the_same(tape, s, one, two);
  }
  Tape precise(Precision::f64);
  expect_the_same(precise, {9, 20, 30}, one, two);
}

TEST(FusedLayers, LinearReluHasTheBitsOfTwoOps) {
  const auto with_zeros = [](const auto&, auto... x) {
    const Tensor y = linear_relu(x...);
    EXPECT_THAT(y.values(), testing::Contains(0.0));
    return y;
  };
  expect_the_bits_of_two_ops(with_zeros, [](const auto&, auto... x) { return relu(linear(x...)); });
}

TEST(FusedLayers, LinearGeluHasTheBitsOfTwoOps) {
  expect_the_bits_of_two_ops([](const auto&, auto... x) { return linear_gelu(x...); },
                             [](const auto&, auto... x) { return gelu(linear(x...)); });
}

TEST(FusedLayers, AddLinearHasTheBitsOfTwoOps) {
  expect_the_bits_of_two_ops([](auto... x) { return add_linear(x...); },
                             [](const auto& addend, auto... x) { return add(addend, linear(x...)); });
}

// Where no gradient is wanted nothing is kept for one, neither in inference nor on the way of constants.
TEST(FusedLayers, LinearGeluKeepsItsSlopesOnlyForBackward) {
  Tape tape;
  const auto bytes_and_values = [&tape](bool wanted) {
    const Tensor w = tape.constant(waves(40 * 30, 1.3), {40, 30});
    const auto x =
        wanted ? tape.variable(waves(20 * 30, 0.7), {20, 30}) : tape.constant(waves(20 * 30, 0.7), {20, 30});
    const std::size_t before = tape.statistics().value_bytes;
    const Tensor y = linear_gelu(x, w);
    return std::pair(tape.statistics().value_bytes - before, y.values());
  };
  const auto kept = [&] {
    const auto step = tape.record();
    return bytes_and_values(true);
  }();
  const auto constant = [&] {
    const auto step = tape.record();
    return bytes_and_values(false);
  }();
  const auto inferred = [&] {
    const auto step = tape.inference();
    return bytes_and_values(true);
  }();
  EXPECT_EQ(kept.first, 2 * constant.first);
  EXPECT_EQ(inferred.first, constant.first);
  EXPECT_EQ(bits(kept.second), bits(constant.second));
  EXPECT_EQ(bits(kept.second), bits(inferred.second));
}

TEST(FusedLayers, AddLinearWantsAnAddendOfTheShapeOfTheResult) {
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.constant(waves(6, 0.7), {2, 3});
  const Tensor w = tape.constant(waves(12, 1.3), {4, 3});
  for (const Shape& shape : {Shape{4}, Shape{1, 4}, Shape{2, 3}, Shape{1, 2, 4}}) {
    const Tensor addend = tape.constant(waves(shape.size(), 0.9), shape);
    try {
      add_linear(addend, x, w);
      FAIL() << "no error for " << to_string(shape);
    } catch (const ShapeError& e) {
      EXPECT_THAT(e.what(),
                  HasSubstr("add_linear: the addend must have the shape of what the layer gives, [2, 4]"));
      EXPECT_THAT(e.what(), HasSubstr("\n    addend   " + to_string(shape)));
      EXPECT_THAT(e.what(), HasSubstr("add(addend, linear(...)) stretches it"));
    }
  }
  const Tensor addend = tape.constant(waves(8, 0.9), {2, 4});
  EXPECT_THROW(add_linear(addend, w, x, x), ShapeError);
  EXPECT_THROW(add_linear(addend, x, tape.constant(waves(8, 1.0), {4, 2})), ShapeError);
}

TEST(FusedLayers, LinearReluGivesNoMinusZeroAndKeepsNan) {
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
TEST(FusedLayers, LinearReluTakesMinusInfinityFor0WithoutAnAnomaly) {
  Tape tape;
  tape.detect_anomaly(true);
  const auto step = tape.record();
  const Tensor x = tape.constant({1e30}, {1, 1});
  const Tensor w = tape.constant({-1e30}, {1, 1});
  EXPECT_EQ(linear_relu(x, w).item(), 0);
  EXPECT_THROW(linear(x, w), NonFiniteError);
}

// A layer of an activation changes the gradient that comes, in its place where nobody else reads it.
TEST(FusedLayers, LeaveAGradientThatIsRetainedAsItIs) {
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
