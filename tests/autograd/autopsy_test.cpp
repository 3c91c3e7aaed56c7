#include "autograd/autopsy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <sstream>

#include "autograd/autograd.h"

// Which op an autopsy names, where it stands, and what it says about everything else on the tape.

namespace reel {
namespace {

using testing::HasSubstr;

constexpr double infinity = std::numeric_limits<double>::infinity();

class Watched : public testing::Test {
 protected:
  Watched() { tape.watch(true); }
  const NodeRecord& guilty(const Autopsy& found) {
    return found.nodes.at(static_cast<std::size_t>(found.culprit));
  }
  ParameterBlock block;
  Tape tape;
};

TEST_F(Watched, AFiniteStepHasNoCulprit) {
  const auto step = tape.record();
  const Tensor x = tape.variable({1.0, 2.0}, {2});
  const Tensor loss = sum(exp(x));
  tape.backward(loss);
  const Autopsy found = tape.autopsy(loss);
  EXPECT_FALSE(found.found());
  EXPECT_THAT(found.text(), HasSubstr("finite"));
  EXPECT_EQ(found.nodes[1].op, "exp");
}

TEST_F(Watched, TheLogOfZeroIsNamedWithItsLineAndItsInputsRange) {
  const auto step = tape.record();
  const Tensor x = tape.variable({4.0, 0.0, 1.0}, {3});
  const Tensor y = sqrt(x);
  const int line = __LINE__ + 1;
  const Tensor loss = mean(log(y) * 2.0);
  tape.backward(loss);
  const Autopsy found = tape.autopsy(loss);
  ASSERT_TRUE(found.found());
  EXPECT_EQ(guilty(found).op, "log");
  EXPECT_FALSE(found.backward);
  EXPECT_EQ(found.what, "value 1 is -inf");
  EXPECT_EQ(guilty(found).place.line, line);
  EXPECT_THAT(found.text(), HasSubstr("autopsy_test.cpp:" + std::to_string(line) + ": error: log: value 1"));
  EXPECT_THAT(found.text(), HasSubstr("in [0, 2], mean 1"));
  EXPECT_THAT(found.text(), HasSubstr("made by `sqrt`"));
}

TEST_F(Watched, ADerivativeThatIsNotFiniteIsNamedWithItsInput) {
  const auto step = tape.record();
  const Tensor x = tape.variable({1.0, 0.0}, {2});
  const Tensor loss = sum(sqrt(x * 3.0) * 2.0);
  tape.backward(loss);
  const Autopsy found = tape.autopsy(loss);
  ASSERT_TRUE(found.found());
  EXPECT_EQ(guilty(found).op, "sqrt");
  EXPECT_TRUE(found.backward);
  EXPECT_EQ(found.what, "gradient 1 of x is inf");
}

TEST_F(Watched, GradientsThatOnlyTheirSumTakesBeyondFloatsAreBlamedOnTheOpThatAddedTheLast) {
  const auto step = tape.record();
  const Tensor x = tape.variable(1e-3);
  const Tensor first = x * 3e38;
  const Tensor second = x * 2e38;
  const Tensor loss = first + second;
  tape.backward(loss);
  const Autopsy found = tape.autopsy(loss);
  ASSERT_TRUE(found.found());
  EXPECT_TRUE(found.backward);
  EXPECT_EQ(guilty(found).value.high, static_cast<double>(3e38F * 1e-3F));  // recorded first, played last
  EXPECT_EQ(found.what, "gradient 0 of x is inf: the sum of several gradients, of which this op's is finite");
}

TEST_F(Watched, AShareThatIsNotFiniteItselfIsNotBlamedOnTheSum) {
  const auto step = tape.record();
  const Tensor x = tape.variable({1e-3, 0.0}, {2});
  const Tensor loss = sum(sqrt(x) + x * 2.0);
  tape.backward(loss);
  EXPECT_EQ(tape.autopsy(loss).what, "gradient 1 of x is inf");
}

TEST_F(Watched, SharesOfABroadcastOpAndOfOneThatReadsAnInputTwiceAreToldApart) {
  const auto step = tape.record();
  {
    const auto inner = tape.record();
    const Tensor x = tape.variable(1e-3);
    const Tensor one_op = x * tape.constant({3e38, 3e38}, {2});  // its own share, a sum over two rows
    tape.backward(sum(one_op));
    EXPECT_EQ(tape.autopsy(Tensor{}).what, "gradient 0 of x is inf");
  }
  {
    const auto inner = tape.record();
    const Tensor x = tape.variable(1e-3);
    const Tensor finite = x * tape.constant({1e38, 1e38}, {2});
    tape.backward(sum(finite) + x * 3e38);
    EXPECT_THAT(tape.autopsy(Tensor{}).what, HasSubstr("this op's is finite"));
  }
  {
    const auto inner = tape.record();
    const Tensor x = tape.variable(1e-3);
    tape.backward((x + x) * 3e38);  // twice 3e38 from one op
    EXPECT_EQ(tape.autopsy(Tensor{}).what, "gradient 0 of x is inf");
  }
}

TEST_F(Watched, TheFirstGradientCountsThoughALaterOneIsOfAnOuterStep) {
  const auto outer = tape.record();
  const Tensor x = tape.variable(1.0);
  const Tensor h = x * 2.0;
  const auto inner = tape.record();
  const Tensor loss = sqrt(h * 0.0) * 3.0;
  tape.backward(loss);
  const Autopsy found = tape.autopsy(loss);
  ASSERT_TRUE(found.found());
  EXPECT_EQ(guilty(found).op, "sqrt");
  EXPECT_EQ(found.what, "gradient 0 of x is inf");
}

TEST_F(Watched, ASumOfGradientsOverSeveralBackwardsIsNamedAtItsParameter) {
  const Parameter w(block, block.add("w", {1}, true));
  for (int part = 0; part < 2; ++part) {
    const auto step = tape.record();
    const Tensor loss = sum(mul(w, tape.constant({3e38}, {1})));
    tape.backward(loss);
    EXPECT_EQ(tape.autopsy(loss).found(), part == 1);
    EXPECT_THAT(tape.autopsy(loss).what, HasSubstr(part == 0 ? "" : "this op's is finite"));
  }
}

TEST_F(Watched, DetectingAnomaliesNamesTheSumToo) {
  tape.detect_anomaly(true);
  const auto step = tape.record();
  const Tensor x = tape.variable(1e-3);
  const Tensor loss = x * 3e38 + x * 2e38;
  try {
    tape.backward(loss);
    FAIL() << "no error";
  } catch (const NonFiniteError& e) {
    EXPECT_THAT(e.what(), HasSubstr("scale: gradient 0 of x is inf"));
    EXPECT_THAT(e.what(), HasSubstr("the sum of several gradients"));
  }
  const Autopsy found = tape.autopsy(loss);
  ASSERT_TRUE(found.found());
  EXPECT_EQ(guilty(found).op, "scale");
}

TEST_F(Watched, AViewsGradientIsSeenToo) {
  const auto step = tape.record();
  const Tensor x = tape.variable({1e-3, 1e-3}, {2});
  const Tensor loss = sum(reshape(x, {2, 1}) * 3e38) + sum(reshape(x, {1, 2}) * 2e38);
  tape.backward(loss);
  const Autopsy found = tape.autopsy(loss);
  ASSERT_TRUE(found.found());
  EXPECT_EQ(guilty(found).op, "reshape");
  EXPECT_THAT(found.what, HasSubstr("the sum of several gradients"));
}

TEST_F(Watched, ABatchWithAnInfinityIsSaidToHaveBroughtIt) {
  const Parameter w(block, block.add("hidden.weight", {1, 2}, true));
  const auto step = tape.record();
  const Tensor x = tape.constant({1.0, infinity, 2.0, 3.0}, {2, 2});
  const Tensor loss = sum(linear(x, w));
  tape.backward(loss);
  const Autopsy found = tape.autopsy(loss);
  ASSERT_TRUE(found.found());
  EXPECT_EQ(guilty(found).op, "linear");
  EXPECT_EQ(found.layer.path, "hidden");
  EXPECT_THAT(found.text(), HasSubstr("came in with"));
  EXPECT_THAT(found.text(), HasSubstr("constant at"));
  EXPECT_THAT(found.text(), HasSubstr("in [1, 3], mean 2, 1 inf"));
}

TEST_F(Watched, AnInfinityThatNeverReachesTheLossIsPassedOverUnlessEveryOneIsAskedFor) {
  const auto step = tape.record();
  const Tensor x = tape.variable({1.0, 2.0, 0.0}, {3});
  const Tensor masked = x + tape.constant({0.0, -infinity, 0.0}, {3});
  const Tensor loss = log(sum(softmax(masked)) - 1.0);
  tape.backward(loss);
  EXPECT_EQ(guilty(tape.autopsy(loss)).op, "log");
  EXPECT_EQ(guilty(tape.autopsy(loss, true)).op, "add");
}

TEST_F(Watched, ALossThatWasNeverMadeStillHasACulprit) {
  const auto step = tape.record();
  log(tape.variable(0.0));
  EXPECT_EQ(guilty(tape.autopsy(Tensor{})).op, "log");
}

TEST_F(Watched, TheLayerOfAnOpWithoutParametersIsTheInnermostAroundIt) {
  const Parameter in(block, block.add("blocks.2.attention.qkv.weight", {1, 1}, true));
  const Parameter out(block, block.add("blocks.2.attention.out.weight", {1, 1}, true));
  const Parameter next(block, block.add("blocks.2.mlp.up.weight", {1, 1}, true));
  const auto step = tape.record();
  const Tensor x = tape.constant({1.0}, {1, 1});
  const auto layer = [&](auto spoil) {
    const auto inner = tape.record();
    return tape.autopsy(spoil()).layer;
  };
  EXPECT_EQ(layer([&] { return sum(linear(log(linear(x, in)), out)); }).text(),
            "blocks.2.attention, after blocks.2.attention.qkv, before blocks.2.attention.out");
  EXPECT_EQ(layer([&] { return sum(linear(log(linear(x, out)), next)); }).path, "blocks.2");
  EXPECT_EQ(layer([&] { return log(linear(x, out)); }).text(), "after blocks.2.attention.out");
  EXPECT_EQ(layer([&] { return linear(log(x - 1.0), in); }).text(), "before blocks.2.attention.qkv");
  EXPECT_EQ(layer([&] { return linear(x / 0.0, in); }).text(), "before blocks.2.attention.qkv");
}

TEST_F(Watched, TheTableHasEveryNodeWithValuesAndGradients) {
  const Parameter w(block, block.add("hidden.weight", {1, 2}, true));
  const auto step = tape.record();
  const Tensor x = tape.constant({1.0, 3.0}, {1, 2});
  const Tensor loss = log(sum(linear(x, w)));
  tape.backward(loss);
  const Autopsy found = tape.autopsy(loss);
  ASSERT_TRUE(found.found());
  EXPECT_FALSE(found.nodes[0].gradient.has_value());
  EXPECT_EQ(found.nodes[1].parameter, "hidden.weight");
  EXPECT_EQ(found.nodes[1].gradient->inf, 2);
  EXPECT_EQ(found.nodes.back().gradient->mean, 1);
  std::ostringstream table;
  found.print_table(table);
  EXPECT_THAT(table.str(), HasSubstr("parameter hidden.weight"));
  EXPECT_THAT(table.str(), HasSubstr("1 3 2"));
  EXPECT_THAT(table.str(), HasSubstr("<- value 0 is -inf"));
}

TEST_F(Watched, TheMeanOfLargeNumbersIsFinite) {
  Tape wide(Precision::f64);
  wide.watch(true);
  const auto step = wide.record();
  const Tensor x = wide.constant({1.5e308, 1.5e308}, {2});
  EXPECT_EQ(wide.autopsy(x).nodes[0].value.mean, 1.5e308);
}

TEST_F(Watched, ASecondStepStartsAnew) {
  for (const double at : {0.0, 4.0, 0.0}) {
    const auto step = tape.record();
    const Tensor loss = sqrt(tape.variable(at));
    tape.backward(loss);
    EXPECT_EQ(tape.autopsy(loss).found(), at == 0.0);
  }
}

TEST(AutopsyMisuse, WithoutWatchStepOrLoss) {
  Tape tape;
  EXPECT_THROW(tape.autopsy(Tensor{}), StateError);
  const auto step = tape.record();
  EXPECT_THROW(tape.autopsy(Tensor{}), StateError);
  tape.watch(true);
  EXPECT_NO_THROW(tape.autopsy(Tensor{}));
  Tape other;
  const auto there = other.record();
  EXPECT_THROW(tape.autopsy(other.constant(1.0)), StateError);
}

}  // namespace
}  // namespace reel
