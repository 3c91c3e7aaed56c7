#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "autograd/autograd.h"
#include "tests/support/count_allocations.h"

// Several backwards in one step, through the same ops or others: what one of them left behind must not travel
// again with the next.

namespace reel {
namespace {

using Numbers = std::vector<double>;

class SeveralBackwards : public testing::TestWithParam<Precision> {
 protected:
  Tape tape{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(On, SeveralBackwards,
                         testing::Values(Precision::f32, Precision::f64, Precision::dual));

TEST_P(SeveralBackwards, TheGradientThatATensorKeepsIsNotPlayedAgain) {
  const auto step = tape.record();
  const Tensor x = tape.variable(3.0);
  const Tensor y = square(x).retain_gradient();
  const Tensor z = square(y);
  tape.backward(z, {.retain_graph = true});
  EXPECT_EQ(x.gradient(), Numbers{108});
  EXPECT_EQ(y.gradient(), Numbers{18});
  tape.backward(z);
  EXPECT_EQ(x.gradient(), Numbers{216});
  EXPECT_EQ(y.gradient(), Numbers{36});
}

TEST_P(SeveralBackwards, NorByABackwardThatGoesAnotherWay) {
  const auto step = tape.record();
  const Tensor x = tape.variable({3.0, 4.0}, {2});
  const Tensor w = tape.variable(1.0);
  const Tensor y = square(x).retain_gradient();
  tape.backward(sum(y));
  EXPECT_EQ(x.gradient(), (Numbers{6, 8}));
  tape.backward(w * 4.0 + sum(stop_gradient(y)));
  EXPECT_EQ(x.gradient(), (Numbers{6, 8}));
  EXPECT_EQ(y.gradient(), (Numbers{1, 1}));
  EXPECT_EQ(w.gradient(), Numbers{4});
}

TEST_P(SeveralBackwards, TwoLossesBehindOneTrunk) {
  const auto step = tape.record();
  const Tensor v = tape.variable(2.0);
  const Tensor h = (v * 2.0).retain_gradient();
  tape.backward(h * 5.0, {.retain_graph = true});
  tape.backward(h * 7.0);
  EXPECT_EQ(v.gradient(), Numbers{24});
  EXPECT_EQ(h.gradient(), Numbers{12});
}

TEST_P(SeveralBackwards, FromATensorThatKeepsItsGradient) {
  const auto step = tape.record();
  const Tensor x = tape.variable(3.0);
  const Tensor y = (x * x).retain_gradient();
  tape.backward(y, {.retain_graph = true});
  tape.backward(y);
  EXPECT_EQ(x.gradient(), Numbers{12});
  EXPECT_EQ(y.gradient(), Numbers{2});
}

TEST_P(SeveralBackwards, AViewThatKeepsItsGradient) {
  const auto step = tape.record();
  const Tensor x = tape.variable({1.0, 2.0}, {2});
  const Tensor y = x * 3.0;
  const Tensor view = reshape(y, {2, 1}).retain_gradient();
  const Tensor loss = sum(square(view));
  tape.backward(loss, {.retain_graph = true});
  tape.backward(loss);
  EXPECT_EQ(x.gradient(), (Numbers{36, 72}));
  EXPECT_EQ(view.gradient(), (Numbers{12, 24}));
}

TEST_P(SeveralBackwards, OneThatFailedLeavesNothingToTheNext) {
  const auto step = tape.record();
  const Tensor x = tape.variable(3.0);
  const Tensor w = tape.variable(2.0);
  const Tensor first = square(x);
  tape.backward(first);
  EXPECT_THROW(tape.backward(first * 2.0 + square(x)), StateError);  // half of it was played before
  EXPECT_THROW(tape.backward(first), StateError);
  tape.backward(w * 4.0);
  EXPECT_EQ(w.gradient(), Numbers{4});
}

TEST_P(SeveralBackwards, OneThatWasStoppedLeavesNothingToTheNext) {
  const auto step = tape.record();
  const Tensor x = tape.variable(0.0);
  const Tensor w = tape.variable(2.0);
  tape.detect_anomaly(true);
  EXPECT_THROW(tape.backward(w * square(sqrt(x))), NonFiniteError);
  tape.detect_anomaly(false);
  const Numbers before = w.gradient();
  tape.backward(w * 4.0);
  EXPECT_EQ(w.gradient(), Numbers{before[0] + 4});
}

TEST_P(SeveralBackwards, OneThatIsRefusedAgainAndAgain) {
  const auto step = tape.record();
  const Tensor x = tape.variable(3.0);
  const Tensor loss = square(x);
  tape.backward(loss);
  for (int i = 0; i < 4; ++i) EXPECT_THROW(tape.backward(loss), StateError);
  tape.backward(square(x));
  EXPECT_EQ(x.gradient(), Numbers{12});
}

TEST_P(SeveralBackwards, OneThatIsRefusedLeavesWhatAnEarlierOneDelivered) {
  ParameterBlock block;
  const Parameter w(block, block.add("w", {1}, true));
  const auto step = tape.record();
  const Tensor x = tape.variable(3.0);
  const Tensor u = tape.variable(1.0);
  const Tensor loss = square(x);
  tape.backward(loss);
  tape.backward(tape.leaf(w));
  EXPECT_THROW(tape.backward(loss), StateError);
  tape.backward(u);
  EXPECT_THROW(tape.backward(loss), StateError);
  EXPECT_EQ(u.gradient(), Numbers{1});
  EXPECT_EQ(tape.leaf(w).gradient(), Numbers{1});
}

// An inner step may differentiate what an outer one recorded; its end must not take the gradients away.
TEST_P(SeveralBackwards, InAnInnerStep) {
  tape.poison(true);
  const auto outer = tape.record();
  const Tensor x = tape.variable(Numbers(100, 2.0), {100});
  const Tensor y = square(x).retain_gradient();
  for (int i = 1; i <= 3; ++i) {
    const auto inner = tape.record();
    tape.backward(sum(reshape(y, {10, 10}) * 2.0), {.retain_graph = true});
    EXPECT_EQ(x.gradient()[99], 8 * i);
    const Tensor z = tape.variable(Numbers(100, 3.0), {100});
    tape.backward(sum(z * z));
    EXPECT_EQ(z.gradient()[99], 6);
  }
  EXPECT_EQ(x.gradient()[99], 24);
  EXPECT_EQ(y.gradient()[99], 6);
  tape.backward(sum(x) + sum(y));
  EXPECT_EQ(x.gradient()[99], 24 + 1 + 4);
  EXPECT_EQ(y.gradient()[99], 7);
}

TEST(SeveralSteps, AParameterThatWasReadInAnInferenceStepTakesAGradientInsideIt) {
  ParameterBlock block;
  const Parameter w(block, block.add("w", {2}, true));
  block.values(0)[0] = 3;
  block.values(0)[1] = 5;
  Tape tape;
  const auto outer = tape.inference();
  EXPECT_EQ(sum(w).item(), 8);
  {
    const auto inner = tape.record();
    tape.backward(sum(square(w)));
    EXPECT_EQ(w.gradient()[0], 6);
    EXPECT_EQ(w.gradient()[1], 10);
  }
  EXPECT_EQ(sum(w).item(), 8);
}

const Op& failing_backward_op = define({
    .name = "wrong_failing_backward",
    .formula = "y = x0 + x1;  dx = dy, if it did not throw first",
    .shape = {"same", [](const Call& c) { return c[0]; }},
    .forward =
        [](auto& c) {
          kernels::map(
              c.result(), [](auto x, auto y) { return x + y; }, c.in(0), c.in(1));
        },
    .backward = [](auto&) { throw ValueError(Place{}, "error: stopped in backward"); },
});

// Memory that was taken for a gradient, and that nobody has written to, is no gradient.
TEST_P(SeveralBackwards, WhatAFailedOneBeganIsForgotten) {
  tape.poison(true);
  ParameterBlock block;
  const Parameter w(block, block.add("w", {2}, true));
  const auto step = tape.record();
  const Tensor x = tape.variable({1.0, 2.0}, {2});
  const Tensor y = square(x).retain_gradient();
  for (int i = 0; i < 2; ++i) {
    EXPECT_THROW(tape.backward(sum(record(failing_backward_op, {y, w}))), ValueError);
    EXPECT_EQ(x.gradient(), (Numbers{0, 0}));
    EXPECT_EQ(y.gradient(), (Numbers{0, 0}));
    EXPECT_EQ(tape.leaf(w).gradient(), (Numbers{0, 0}));
    EXPECT_FALSE(block.entry(0).has_gradient);
  }
  tape.backward(sum(y * w) + sum(w));
  EXPECT_EQ(y.gradient(), (Numbers{0, 0}));
  EXPECT_EQ(tape.leaf(w).gradient(), (Numbers{2, 5}));
  EXPECT_THROW(tape.backward(sum(record(failing_backward_op, {y, w}))), ValueError);
  EXPECT_EQ(tape.leaf(w).gradient(), (Numbers{2, 5}));
}

// What an op had begun before a parameter was found to have changed is forgotten.
TEST(SeveralSteps, ABackwardThatIsRefusedLeavesNoGradient) {
  ParameterBlock block, other;
  const Parameter w(block, block.add("w", {1}, true));
  Parameter v(other, other.add("v", {1}, true));
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.variable({2.0}, {1});
  const Tensor loss = sum(concat({x, tape.leaf(w), tape.leaf(v)}));
  v.values()[0] = 1;
  EXPECT_THROW(tape.backward(loss), StateError);
  EXPECT_FALSE(block.entry(0).has_gradient);
  EXPECT_EQ(x.gradient(), Numbers{0});
}

TEST(SeveralSteps, AnInnerBackwardTakesNewMemoryOnce) {
  if (!support::counts_allocations()) GTEST_SKIP() << "a sanitizer has its own allocator";
  Tape tape;
  const auto outer = tape.record();
  const Tensor x = tape.variable(Numbers(100, 2.0), {100});
  const Tensor trunk = exp(square(x) * 0.1);
  std::size_t before = 0;
  for (int i = 0; i < 10; ++i) {
    if (i == 3) before = support::allocations();
    const auto inner = tape.record();
    tape.backward(sum(trunk * trunk), {.retain_graph = true});
  }
  EXPECT_EQ(support::allocations() - before, 0U);
  EXPECT_NEAR(x.gradient()[99], 10 * 2 * std::exp(0.8) * 0.4, 1e-4);
}

TEST(SeveralSteps, AGradientThatAnOptimizerClearedReadsAsZero) {
  ParameterBlock block;
  const Parameter w(block, block.add("w", {2}, true));
  Tape tape;
  const auto step = tape.record();
  tape.backward(sum(w) * 3.0);
  EXPECT_EQ(tape.leaf(w).gradient(), (Numbers{3, 3}));
  block.zero_grad();
  EXPECT_EQ(tape.leaf(w).gradient(), (Numbers{0, 0}));
}

const Op& failing_op = define({
    .name = "wrong_failing",
    .formula = "y = x;  dx = dy, if it did not throw first",
    .shape = {"same", [](const Call& c) { return c[0]; }},
    .forward =
        [](auto& c) {
          c.scratch(c.size_y());
          throw ValueError(Place{}, "error: stopped in forward");
        },
    .backward = [](auto&) {},
});

TEST(SeveralSteps, OpsThatFailGiveTheirMemoryBack) {
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.constant(Numbers(1 << 16, 1.0), {1 << 16});
  EXPECT_THROW(record(failing_op, {x}), ValueError);
  const std::size_t once = tape.statistics().reserved_bytes;
  for (int i = 0; i < 200; ++i) EXPECT_THROW(record(failing_op, {x}), ValueError);
  EXPECT_EQ(tape.statistics().reserved_bytes, once);
  EXPECT_EQ(neg(x).data()[0], -1);
}

TEST(SeveralSteps, WhatOutlivesAStepCountsAsReserved) {
  ParameterBlock block;
  block.add("w", {1 << 16}, true);
  Tape tape(Precision::f64);
  const auto reserved = [&tape] { return tape.statistics().reserved_bytes; };
  const std::size_t before = reserved();
  tape.override_parameters(block, Numbers(static_cast<std::size_t>(block.length())));
  EXPECT_GE(reserved() - before, std::size_t{8} << 16);
  const auto outer = tape.record();
  const Tensor x = tape.variable(Numbers(1 << 16, 1.0), {1 << 16});
  std::size_t step_alone = 0;
  {
    const auto inner = tape.record();
    const Tensor loss = sum(x * 2.0);
    const std::size_t recorded = reserved();
    tape.backward(loss);
    step_alone = reserved() - recorded;
  }
  // The gradient of x lies beside the arenas, and the two of the inner step within.
  EXPECT_GE(step_alone, std::size_t{2} * (std::size_t{8} << 16));
  EXPECT_EQ(x.gradient()[7], 2);
}

TEST(SeveralSteps, NothingIsKeptOfModelsThatAreGone) {
  ParameterBlock stays;
  const Parameter w(stays, stays.add("w", {2}, true));
  Tape tape(Precision::f64);
  {
    std::vector<std::unique_ptr<ParameterBlock>> blocks;
    for (int i = 0; i < 3; ++i) {
      blocks.push_back(std::make_unique<ParameterBlock>());
      blocks.back()->add("w", {1 << 16}, true);
      tape.override_parameters(*blocks.back(), Numbers(1 << 16, 1.0));
    }
    EXPECT_GE(tape.statistics().reserved_bytes, std::size_t{3} * (std::size_t{8} << 16));
  }
  tape.override_parameters(stays, Numbers(16, 5.0));
  EXPECT_LT(tape.statistics().reserved_bytes, std::size_t{8} << 16);
  const auto step = tape.record();
  tape.backward(sum(square(w)));
  EXPECT_EQ(tape.leaf(w).gradient(), (Numbers{10, 10}));
}

TEST(SeveralSteps, AnOpThatIsDefinedWhileTheTapeIsProfiledIsTimed) {
  Tape tape;
  tape.profile(true);
  static const Op& late = define({
      .name = "defined_late",
      .formula = "y = x;  dx = dy",
      .shape = {"same", [](const Call& c) { return c[0]; }},
      .forward =
          [](auto& c) {
            kernels::map(
                c.result(), [](auto x) { return x; }, c.in());
          },
      .backward =
          [](auto& c) {
            kernels::map(
                c.gradient(), [](auto dy) { return dy; }, c.upstream());
          },
  });
  const auto step = tape.record();
  const Tensor x = tape.variable(1.0);
  tape.backward(record(late, {x}));
  const auto ops = tape.statistics().ops;
  EXPECT_EQ(std::count_if(ops.begin(), ops.end(), [](const auto& o) { return o.op == "defined_late"; }), 1);
}

}  // namespace
}  // namespace reel
