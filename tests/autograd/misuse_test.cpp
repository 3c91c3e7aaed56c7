#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <sstream>
#include <thread>
#include <tuple>

#include "autograd/autograd.h"

// What a user can do wrong, and the error that says so: typed, with the op and the line, in every build.

namespace reel {
namespace {

using testing::HasSubstr;

// Runs the statement and checks the type and a part of the message; the message must name this file as the
// user's place.
#define EXPECT_ERROR(statement, Type, part)                                            \
  do {                                                                                 \
    try {                                                                              \
      statement;                                                                       \
      ADD_FAILURE() << "no error";                                                     \
    } catch (const Type& e) {                                                          \
      EXPECT_THAT(e.what(), HasSubstr(part));                                          \
      EXPECT_THAT(e.what(), HasSubstr("misuse_test.cpp:" + std::to_string(__LINE__))); \
    }                                                                                  \
  } while (false)

class Misuse : public testing::Test {
 protected:
  Tape tape{Precision::f64};
  const double inf = std::numeric_limits<double>::infinity();
};

// ---- handles
// ----------------------------------------------------------------------------------------------------------

TEST_F(Misuse, ADefaultTensor) {
  const auto step = tape.record();
  EXPECT_ERROR(exp(Tensor{}), StateError, "");
  EXPECT_THROW(Tensor{}.shape(), StateError);
  EXPECT_THROW(Tensor{}.values(), StateError);
  EXPECT_THROW(Tensor{}.item(), StateError);
}

TEST_F(Misuse, ATensorOfAStepThatIsOver) {
  Tensor x;
  {
    const auto step = tape.record();
    x = tape.variable(1.0);
  }
  EXPECT_THROW(x.values(), StateError);
  const auto step = tape.record();
  EXPECT_ERROR(exp(x), StateError, "over");
  EXPECT_ERROR(x + tape.constant(1.0), StateError, "over");
  EXPECT_ERROR(tape.backward(x), StateError, "over");
  EXPECT_THROW(x.gradient(), StateError);
  EXPECT_THROW(x.shape(), StateError);
}

TEST_F(Misuse, ATensorOfAnInnerStepThatIsOver) {
  const auto outer = tape.record();
  const Tensor x = tape.variable(2.0);
  Tensor inner_result;
  {
    const auto inner = tape.record();
    inner_result = x * x;
    EXPECT_EQ(inner_result.item(), 4);
  }
  EXPECT_ERROR(exp(inner_result), StateError, "over");
  EXPECT_EQ(exp(x * 0.0).item(), 1);  // the outer step is as it was
}

TEST_F(Misuse, ATapeThatIsGone) {
  Tensor x;
  {
    Tape short_lived;
    const auto step = short_lived.record();
    x = short_lived.variable(1.0);
  }
  EXPECT_THROW(x.values(), StateError);
  EXPECT_THROW(x.shape(), StateError);
  const auto step = tape.record();
  EXPECT_ERROR(exp(x), StateError, "");
}

TEST_F(Misuse, ATapeDestroyedBeforeItsStep) {
  auto gone = std::make_unique<Tape>();
  std::unique_ptr<Step> step(new Step(gone->record()));
  const Tensor x = gone->variable(1.0);
  gone.reset();
  EXPECT_THROW(x.values(), StateError);
  step.reset();  // must not touch the tape
}

TEST_F(Misuse, TensorsOfTwoTapes) {
  Tape other(Precision::f64);
  const auto a = tape.record();
  const Tensor x = tape.variable(1.0);
  const auto b = other.record();
  const Tensor y = other.variable(1.0);
  EXPECT_ERROR(x + y, StateError, "tape");
  EXPECT_ERROR(stack({x, y}), StateError, "tape");
}

TEST_F(Misuse, ATensorOnAnotherThread) {
  const auto step = tape.record();
  const Tensor x = tape.variable(1.0);
  std::string message;
  std::thread([&] {
    try {
      exp(x);
    } catch (const StateError& e) {
      message = e.what();
    }
  }).join();
  EXPECT_THAT(message, HasSubstr("thread"));
}

// ---- steps
// ------------------------------------------------------------------------------------------------------------

TEST_F(Misuse, RecordingWithoutAStep) {
  EXPECT_ERROR(tape.constant(1.0), StateError, "record()");
  EXPECT_ERROR(tape.variable(1.0), StateError, "record()");
}

TEST_F(Misuse, AStepThatAnotherThreadHasOpen) {
  const auto step = tape.record();
  std::thread([&] {
    EXPECT_ERROR(tape.constant(1.0), StateError, "another thread has a step open");
    EXPECT_ERROR(std::ignore = tape.record(), StateError, "another thread has a step open");
    EXPECT_ERROR(std::ignore = tape.inference(), StateError, "another thread has a step open");
  }).join();
}

TEST_F(Misuse, AnOpWithoutTensorsOutsideOfEveryStep) {
  ParameterBlock block;
  const Parameter w(block, block.add("w", {2}, true));
  EXPECT_ERROR(exp(w), StateError, "no step is open on this thread");
}

TEST_F(Misuse, ValuesInPlaceOfParameters) {
  ParameterBlock block;
  block.add("w", {2}, true);
  const std::vector<double> few(3), right(static_cast<std::size_t>(block.length()));
  EXPECT_THROW(tape.override_parameters(block, few), ShapeError);
  EXPECT_THROW(tape.override_parameters(block, right, few), ShapeError);
  EXPECT_NO_THROW(tape.override_parameters(block, right, right));
  EXPECT_THROW(Tape().override_parameters(block, right), StateError);
}

TEST_F(Misuse, BackwardInInference) {
  const auto step = tape.inference();
  const Tensor x = tape.variable(1.0);
  EXPECT_ERROR(tape.backward(x * x), StateError, "inference");
}

TEST_F(Misuse, BackwardTwice) {
  const auto step = tape.record();
  const Tensor x = tape.variable(3.0);
  const Tensor y = x * x;
  tape.backward(y);
  EXPECT_THROW(tape.backward(y), StateError);
}

TEST_F(Misuse, BackwardTwiceThroughASharedPart) {
  const auto step = tape.record();
  const Tensor x = tape.variable(3.0);
  const Tensor shared = x * x;
  tape.backward(exp(shared));
  try {
    tape.backward(shared * 2.0);
    FAIL();
  } catch (const StateError& e) {
    EXPECT_THAT(e.what(), HasSubstr("retain_graph"));
    EXPECT_THAT(e.what(), HasSubstr("`mul`"));
  }
}

TEST_F(Misuse, RetainGraphGivesExactlyTwiceTheGradient) {
  const auto step = tape.record();
  const Tensor x = tape.variable(3.0);
  const Tensor y = exp(x * x) * 0.1;
  tape.backward(y, {.retain_graph = true});
  const double once = x.gradient()[0];
  tape.backward(y);
  EXPECT_EQ(x.gradient()[0], 2 * once);
}

TEST_F(Misuse, BackwardOnMoreThanOneElement) {
  const auto step = tape.record();
  const Tensor x = tape.variable({1.0, 2.0}, {2});
  EXPECT_ERROR(tape.backward(x * x), ShapeError, "must have one element, this one has shape [2]");
}

TEST_F(Misuse, BackwardOfAConstant) {
  const auto step = tape.record();
  EXPECT_ERROR(tape.backward(tape.constant(1.0) * 2.0), StateError, "depends on no variable");
}

TEST_F(Misuse, BackwardWithAGradientOfAnotherSize) {
  const auto step = tape.record();
  const Tensor x = tape.variable({1.0, 2.0}, {2});
  const double three[] = {1, 2, 3};
  EXPECT_ERROR(tape.backward(x * x, three), ShapeError, "3 gradients for a tensor of shape [2]");
}

TEST_F(Misuse, AGradientThatNobodyKept) {
  const auto step = tape.record();
  const Tensor x = tape.variable(2.0);
  const Tensor middle = x * x;
  EXPECT_THROW(x.gradient(), StateError);  // before backward
  tape.backward(middle * 3.0);
  EXPECT_THROW(middle.gradient(), StateError);
  EXPECT_EQ(x.gradient()[0], 12);
}

TEST_F(Misuse, AVariableThatTheLossDoesNotReachHasAZeroGradient) {
  const auto step = tape.record();
  const Tensor x = tape.variable(2.0);
  const Tensor unused = tape.variable({1.0, 2.0}, {2});
  tape.backward(x * x);
  EXPECT_EQ(unused.gradient(), (std::vector<double>{0, 0}));
}

TEST_F(Misuse, AnExceptionInTheMiddleOfAStepLeavesTheTapeUsable) {
  for (int i = 0; i < 3; ++i) {
    try {
      const auto step = tape.record();
      const Tensor x = tape.variable({1.0, 2.0}, {2});
      const Tensor y = exp(x);
      matmul(y, y);
      FAIL();
    } catch (const ShapeError&) {
    }
  }
  const auto step = tape.record();
  const Tensor x = tape.variable(3.0);
  tape.backward(x * x);
  EXPECT_EQ(x.gradient()[0], 6);
}

TEST_F(Misuse, ANestedStepLeavesTheOuterGradientsAlone) {
  const auto outer = tape.record();
  const Tensor x = tape.variable(3.0);
  const Tensor y = x * x;
  for (int i = 0; i < 100; ++i) {
    const auto inner = tape.record();
    const Tensor z = tape.variable(2.0);
    tape.backward(z * z * z);
    EXPECT_EQ(z.gradient()[0], 12);
  }
  tape.backward(y);
  EXPECT_EQ(x.gradient()[0], 6);
}

// An op whose backward opens a step and plays it on another tape: what a checkpointing op would do.
const Op& nested_op = define({
    .name = "wrong_nested",
    .formula = "y = x^2, differentiated by another tape inside backward",
    .shape = {"same", [](const Call& c) { return c[0]; }},
    .reads = Reads::inputs,
    .forward =
        [](auto& c) {
          kernels::map(
              c.result(), [](auto x) { return x * x; }, c.in());
        },
    .backward =
        [](auto& c) {
          Tape inner(Precision::f64);
          const auto step = inner.record();
          const Tensor x = inner.variable(static_cast<double>(c.x()[0]));
          inner.backward(x * x);
          c.dx().store(0, c.scalar(x.gradient()[0]) * c.dy()[0]);
        },
});

TEST_F(Misuse, ATapeInsideABackwardIsFine) {
  const auto step = tape.record();
  const Tensor x = tape.variable(3.0);
  Tensor y = x;
  for (int i = 0; i < 3; ++i) y = record(nested_op, {y});
  tape.backward(y);
  EXPECT_EQ(x.gradient()[0], 8 * std::pow(3.0, 7));
}

// An op whose backward records on the tape that plays: an error, not a crash.
const Op& reentrant_op = define({
    .name = "wrong_reentrant",
    .formula = "y = x, whose backward records on the tape being played",
    .shape = {"same", [](const Call& c) { return c[0]; }},
    .forward =
        [](auto& c) {
          kernels::map(
              c.result(), [](auto x) { return x; }, c.in());
        },
    .backward = [](auto&) { throw StateError(Place{}, "error: stopped in backward"); },
});

TEST_F(Misuse, AnExceptionInBackwardLeavesTheTapeUsable) {
  {
    const auto step = tape.record();
    const Tensor x = tape.variable(3.0);
    EXPECT_THROW(tape.backward(record(reentrant_op, {exp(x)})), StateError);
  }
  const auto step = tape.record();
  const Tensor x = tape.variable(3.0);
  tape.backward(x * x);
  EXPECT_EQ(x.gradient()[0], 6);
}

// ---- cards
// ------------------------------------------------------------------------------------------------------------

Op card_of_a_name(std::string_view name) {
  return {.name = name,
          .formula = "y = x",
          .shape = {"same", [](const Call& c) { return c[0]; }},
          .forward = [](auto&) {},
          .backward = [](auto&) {}};
}

TEST(MisusedCards, ANameThatIsTakenNamesBothPlaces) {
  const Op& first = define(card_of_a_name("wrong_twice"));
  EXPECT_ERROR(define(card_of_a_name("wrong_twice")), ValueError, "there is an op \"wrong_twice\" from ");
  EXPECT_ERROR(define(card_of_a_name("wrong_twice")), ValueError,
               "misuse_test.cpp:" + std::to_string(first.place.line));
  EXPECT_ERROR(define(card_of_a_name("softmax")), ValueError, "autograd/ops/softmax.cpp:");
}

TEST(MisusedCards, ALineThatRunsAgainDefinesNothingNew) {
  const auto once = []() -> const Op& { return define(card_of_a_name("wrong_again")); };
  const Op& first = once();
  const std::size_t cards = registry().size();
  EXPECT_EQ(&once(), &first);
  EXPECT_EQ(registry().size(), cards);
}

template <int n>
const Op& of_a_template() {
  return define({.name = "wrong_template",
                 .formula = "y = x + n",
                 .shape = {"same", [](const Call& c) { return c[0]; }},
                 .forward = [](auto& c) { c.y()[0] = c.x()[0] + c.scalar(n); },
                 .backward = [](auto&) {}});
}

TEST(MisusedCards, ALineThatStandsForOtherFunctionsIsAnotherCard) {
  of_a_template<1>();
  EXPECT_THROW(of_a_template<2>(), ValueError);
}

// ---- parameters
// -------------------------------------------------------------------------------------------------------

class MisusedParameters : public testing::Test {
 protected:
  MisusedParameters() : w(block, block.add("layer.weight", {2, 3}, true)) {}
  ParameterBlock block;
  Parameter w;
  Tape tape;
};

TEST_F(MisusedParameters, ANameThatIsTaken) {
  try {
    block.add("layer.weight", {1}, true);
    FAIL();
  } catch (const ValueError& e) {
    EXPECT_THAT(e.what(), HasSubstr("layer.weight"));
  }
}

TEST_F(MisusedParameters, AnIndexThatIsNone) {
  const auto refused = [](auto work) {
    EXPECT_THAT(work, testing::ThrowsMessage<ValueError>(HasSubstr("there is no parameter 1, there are 1")));
  };
  const ParameterBlock& same = block;
  refused([&] { block.entry(1); });
  refused([&] { same.entry(1); });
  refused([&] { block.values(1); });
  refused([&] { same.values(1); });
  refused([&] { block.gradients(1); });
  refused([&] { Parameter(block, 1).values(); });
}

TEST(MisusedShapes, ADimensionThatIsNone) {
  Shape shape{2, 3};
  for (const int axis : {-1, 2, 100})
    EXPECT_ERROR(shape.set(axis, 5), ShapeError, "no dimension " + std::to_string(axis) + " in [2, 3]");
  EXPECT_EQ(shape, (Shape{2, 3}));
}

TEST_F(MisusedParameters, ShapesThatDoNotFitNameTheParameter) {
  const auto step = tape.record();
  const Tensor x = tape.constant({1, 2, 3, 4}, {1, 4});
  EXPECT_ERROR(linear(x, w), ShapeError, "parameter \"layer.weight\"");
}

TEST_F(MisusedParameters, AnOptimizerStepBetweenForwardAndBackward) {
  const auto step = tape.record();
  const Tensor loss = sum(linear(tape.constant({1, 2, 3}, {1, 3}), w));
  block.touch();
  try {
    tape.backward(loss);
    FAIL();
  } catch (const StateError& e) {
    EXPECT_THAT(e.what(), HasSubstr("layer.weight"));
    EXPECT_THAT(e.what(), HasSubstr("changed"));
  }
}

TEST_F(MisusedParameters, AParameterThatIsNotReachedReadsAsZero) {
  const Parameter unused(block, block.add("unused", {2}, true));
  const auto step = tape.record();
  tape.backward(sum(linear(tape.constant({1, 2, 3}, {1, 3}), w)));
  for (const float g : unused.gradient()) EXPECT_EQ(g, 0);
  EXPECT_EQ(w.gradient()[1], 2);
}

// ---- values
// -----------------------------------------------------------------------------------------------------------

TEST_F(Misuse, NumbersThatDoNotFillAShape) {
  const auto step = tape.record();
  EXPECT_ERROR(tape.constant({1.0, 2.0, 3.0}, {2, 2}), ShapeError, "[2, 2]");
  EXPECT_ERROR(tape.variable({1.0, 2.0, 3.0}, {2}), ShapeError, "[2]");
}

TEST_F(Misuse, TangentsOnATapeThatHasNone) {
  const auto step = tape.record();
  const double x[] = {1.0};
  EXPECT_ERROR(tape.variable(x, x, {1}), StateError, "dual");
}

TEST_F(Misuse, ItemOfSeveralNumbers) {
  const auto step = tape.record();
  EXPECT_THROW(tape.constant({1.0, 2.0}, {2}).item(), ShapeError);
}

TEST_F(Misuse, FloatsOfADoubleTape) {
  const auto step = tape.record();
  EXPECT_THROW(tape.constant(1.0).data(), StateError);
}

TEST_F(Misuse, NegativeAndHugeShapes) {
  EXPECT_ERROR(Shape({-1, 2}), ShapeError, "error: shape: a dimension cannot be negative, got -1");
  EXPECT_ERROR(Shape({std::int64_t{1} << 40}), ShapeError,
               "a dimension must be below 2^31, got 1099511627776");
  EXPECT_ERROR(Shape({1, 1, 1, 1, 1, 1, 1}), ShapeError, "more than 6 dimensions");
  const std::vector<std::int64_t> seven(7, 1);
  EXPECT_ERROR(Shape{std::span(seven)}, ShapeError, "more than 6 dimensions");
  Shape shape{1, 1, 1, 1, 1};
  EXPECT_ERROR(shape.append(-3), ShapeError, "got -3");
  EXPECT_ERROR(shape.set(0, -3), ShapeError, "got -3");
  const Shape huge{1 << 30, 1 << 30, 1 << 30};
  EXPECT_ERROR(huge.size(), ShapeError, "[1073741824, 1073741824, 1073741824] has too many elements");
}

TEST_F(Misuse, ShapesAndAxesWrittenInACall) {
  const auto step = tape.record();
  const Tensor x = tape.variable({1.0, 2.0}, {2});
  EXPECT_ERROR(tape.constant({1.0, 2.0}, {2, -1}), ShapeError, "a dimension cannot be negative, got -1");
  EXPECT_ERROR(tape.constant({1.0}, {1 << 30, 1 << 30, 1 << 30}), ShapeError, "has too many elements");
  EXPECT_ERROR(expand(x, {1, 1, 1, 1, 1, 1, 2}), ShapeError, "more than 6 dimensions");
  EXPECT_ERROR(reshape(x, {1, 1, 1, 1, 1, 1, 2}), ShapeError, "more than 6 dimensions");
  EXPECT_ERROR(reshape(x, {-1, 1 << 30, 1 << 30, 1 << 30}), ShapeError, "has too many elements");
  EXPECT_ERROR(sum(x, {.axes = {0, 1, 2, 3, 4, 5, 6}}), ShapeError, "axes: more than 6");
}

// An op that computes an impossible size says so itself, at the line of its call.
TEST_F(Misuse, ShapesThatAnOpMakes) {
  const auto step = tape.record();
  const Tensor x = tape.variable({1.0, 2.0}, {2});
  EXPECT_ERROR(pad(x, 0, 0, std::numeric_limits<std::int32_t>::max()), ShapeError,
               "error: pad: shape: a dimension must be below 2^31, got 2147483649\n    x        [2]");
}

// ---- ops
// --------------------------------------------------------------------------------------------------------------

TEST_F(Misuse, Axes) {
  const auto step = tape.record();
  const Tensor x = tape.variable({1, 2, 3, 4, 5, 6}, {2, 3});
  EXPECT_ERROR(sum(x, {.axes = {2}}), ShapeError, "axis 2 of a tensor of rank 2");
  EXPECT_ERROR(sum(x, {.axes = {-3}}), ShapeError, "axis -3");
  EXPECT_ERROR(max(x, {.axes = {0, 0}}), ShapeError, "named twice");
  EXPECT_ERROR(softmax(x, {.axis = 5}), ShapeError, "axis 5");
  EXPECT_ERROR(cumsum(x, 2), ShapeError, "axis 2");
  EXPECT_ERROR(transpose(x, 0, 2), ShapeError, "axis 2");
  EXPECT_ERROR(permute(x, {0, 0}), ShapeError, "permute");
  EXPECT_ERROR(flip(x, {7}), ShapeError, "axis 7");
  EXPECT_ERROR(stack({x, x}, 4), ShapeError, "axis 4");
}

TEST_F(Misuse, AGradientThatNoBackwardCouldHaveLeftIsNoZero) {
  const auto step = tape.record();
  const Tensor x = tape.variable({1, 2}, {2});
  const Tensor y = square(x);
  const Tensor loss = sum(y);
  tape.backward(loss, {.retain_graph = true});
  y.retain_gradient();
  EXPECT_ERROR(y.gradient(), StateError, "since this tensor was marked with retain_gradient");
  const Tensor later = tape.variable({3, 4}, {2});
  EXPECT_ERROR(later.gradient(), StateError, "since this tensor was made");
  tape.backward(loss);
  y.retain_gradient();  // again, and as before
  EXPECT_EQ(y.gradient(), (std::vector<double>{1, 1}));
  EXPECT_EQ(later.gradient(), (std::vector<double>{0, 0}));  // the loss does not depend on it
}

TEST_F(Misuse, Sizes) {
  const auto step = tape.record();
  const Tensor x = tape.variable({1, 2, 3, 4, 5, 6}, {2, 3});
  EXPECT_ERROR(reshape(x, {4, 2}), ShapeError, "reshape");
  EXPECT_ERROR(reshape(x, {-1, -1}), ShapeError, "reshape");
  EXPECT_ERROR(reshape(x, {-1, 4}), ShapeError, "reshape");
  EXPECT_ERROR(expand(x, {2, 4}), ShapeError, "expand");
  EXPECT_ERROR(slice(x, 0, 1, 5), ShapeError, "slice");
  EXPECT_ERROR(slice(x, 0, 2, 1), ShapeError, "slice");
  EXPECT_ERROR(pad(x, 0, -1, 0), ShapeError, "pad");
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  EXPECT_ERROR(pad(x, 0, most, 1), ShapeError, "pad");
  EXPECT_ERROR(pad(x, 0, 0, most), ShapeError, "pad");
  EXPECT_ERROR(pad(x, 0, (std::int64_t{1} << 31) - 1, 0), ShapeError, "pad");
  EXPECT_ERROR(expand(x, {1 << 30, 1 << 30, 1 << 30, 2, 3}), ShapeError, "expand");
  EXPECT_ERROR(rotary(tape.constant({1, 2, 3, 4}, {2, 2}), {.first_position = most}), ValueError, "rotary");
  EXPECT_ERROR(split(x, 0), ShapeError, "split");
  EXPECT_ERROR(concat(std::span<const Tensor>{}), ShapeError, "no tensors");
  EXPECT_ERROR(x + tape.constant({1, 2}, {2}), ShapeError, "do not broadcast");
  EXPECT_ERROR(matmul(x, x), ShapeError, "inner sizes differ, 3 and 2");
  EXPECT_ERROR(dot(x, x), ShapeError, "");
  EXPECT_ERROR(var(tape.constant(1.0)), ShapeError, "correction");
  EXPECT_ERROR(max(tape.constant(std::initializer_list<double>{}, {0})), ShapeError, "empty row");
}

// The operand lines of a message come with it: what the user gave, and no tensor in between.
TEST_F(Misuse, FunctionsMadeOfOtherOpsSpeakOfWhatTheyWereGiven) {
  const auto step = tape.record();
  const Tensor x = tape.variable({1, 2, 3, 4, 5, 6}, {2, 3});
  const Tensor empty = tape.variable(std::initializer_list<double>{}, {0, 3});
  EXPECT_ERROR(gather(x, {0, 2}), ValueError,
               "gather: row 2 at position 1 is out of range\n    x        [2, 3]");
  EXPECT_ERROR(gather(tape.constant(1.0), {0}), ShapeError, "gather: a scalar has no rows");
  const auto refused = [](const char* op) {
    return std::string(op) + ": an empty row has no result\n    x        [0, 3]  variable at ";
  };
  EXPECT_ERROR(max(empty, {.axes = {0}}), ShapeError, refused("max"));
  EXPECT_ERROR(min(empty), ShapeError, refused("min"));
  EXPECT_ERROR(logsumexp(empty, {.axes = {0}, .keepdim = true}), ShapeError, refused("logsumexp"));
  EXPECT_ERROR(
      var(x, {.axes = {0}, .correction = 2}), ShapeError,
      "var: the variance of 2 numbers with correction 2 divides by zero\n    x        [2, 3]  variable at ");
  EXPECT_ERROR(stack({x, empty}), ShapeError,
               "stack: input 1 is [0, 3], the ones before [2, 3]\n    x        [2, 3]  variable at ");
  EXPECT_ERROR(stack(std::span<const Tensor>{}), ShapeError, "stack: no tensors");
  EXPECT_ERROR(stack({reshape(x, {1, 1, 1, 1, 2, 3})}), ShapeError, "stack: there is no room");
  const Tensor a = reshape(x, {1, 2, 3});
  const Tensor b = tape.constant(std::vector<double>(8), {4, 2, 1});
  EXPECT_ERROR(matmul(a, b), ShapeError, "b        [4, 2, 1]  constant at ");
  const Tensor c = tape.constant(std::vector<double>(12), {2, 3, 2});
  EXPECT_ERROR(
      matmul(stack({a, a, a}, 1), stack({c, c}, 1)), ShapeError,
      "matmul: the leading dimensions of [1, 3, 2, 3] and [2, 2, 3, 2] do not broadcast\n    a        ");
}

TEST_F(Misuse, WhatWasMadeByAFunctionIsSaidToBeMadeByIt) {
  const auto step = tape.record();
  const Tensor x = tape.variable({1, 2, 3, 4, 5, 6}, {2, 3});
  const Tensor two = tape.constant({1, 2}, {2});
  EXPECT_ERROR(add(sum(x, {.axes = {0}}), two), ShapeError, "[3]  made by `sum` at ");
  EXPECT_ERROR(add(mean(x, {.axes = {0}, .keepdim = true}), two), ShapeError, "[1, 3]  made by `mean` at ");
  EXPECT_ERROR(add(max(x, {.axes = {0}}), two), ShapeError, "[3]  made by `max` at ");
  EXPECT_ERROR(add(norm(x, {.axes = {0}, .keepdim = true}), two), ShapeError, "[1, 3]  made by `norm` at ");
  EXPECT_ERROR(add(gather(x, {1}), two), ShapeError, "[1, 3]  made by `gather` at ");
}

// Two dimensions that are too long for one, of a tensor without elements: there is nothing to reduce.
TEST_F(Misuse, ReductionsOfHugeButEmptyTensors) {
  const auto step = tape.record();
  const Tensor x = tape.constant(std::initializer_list<double>{}, {0, 1 << 20, 1 << 20});
  EXPECT_EQ(max(x, {.axes = {1, 2}}).shape(), Shape({0}));
  EXPECT_EQ(norm(x, {.axes = {1, 2}, .keepdim = true}).shape(), Shape({0, 1, 1}));
  EXPECT_EQ(sum(x).item(), 0);
}

TEST_F(Misuse, Numbers) {
  const auto step = tape.record();
  const Tensor x = tape.variable({1, 2, 3, 4, 5, 6}, {2, 3});
  const Tensor w = tape.constant({1, 1, 1}, {3});
  EXPECT_ERROR(softmax(x, {.temperature = 0}), ValueError, "temperature");
  EXPECT_ERROR(softmax(x, {.temperature = -1}), ValueError, "temperature");
  EXPECT_ERROR(softmax(x, {.temperature = std::nan("")}), ValueError, "temperature");
  EXPECT_ERROR(layer_norm(x, w, w, 0.0), ValueError, "epsilon");
  EXPECT_ERROR(rms_norm(x, w, -1.0), ValueError, "epsilon");
  EXPECT_ERROR(huber(x, x, 0.0), ValueError, "delta");
  EXPECT_ERROR(clamp(x, 2.0, 1.0), ValueError, "clamp");
  EXPECT_ERROR(dropout(x, {.p = 1.0}), ValueError, "p");
  EXPECT_ERROR(dropout(x, {.p = -0.1}), ValueError, "p");
}

TEST_F(Misuse, LabelsAndTokens) {
  const auto step = tape.record();
  const Tensor x = tape.variable({1, 2, 3, 4, 5, 6}, {2, 3});
  const std::vector<std::int32_t> high = {0, 3}, low = {-1, 0}, few = {0}, good = {0, 2};
  EXPECT_ERROR(cross_entropy(x, high), ValueError, "label 3 of row 1 is not a class");
  EXPECT_ERROR(cross_entropy(x, low), ValueError, "label -1 of row 0");
  EXPECT_ERROR(cross_entropy(x, few), ShapeError, "1 labels for 2 rows");
  EXPECT_ERROR(cross_entropy(x, good, {.label_smoothing = 1.5}), ValueError, "smoothing");
  EXPECT_ERROR(cross_entropy(x, good, {.label_smoothing = 1.5, .reduction = Reduction::none}), ValueError,
               "smoothing");
  EXPECT_ERROR(nll(x, high), ValueError, "label 3");
  EXPECT_ERROR(embedding(x, high), ValueError, "token 3 at position 1");
  EXPECT_ERROR(embedding(x, low), ValueError, "token -1 at position 0");
  EXPECT_ERROR(embedding(x, few, {3}), ShapeError, "1 tokens do not fill the shape [3]");
  EXPECT_ERROR(index_select(x, high), ValueError, "index 3");
  EXPECT_ERROR(take_along(x, few), ShapeError, "1 positions for 2 rows");
  EXPECT_ERROR(take_along(x, high), ValueError, "index 3");
  const std::vector<std::uint8_t> mask = {1};
  EXPECT_ERROR(where(mask, x, x), ShapeError, "where");
}

TEST_F(Misuse, TheFirstNumberThatIsNotFiniteIsNamed) {
  tape.detect_anomaly(true);
  const auto step = tape.record();
  const Tensor x = tape.variable({1.0, -1.0}, {2});
  EXPECT_ERROR(log(x), NonFiniteError, "log");
}

TEST(MisuseOfNumbers, TheLayerOfTheFirstNumberThatIsNotFiniteIsNamed) {
  ParameterBlock block;
  Parameter inner(block, block.add("blocks.0.inner.weight", {2, 2}, true));
  Parameter outer(block, block.add("blocks.0.outer.weight", {2, 2}, true));
  inner.values()[0] = 1e30f;
  outer.values()[0] = 1e30f;
  Tape tape;  // f32, which 1e60 is too large for
  tape.detect_anomaly(true);
  const auto step = tape.record();
  const Tensor x = tape.constant({1.0, 1.0}, {1, 2});
  const Tensor h = linear(x, inner);
  EXPECT_ERROR(linear(h, outer), NonFiniteError, "layer    blocks.0.outer");
  EXPECT_ERROR(log(neg(h)), NonFiniteError, "layer    after blocks.0.inner");
  EXPECT_ERROR(log(neg(x)), NonFiniteError, "in [-1, -1], mean -1");
}

TEST_F(Misuse, AGradientThatIsNotFiniteIsNamed) {
  tape.detect_anomaly(true);
  const auto step = tape.record();
  const Tensor x = tape.variable({0.0}, {1});
  try {
    tape.backward(sum(sqrt(x)));
    FAIL();
  } catch (const NonFiniteError& e) {
    EXPECT_THAT(e.what(), HasSubstr("sqrt"));
    EXPECT_THAT(e.what(), HasSubstr("gradient"));
  }
}

}  // namespace
}  // namespace reel
