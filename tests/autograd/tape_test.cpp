#include "autograd/tape.h"

#include <gtest/gtest.h>

#include <cmath>

#include "autograd/op.h"
#include "autograd/ops.h"
#include "autograd/parameter.h"

namespace reel {
namespace {

TEST(Tape, GradientOfAProductIsTheOtherFactor) {
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.variable(3.0);
  const Tensor y = tape.variable(4.0);
  tape.backward(x * y + x);
  EXPECT_EQ(x.gradient(), std::vector<double>{5});
  EXPECT_EQ(y.gradient(), std::vector<double>{3});
}

TEST(Tape, ATensorUsedTwiceGetsBothContributions) {
  Tape tape(Precision::f64);
  const auto step = tape.record();
  const Tensor x = tape.variable({1.0, -2.0, 3.0}, {3});
  tape.backward(sum(x * x * x));
  EXPECT_EQ(x.gradient(), (std::vector<double>{3, 12, 27}));
}

// An op may write its gradients in any order, also if both are of one tensor.
const Op& backwards_op = define({
    .name = "wrong_way_round_product",
    .formula = "z = x y",
    .inputs = {"x", "y"},
    .shape = {"same", [](const Call& c) { return c[0]; }},
    .reads = Reads::inputs,
    .forward =
        [](auto& c) {
          kernels::map(
              c.result(), [](auto x, auto y) { return x * y; }, c.in(0), c.in(1));
        },
    .backward =
        [](auto& c) {
          kernels::map(
              c.gradient(1), [](auto x, auto dz) { return x * dz; }, c.in(0), c.upstream());
          kernels::map(
              c.gradient(0), [](auto y, auto dz) { return y * dz; }, c.in(1), c.upstream());
        },
});

TEST(Tape, ATensorThatStandsTwiceAmongTheInputsGetsBothContributionsInAnyOrder) {
  Tape tape(Precision::f64);
  const auto step = tape.record();
  const Tensor x = tape.variable(3.0);
  tape.backward(record(backwards_op, {x, x}));
  EXPECT_EQ(x.gradient(), std::vector<double>{6});
}

TEST(Tape, IntegersMayBeWrittenInBraces) {
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.constant({1, 2, 3, 4}, {2, 2});
  const Tensor one = slice(x, 0, 0, 1);
  EXPECT_EQ(cross_entropy(one, {0}).item(), cross_entropy(one, std::vector<std::int32_t>{0}).item());
  EXPECT_GT(cross_entropy(x, {0, 1}, {.label_smoothing = 0.1}).item(), 0);
  EXPECT_EQ(cross_entropy(x, x).rank(), 0);
  EXPECT_EQ(nll(x, {1, 0}, {.reduction = Reduction::sum}).item(), -5);
  EXPECT_EQ(index_select(x, {1}, 1).values(), (std::vector<double>{2, 4}));
  EXPECT_EQ(gather(x, {1, 0}).values(), (std::vector<double>{3, 4, 1, 2}));
  EXPECT_EQ(take_along(x, {1, 0}).values(), (std::vector<double>{2, 3}));
  EXPECT_EQ(embedding(x, {1}).values(), (std::vector<double>{3, 4}));
  EXPECT_EQ(embedding(x, {1, 0}, {2, 1}).shape(), (Shape{2, 1, 2}));
  EXPECT_EQ(where({1, 0, 1, 0}, x, -x).values(), (std::vector<double>{1, -2, 3, -4}));
  try {
    cross_entropy(x, {0, 7});
    FAIL();
  } catch (const ValueError& e) {
    EXPECT_NE(std::string(e.what()).find("tape_test.cpp:"), std::string::npos) << e.what();
  }
}

TEST(Tape, AViewAddsItsGradientToWhatIsThere) {
  Tape tape(Precision::f64);
  const auto step = tape.record();
  const Tensor x = tape.variable({1.0, 2.0}, {2});
  const Tensor h = x * x;
  const Tensor first = sum(reshape(h, {2, 1}));  // played last, when the other has delivered
  const Tensor second = sum(h * h);
  tape.backward(first + second);
  EXPECT_EQ(x.gradient(), (std::vector<double>{2 + 4, 4 + 32}));
}

// Memory of gradients that are done is used again by the next ones of their size, but not across steps.
TEST(Tape, AnInnerStepLeavesAloneWhatTheOuterOneHasFree) {
  Tape tape(Precision::f64);
  const std::vector<double> values(100, 2.0);
  const auto gradient_of_a_chain = [&](const Tensor& x) {
    tape.backward(sum(exp(scale(neg(scale(x, -0.25)), 2.0))));
    return x.gradient().front();
  };
  const auto outer = tape.record();
  const Tensor x = tape.variable(values, {100});
  const double expected = 0.5 * std::exp(1.0);
  EXPECT_DOUBLE_EQ(gradient_of_a_chain(x), expected);
  {
    const auto inner = tape.record();
    EXPECT_DOUBLE_EQ(gradient_of_a_chain(tape.variable(values, {100})), expected);
  }
  EXPECT_DOUBLE_EQ(gradient_of_a_chain(x), 2 * expected);
}

TEST(Tape, AnInnerStepThatNeededMoreMemoryLeavesTheNumbersOfTheOuterOne) {
  Tape tape(Precision::f64);
  const auto outer = tape.record();
  const Tensor x = tape.variable(std::vector<double>(100, 2.0), {100});
  {
    const auto inner = tape.record();
    tape.variable(std::vector<double>(1 << 20, 3.0), {1 << 20});
  }
  tape.variable(std::vector<double>(100, 5.0), {100});
  EXPECT_EQ(x.values(), std::vector<double>(100, 2.0));
}

TEST(Tape, NoGradientPassesAnOpThatStopsIt) {
  Tape tape(Precision::f64);
  const auto step = tape.record();
  const Tensor x = tape.variable({2.0, -3.0}, {2});
  tape.backward(sum(stop_gradient(x) * x + sign(x)));
  EXPECT_EQ(x.gradient(), (std::vector<double>{2, -3}));
}

TEST(Tape, AParameterUsedTwiceGetsBothContributionsInEveryBackward) {
  ParameterBlock block;
  const Parameter w(block, block.add("w", {2}, true));
  block.values(0)[0] = 3;
  block.values(0)[1] = 5;
  Tape tape;
  for (const float times : {1.0F, 2.0F}) {
    const auto step = tape.record();
    tape.backward(sum(mul(w, w)));
    EXPECT_EQ(block.gradients(0)[0], times * 6);
    EXPECT_EQ(block.gradients(0)[1], times * 10);
  }
}

TEST(Tape, AParameterThatNoBackwardReachedHasAGradientOfZeros) {
  ParameterBlock block;
  const Parameter w(block, block.add("w", {2}, true));
  Tape tape;
  {
    const auto step = tape.record();
    tape.backward(sum(exp(w)));
  }
  EXPECT_EQ(w.gradient()[1], 1);
  block.zero_grad();
  EXPECT_EQ(w.gradient()[0], 0);
  EXPECT_EQ(w.gradient()[1], 0);
}

TEST(Tape, BroadcastGradientsAreSummedOverWhatWasStretched) {
  Tape tape(Precision::f64);
  const auto step = tape.record();
  const Tensor x = tape.variable({1.0, 2.0, 3.0}, {3, 1});
  const Tensor y = tape.variable({10.0, 20.0}, {2});
  tape.backward(sum(x * y));
  EXPECT_EQ(x.gradient(), (std::vector<double>{30, 30, 30}));
  EXPECT_EQ(y.gradient(), (std::vector<double>{6, 6}));
}

TEST(Tape, ABlobIsReadWhereItLies) {
  const std::vector<float> numbers = {1, 2, 3, 4};
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.from_blob(numbers, {2, 2});
  EXPECT_EQ(x.data().data(), numbers.data());
  EXPECT_EQ(reshape(x, {4}).data().data(), numbers.data());
  const Tensor w = tape.variable({1.0, 0.5}, {2});
  tape.backward(sum(x * w));
  EXPECT_EQ(w.gradient(), (std::vector<double>{4, 6}));
  EXPECT_EQ(tape.from_blob(std::span<const float>(), {0, 3}).values(), std::vector<double>{});

  Tape wide(Precision::f64);
  const auto other = wide.record();
  EXPECT_EQ(wide.from_blob(numbers, {4}).values(), (std::vector<double>{1, 2, 3, 4}));
}

TEST(Tape, ABlobHasToFillItsShape) {
  const std::vector<float> numbers = {1, 2, 3, 4};
  Tape tape;
  EXPECT_THROW(tape.from_blob(numbers, {4}), StateError);
  const auto step = tape.record();
  try {
    tape.from_blob(numbers, {3});
    FAIL() << "accepted";
  } catch (const ShapeError& e) {
    EXPECT_NE(std::string(e.what()).find("from_blob: 4 values do not fill the shape [3] of 3"),
              std::string::npos)
        << e.what();
  }
}

TEST(Tape, AHandleFromAStepThatIsOverIsAnError) {
  Tape tape;
  Tensor kept;
  {
    const auto step = tape.record();
    kept = tape.constant(1.0);
  }
  EXPECT_THROW(static_cast<void>(kept.item()), StateError);
}

TEST(Tape, ShapesThatDoNotFitNameTheLineAndBothOperands) {
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.constant({1, 2, 3}, {3});
  const Tensor y = tape.constant({1, 2}, {2});
  try {
    static_cast<void>(x + y);
    FAIL();
  } catch (const ShapeError& e) {
    EXPECT_NE(std::string(e.what()).find("tape_test.cpp:"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("[3]"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("[2]"), std::string::npos) << e.what();
  }
}

TEST(Tape, ReadsAParameterAgainThatChangedInsideAStep) {
  ParameterBlock block;
  const Parameter w(block, block.add("w", {2}, true));
  block.values(0)[0] = 1;
  block.values(0)[1] = 2;
  Tape tape;
  const auto step = tape.record();
  EXPECT_EQ(sum(square(w)).item(), 5);
  block.values(0)[0] = 3;
  block.touch();
  const Tensor after = sum(square(w));
  EXPECT_EQ(after.item(), 13);
  tape.backward(after);
  EXPECT_EQ(std::vector<float>(w.gradient().begin(), w.gradient().end()), (std::vector<float>{6, 4}));
}

}  // namespace
}  // namespace reel
