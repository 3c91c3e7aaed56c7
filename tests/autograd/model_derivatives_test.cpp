#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "autograd/derivatives.h"
#include "autograd/gradcheck.h"
#include "kernels/philox.h"
#include "tests/autograd/misuse.h"

// hvp and jvp in the parameters of a model.

namespace reel {
namespace {

using Vector = std::vector<double>;

// Layers with all that is smooth: gelu, layer norm, cross-entropy. None of the sizes fills its 64 bytes.
struct SmallMlp {
  ParameterBlock block;
  Parameter hidden{block, block.add("hidden.weight", {5, 3}, true)};
  Parameter hidden_bias{block, block.add("hidden.bias", {5}, false)};
  Parameter norm{block, block.add("norm.weight", {5}, false)};
  Parameter norm_bias{block, block.add("norm.bias", {5}, false)};
  Parameter output{block, block.add("output.weight", {4, 5}, true)};
  Parameter output_bias{block, block.add("output.bias", {4}, false)};

  SmallMlp() {
    const kernels::Philox numbers(3);
    for (std::size_t i = 0; i < block.count(); ++i) {
      for (std::size_t j = 0; j < block.values(i).size(); ++j)
        block.values(i)[j] = static_cast<float>(0.7 * numbers.normal(100 * i + j));
    }
  }

  Tensor loss_of(const Tensor& x) const {
    const Tensor y = layer_norm(gelu(linear(x, hidden, hidden_bias)), norm, norm_bias);
    return cross_entropy(linear(y, output, output_bias), {2, 0, 3});
  }
  const std::function<Tensor(Tape&)> loss = [this](Tape& tape) {
    return loss_of(tape.constant({0.5, -1.0, 2.0, 0.1, 0.3, -0.4, -1.5, 0.8, 0.2}, {3, 3}));
  };
};

// Random numbers everywhere, in the gaps too.
Vector random_direction(const ParameterBlock& block, std::uint64_t seed) {
  const kernels::Philox numbers(seed);
  Vector v(static_cast<std::size_t>(block.length()));
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = numbers.normal(i);
  return v;
}

Vector gradient_at(const SmallMlp& model, const Vector& values) {
  Tape tape(Precision::f64);
  tape.override_parameters(model.block, values);
  const auto step = tape.record();
  tape.backward(model.loss(tape));
  Vector result(values.size());
  for (const Parameter* p : {&model.hidden, &model.hidden_bias, &model.norm, &model.norm_bias, &model.output,
                             &model.output_bias}) {
    const Vector gradient = tape.leaf(*p).gradient();
    std::copy(gradient.begin(), gradient.end(),
              result.begin() + static_cast<std::ptrdiff_t>(model.block.entry(p->index()).offset));
  }
  return result;
}

double dot(const Vector& a, const Vector& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

Vector values_of(const ParameterBlock& block) { return {block.values(), block.values() + block.length()}; }

TEST(ModelDerivatives, HvpAgreesWithDifferencesOfGradients) {
  const SmallMlp model;
  const Vector v = random_direction(model.block, 1);
  const Vector exact = hvp(model.block, model.loss, v);
  ASSERT_EQ(exact.size(), v.size());
  const double h = 1e-5;
  Vector up = values_of(model.block), down = up;
  for (std::size_t i = 0; i < v.size(); ++i) {
    up[i] += h * v[i];
    down[i] -= h * v[i];
  }
  const Vector above = gradient_at(model, up), below = gradient_at(model, down);
  double largest = 0;
  for (const double number : exact) largest = std::max(largest, std::fabs(number));
  EXPECT_GT(largest, 0.1);
  for (std::size_t i = 0; i < v.size(); ++i)
    EXPECT_NEAR(exact[i], (above[i] - below[i]) / (2 * h), 1e-6 * largest) << i;
}

TEST(ModelDerivatives, HvpIsSymmetric) {
  const SmallMlp model;
  const Vector u = random_direction(model.block, 1), v = random_direction(model.block, 2);
  const double one_way = dot(u, hvp(model.block, model.loss, v));
  EXPECT_GT(std::fabs(one_way), 0.1);
  EXPECT_NEAR(one_way, dot(v, hvp(model.block, model.loss, u)), 1e-12 * std::fabs(one_way));
}

TEST(ModelDerivatives, JvpIsTheGradientTimesTheDirection) {
  const SmallMlp model;
  const Vector v = random_direction(model.block, 1);
  const Array along = jvp(model.block, model.loss, v);
  EXPECT_EQ(along.shape, Shape{});
  EXPECT_NEAR(along.values[0], dot(gradient_at(model, values_of(model.block)), v), 1e-12);
  // Any tensor has one: here the parameter itself.
  const Array own = jvp(
      model.block, [&](Tape&) { return scale(model.output, 2); }, v);
  EXPECT_EQ(own.shape, model.output.shape());
  const auto first = static_cast<std::size_t>(model.block.entry(model.output.index()).offset);
  for (std::size_t j = 0; j < own.values.size(); ++j) EXPECT_EQ(own.values[j], 2 * v[first + j]);
}

// f = x0^2 + 3 x0 y + 2 y^2 + x1 y: numbers without rounding, over a gap.
TEST(ModelDerivatives, HvpOfAQuadraticIsExact) {
  ParameterBlock block;
  const Parameter x(block, block.add("x", {2}, true));
  const Parameter y(block, block.add("y", {1}, true));
  ASSERT_EQ(block.length(), 32);
  x.block().values(0)[0] = 0.5F;
  x.block().values(0)[1] = -2;
  y.block().values(1)[0] = 0.25F;
  const auto f = [&](Tape&) {
    const Tensor x0 = slice(x, 0, 0, 1), x1 = slice(x, 0, 1, 2);
    return sum(square(x0) + 3.0 * (x0 * y) + 2.0 * square(y) + x1 * y);
  };
  const double hessian[3][3] = {{2, 0, 3}, {0, 0, 1}, {3, 1, 4}};
  const std::size_t at[3] = {0, 1, 16};
  for (std::size_t j = 0; j < 3; ++j) {
    Vector v(32, std::numeric_limits<double>::quiet_NaN());  // gaps are not read
    for (const std::size_t i : at) v[i] = 0;
    v[at[j]] = 1;
    Vector expected(32);
    for (std::size_t i = 0; i < 3; ++i) expected[at[i]] = hessian[i][j];
    EXPECT_EQ(hvp(block, f, v), expected) << j;
  }
}

TEST(ModelDerivatives, WhatTheLossDoesNotUseHasZeros) {
  ParameterBlock block;
  const Parameter used(block, block.add("used", {1}, true));
  const Parameter unused(block, block.add("unused", {2}, true));
  const Parameter frozen(block, block.add("frozen", {1}, true));
  block.values(0)[0] = 3;
  const Vector v(48, 1.0);
  Vector expected(48);
  expected[0] = 6 * 3;
  const auto cube = [&](Tape&) { return sum(used * square(used) + stop_gradient(frozen)); };
  EXPECT_EQ(hvp(block, cube, v), expected);
  EXPECT_EQ(hvp(
                block, [](Tape& tape) { return tape.constant(1.0); }, v),
            Vector(48));
  EXPECT_EQ(jvp(
                block, [](Tape& tape) { return tape.constant(1.0); }, v)
                .values,
            Vector{0});
  EXPECT_EQ(hvp(ParameterBlock(), [](Tape& tape) { return tape.constant(1.0); }, {}), Vector{});
}

TEST(ModelDerivatives, ALengthThatDoesNotFitNamesBoth) {
  const SmallMlp model;
  const auto numbers = static_cast<std::size_t>(model.block.parameters());
  ASSERT_EQ(numbers, 54u);
  ASSERT_EQ(model.block.length(), 112);
  const std::string reason =
      "the direction has 54 numbers, the block of the parameters has 112\n"
      "    help     give parameters.length() numbers, gaps included";
  EXPECT_ERROR(hvp(model.block, model.loss, Vector(numbers)), ShapeError, "error: hvp: " + reason);
  EXPECT_ERROR(jvp(model.block, model.loss, Vector(numbers)), ShapeError, "error: jvp: " + reason);
  EXPECT_ERROR(hvp(model.block, model.loss, {}), ShapeError, "the direction has 0 numbers");
}

TEST(ModelDerivatives, TheHessianIsOfOneNumber) {
  const SmallMlp model;
  const auto weight = [&](Tape&) { return scale(model.hidden, 2); };
  EXPECT_ERROR(hvp(model.block, weight, Vector(112)), ShapeError,
               "hvp: the function must give one number, it gave shape [5, 3]\n"
               "    help     reduce it with sum() or mean()");
}

TEST(ModelDerivatives, ATensorOfAnotherTapeIsRefused) {
  Tape own;
  const auto step = own.record();
  const SmallMlp model;
  const auto outside = [&](Tape&) { return model.loss(own); };
  EXPECT_ERROR(hvp(model.block, outside, Vector(112)), StateError,
               "hvp: the function gave a tensor of another tape");
  EXPECT_ERROR(jvp(model.block, outside, Vector(112)), StateError,
               "jvp: the function gave a tensor of another tape");
}

TEST(ModelDerivatives, ALossThatAddsAParameterIsRefused) {
  ParameterBlock block;
  const Parameter w(block, block.add("w", {2}, true));
  const auto grows = [&](Tape& tape) {
    const Tensor y = sum(square(tape.leaf(w)));
    block.add("late", {2}, true);
    return y;
  };
  EXPECT_ERROR(hvp(block, grows, Vector(16)), StateError, "error: leaf: parameters were added to a model");
}

TEST(ModelDerivatives, LeaveTheModelAsItWas) {
  SmallMlp model;
  Tape tape;
  const auto step = tape.record();
  tape.backward(model.loss(tape));
  const ParameterBlock& block = model.block;
  const std::vector<float> gradients(block.gradients(), block.gradients() + block.length());
  const Vector values = values_of(block);
  const std::uint64_t version = block.version();
  const Vector v = random_direction(block, 1);
  const Vector once = hvp(block, model.loss, v);
  const auto throws = [&](Tape& t) -> Tensor {
    model.loss(t);
    throw std::runtime_error("no more data");
  };
  EXPECT_THROW(hvp(block, throws, v), std::runtime_error);
  EXPECT_THROW(jvp(block, throws, v), std::runtime_error);
  EXPECT_EQ(hvp(block, model.loss, v), once);
  EXPECT_EQ(block.version(), version);
  EXPECT_EQ(values_of(block), values);
  EXPECT_EQ(std::vector<float>(block.gradients(), block.gradients() + block.length()), gradients);
  // The tape that is open meanwhile goes on as if nothing had been.
  EXPECT_NO_THROW(tape.backward(model.loss(tape)));
}

// A loss of the gradient g in the inputs: its gradient in the parameters is the tangent of theirs when the
// inputs move along d loss / d g (lesson 12 trains by it).
TEST(ModelDerivatives, AGradientInsideALossTakesOneLevelOfDuals) {
  SmallMlp model;
  const Array x{{3, 3}, {0.5, -1.0, 2.0, 0.1, 0.3, -0.4, -1.5, 0.8, 0.2}};
  const auto score = [&](Tensors t) { return model.loss_of(t[0]); };
  const Function penalty = [](Tensors g) { return mean(square(norm(g[0], {.axes = {1}}) - 1.0)); };
  const Vector v = random_direction(model.block, 1);
  const auto penalty_at = [&](double by) {
    Vector values = values_of(std::as_const(model.block));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] += by * v[i];
    Tape tape(Precision::f64);
    tape.override_parameters(model.block, values);
    const auto step = tape.record();
    const Tensor input = tape.variable(x.values, x.shape);
    tape.backward(score(std::vector{input}));
    return evaluate(penalty, {{x.shape, input.gradient()}}).values[0];
  };

  const Arrays u = grad(penalty, grad(score, {x}));
  Tape dual(Precision::dual);
  const auto step = dual.record();
  dual.backward(score(std::vector{dual.variable(x.values, u[0].values, x.shape)}));
  double along = 0;
  for (std::size_t i = 0; i < model.block.count(); ++i) {
    const Vector tangents = dual.leaf(Parameter(model.block, i)).gradient_tangents();
    const auto first = static_cast<std::size_t>(model.block.entry(i).offset);
    for (std::size_t j = 0; j < tangents.size(); ++j) along += tangents[j] * v[first + j];
  }
  EXPECT_GT(std::fabs(along), 1e-2);
  EXPECT_NEAR(along, (penalty_at(1e-5) - penalty_at(-1e-5)) / 2e-5, 1e-7);
}

TEST(ModelDerivatives, GradcheckTakesALossThatLeavesAParameterOut) {
  ParameterBlock block;
  const Parameter used(block, block.add("used", {2}, true));
  block.add("unused", {3}, true);
  block.values(0)[0] = 0.5F;
  const auto report = gradcheck(block, [&](Tape&) { return sum(exp(used)); });
  EXPECT_TRUE(report) << report.message;
  EXPECT_TRUE(gradcheck(block, [](Tape& tape) { return tape.constant(1.0); }));
}

}  // namespace
}  // namespace reel
