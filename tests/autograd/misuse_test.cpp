#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>

#include "autograd/autograd.h"
#include "tests/autograd/misuse.h"

// Tapes, handles, steps and parameters in ways that they cannot be used, and the error that says so.

namespace reel {
namespace {

using testing::HasSubstr;

// ---- handles ----

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
  Tensor z = x;
  EXPECT_ERROR(z += y, StateError, "tape");
  EXPECT_ERROR(stack({x, y}), StateError, "tape");
  ParameterBlock block;
  const Parameter w(block, block.add("w", {}, true));
  EXPECT_ERROR(x + exp(w), StateError,
               "an op of parameters alone goes to the tape whose step was opened last");
  EXPECT_EQ((x + exp(tape.leaf(w))).item(), 2);
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

// A tape that was opened here and destroyed elsewhere is none of this thread's any more.
TEST_F(Misuse, AStepThatEndedOnAnotherThread) {
  ParameterBlock block;
  const Parameter w(block, block.add("w", {2}, true));
  auto other = std::make_unique<Tape>();
  std::unique_ptr<Step> step(new Step(other->record()));
  std::thread([&] {
    step.reset();
    other.reset();
  }).join();
  EXPECT_ERROR(exp(w), StateError, "no step is open on this thread");
  const auto good = tape.record();
  EXPECT_EQ(exp(w).precision(), Precision::f64);
}

// What a thread keeps of its own is gone before what is static.
TEST(MisuseDeathTest, AStaticStepThatTheProgramEndsIn) {
  const auto end = [] {
    static Tape tape;
    static const auto step = tape.record();
    std::exit(tape.variable(1.0).item() == 1 ? 7 : 1);
  };
  EXPECT_EXIT(end(), testing::ExitedWithCode(7), "");
}

// ---- steps ----

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
  EXPECT_ERROR(tape.override_parameters(block, few), ShapeError, "got 3 values and 0 tangents");
  EXPECT_ERROR(tape.override_parameters(block, right, few), ShapeError, "and 3 tangents");
  EXPECT_NO_THROW(tape.override_parameters(block, right, right));
  EXPECT_ERROR(Tape().override_parameters(block, right), StateError, "an f32 tape reads");
}

TEST_F(Misuse, ValuesInPlaceOfParametersCountFromThenOn) {
  ParameterBlock block;
  const Parameter w(block, block.add("w", {2}, true));
  const std::vector<double> sevens(static_cast<std::size_t>(block.length()), 7.0);
  const auto step = tape.record();
  const Tensor before = tape.leaf(w);
  tape.override_parameters(block, sevens);
  EXPECT_THAT(before.values(), testing::Each(0.0));
  EXPECT_THAT(tape.leaf(w).values(), testing::Each(7.0));
  tape.backward(sum(w * w));
  EXPECT_THAT(tape.leaf(w).gradient(), testing::Each(14.0));
  EXPECT_THAT(before.gradient(), testing::Each(0.0));
  tape.override_parameters(block, {});
  EXPECT_THAT(tape.leaf(w).values(), testing::Each(0.0));
}

TEST_F(Misuse, ParametersThatAreAddedAfterValuesInTheirPlace) {
  for (const bool tangents : {false, true}) {
    ParameterBlock block;
    block.add("w", {2}, true);
    const std::vector<double> numbers(static_cast<std::size_t>(block.length()));
    Tape dual(Precision::dual);
    dual.override_parameters(block, tangents ? std::span<const double>() : numbers,
                             tangents ? numbers : std::span<const double>());
    const Parameter late(block, block.add("late", {2}, true));
    const auto step = dual.record();
    EXPECT_ERROR(sum(late), StateError, "override_parameters gave 16 numbers");
    dual.override_parameters(block, {});
    EXPECT_EQ(sum(late).item(), 0);
  }
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

// The backward counts, wherever it ran.
TEST_F(Misuse, AnOuterVariableThatABackwardInAnInnerStepDidNotReachHasAZeroGradient) {
  const auto outer = tape.record();
  const Tensor x = tape.variable({1, 2}, {2});
  {
    const auto inner = tape.record();
    tape.backward(exp(tape.variable(1.0)));
    EXPECT_EQ(x.gradient(), (std::vector<double>{0, 0}));
  }
  EXPECT_EQ(x.gradient(), (std::vector<double>{0, 0}));
  const Tensor later = tape.variable(1.0);
  EXPECT_ERROR(later.gradient(), StateError, "backward has not run since this tensor was made");
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

// An op whose card uses the tape that runs it: an error, not a crash.
struct Reentry {
  enum Where { rule, forward, backward } where;
  Tape* tape;
  void (*work)(Tape&);
  void enter(Where now) const {
    if (now == where) work(*tape);
  }
};
const Op& reentrant_op = define({
    .name = "wrong_reentrant",
    .formula = "y = x, whose card uses the tape that runs it",
    .shape = {"same",
              [](const Call& c) {
                c.options<Reentry>().enter(Reentry::rule);
                return c[0];
              }},
    .forward =
        [](auto& c) {
          c.template options<Reentry>().enter(Reentry::forward);
          kernels::map(
              c.result(), [](auto x) { return x; }, c.in());
        },
    .backward = [](auto& c) { c.template options<Reentry>().enter(Reentry::backward); },
});

TEST_F(Misuse, ACardThatUsesTheTapeThatRunsIt) {
  void (*const works[])(Tape&) = {
      [](Tape& own) {
        for (int i = 0; i < 10000; ++i) own.variable(1.0);  // more than there is room for
      },
      [](Tape& own) { std::ignore = own.record(); },
      [](Tape& own) { std::ignore = own.inference(); },
      [](Tape& own) { own.backward(own.variable(1.0)); },
  };
  for (const Reentry::Where where : {Reentry::rule, Reentry::forward, Reentry::backward}) {
    const std::string reason = where == Reentry::backward
                                   ? "error: tape: nothing can be recorded while the tape plays backwards"
                                   : "error: tape: nothing can be recorded while an op of the tape runs";
    for (const auto work : works) {
      const auto step = tape.record();
      const Tensor x = tape.variable(3.0);
      EXPECT_THAT(
          [&] {
            tape.backward(record(reentrant_op, {exp(x)}, Reentry{where, &tape, work}));
          },
          testing::ThrowsMessage<StateError>(
              testing::AllOf(HasSubstr("misuse_test.cpp:"), HasSubstr(reason))));
      tape.backward(x * x);  // the tape is as it was
      EXPECT_EQ(x.gradient()[0], 6);
    }
  }
}

TEST_F(Misuse, AnExceptionInBackwardLeavesTheTapeUsable) {
  {
    const auto step = tape.record();
    const Tensor x = tape.variable(3.0);
    const auto stop = [](Tape&) { throw StateError(Place{}, "error: stopped in backward"); };
    EXPECT_THROW(tape.backward(record(reentrant_op, {exp(x)}, Reentry{Reentry::backward, &tape, stop})),
                 StateError);
  }
  const auto step = tape.record();
  const Tensor x = tape.variable(3.0);
  tape.backward(x * x);
  EXPECT_EQ(x.gradient()[0], 6);
}

// A tape that ran an op of a card that threw is busy no more.
TEST_F(Misuse, AnExceptionInForwardLeavesTheTapeUsable) {
  const auto step = tape.record();
  const Tensor x = tape.variable(3.0);
  const auto stop = [](Tape&) { throw std::runtime_error("stopped"); };
  for (const Reentry::Where where : {Reentry::rule, Reentry::forward})
    EXPECT_THROW(record(reentrant_op, {x}, Reentry{where, &tape, stop}), std::runtime_error);
  tape.backward(x * x);
  EXPECT_EQ(x.gradient()[0], 6);
}

// ---- parameters ----

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

}  // namespace
}  // namespace reel
