#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <numbers>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

#include "autograd/autograd.h"

// The cards are tested by their entry in the registry; these are the functions by which users reach them, and
// those that are made of several ops.

namespace reel {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;
using Numbers = std::vector<double>;

struct Named {
  std::string name;
  std::function<Tensor(Here)> op;
  double (*value)(double);
  double (*slope)(double);
};

TEST(NamedOps, AreTheFunctionsThatTheirNamesSay) {
  const std::vector<Named> all = {
      {"expm1", expm1, [](double x) { return std::expm1(x); }, [](double x) { return std::exp(x); }},
      {"log1p", log1p, [](double x) { return std::log1p(x); }, [](double x) { return 1 / (1 + x); }},
      {"rsqrt", rsqrt, [](double x) { return 1 / std::sqrt(x); },
       [](double x) { return -0.5 / (x * std::sqrt(x)); }},
      {"square", square, [](double x) { return x * x; }, [](double x) { return 2 * x; }},
      {"sin", sin, [](double x) { return std::sin(x); }, [](double x) { return std::cos(x); }},
      {"cos", cos, [](double x) { return std::cos(x); }, [](double x) { return -std::sin(x); }},
      {"erf", erf, [](double x) { return std::erf(x); },
       [](double x) { return 2 / std::sqrt(std::numbers::pi) * std::exp(-x * x); }},
      {"sub", [](Here x) { return sub(x, 3.0 * x.tensor); }, [](double x) { return -2 * x; },
       [](double) { return -2.0; }}};
  for (const Named& f : all) {
    Tape tape(Precision::f64);
    const auto step = tape.record();
    const Tensor x = tape.variable(0.7);
    const Tensor y = f.op(x);
    tape.backward(y);
    EXPECT_NEAR(y.item(), f.value(0.7), 1e-14) << f.name;
    EXPECT_NEAR(x.gradient()[0], f.slope(0.7), 1e-14) << f.name;
  }
}

// sum of x^k for k = 1 .. 3, and the rest of the operators.
TEST(NamedOps, AnAssignmentWithAnOperatorMakesANewTensor) {
  Tape tape(Precision::f64);
  const auto step = tape.record();
  const Tensor x = tape.variable(0.7);
  Tensor power = x;
  Tensor sum = x;
  for (int k = 2; k <= 3; ++k) {
    power *= x;
    sum += power;
  }
  tape.backward(sum);
  EXPECT_NEAR(sum.item(), 0.7 + 0.49 + 0.343, 1e-15);
  EXPECT_NEAR(x.gradient()[0], 1 + 2 * 0.7 + 3 * 0.49, 1e-15);
  EXPECT_EQ(x.item(), 0.7);
  Tensor y = x;
  EXPECT_DOUBLE_EQ((y -= 2.0 * x).item(), -0.7);
  EXPECT_DOUBLE_EQ((y /= x).item(), -1);
  EXPECT_DOUBLE_EQ((y += 4).item(), 3);
  EXPECT_DOUBLE_EQ((y -= 1).item(), 2);
  EXPECT_DOUBLE_EQ((y *= 3).item(), 6);
  EXPECT_DOUBLE_EQ((y /= 4).item(), 1.5);
}

// Of x times 1 / 3 every third is another number.
TEST(NamedOps, AQuotientIsRoundedOnce) {
  std::vector<double> x;
  for (int i = 1; i <= 1000; ++i) x.push_back(i);
  for (const double a : {3.0, 10.0, -0.7}) {
    Tape floats;
    Tape doubles(Precision::f64);
    const auto step = floats.record();
    const auto other_step = doubles.record();
    const Tensor f = floats.variable(x, {1000});
    const Tensor d = doubles.variable(x, {1000});
    const Tensor quotient = f / a;
    const std::vector<double> of_floats = quotient.values();
    const std::vector<double> of_doubles = div(d, a).values();
    const std::vector<double> inverse = (a / f).values();
    floats.backward(quotient, x);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const auto rounded = static_cast<double>(static_cast<float>(x[i]) / static_cast<float>(a));
      ASSERT_EQ(of_floats[i], rounded) << x[i] << " / " << a;
      ASSERT_EQ(f.gradient()[i], rounded) << x[i] << " / " << a;
      ASSERT_EQ(of_doubles[i], x[i] / a) << x[i] << " / " << a;
      ASSERT_EQ(inverse[i], static_cast<double>(static_cast<float>(a) / static_cast<float>(x[i])))
          << a << " / " << x[i];
    }
  }
}

class Composed : public testing::Test {
 protected:
  Tape tape{Precision::f64};
};

TEST_F(Composed, OuterHasARowForEveryNumberOfTheFirst) {
  const auto step = tape.record();
  const Tensor x = tape.variable({1.0, 2.0}, {2});
  const Tensor y = tape.variable({3.0, 4.0, 5.0}, {3});
  const Tensor z = outer(x, y);
  EXPECT_EQ(z.shape(), Shape({2, 3}));
  EXPECT_EQ(z.values(), (Numbers{3, 4, 5, 6, 8, 10}));
  tape.backward(z, Numbers{1, 10, 100, 1000, 10000, 100000});
  EXPECT_EQ(x.gradient(), (Numbers{543, 543000}));
  EXPECT_EQ(y.gradient(), (Numbers{2001, 20010, 200100}));
  EXPECT_THROW(outer(z, y), ShapeError);
  EXPECT_THROW(outer(x, z), ShapeError);
}

TEST_F(Composed, DotIsASumOfProducts) {
  const auto step = tape.record();
  const Tensor x = tape.variable({1.0, 2.0}, {2});
  const Tensor y = tape.variable({3.0, 4.0}, {2});
  const Tensor z = dot(x, y);
  EXPECT_EQ(z.rank(), 0);
  EXPECT_EQ(z.item(), 11);
  tape.backward(z);
  EXPECT_EQ(x.gradient(), (Numbers{3, 4}));
  EXPECT_EQ(y.gradient(), (Numbers{1, 2}));
  EXPECT_THROW(dot(x, tape.constant({1.0}, {1})), ShapeError);
}

TEST_F(Composed, SplitCutsPiecesOfWhichTheLastMayBeSmaller) {
  const auto step = tape.record();
  const Tensor x = tape.variable({1.0, 2.0, 3.0, 4.0, 5.0}, {5});
  const std::vector<Tensor> pieces = split(x, 2, 0);
  ASSERT_EQ(pieces.size(), 3U);
  EXPECT_EQ(pieces[0].values(), (Numbers{1, 2}));
  EXPECT_EQ(pieces[1].values(), (Numbers{3, 4}));
  EXPECT_EQ(pieces[2].values(), (Numbers{5}));
  tape.backward(sum(pieces[1] * 2.0) + sum(pieces[2] * 3.0));
  EXPECT_EQ(x.gradient(), (Numbers{0, 0, 2, 2, 3}));
  const Tensor none = tape.constant(Numbers{}, {2, 0});
  ASSERT_EQ(split(none, 3, 1).size(), 1U);
  EXPECT_EQ(concat(split(none, 3, 1), 1).shape(), none.shape());
  EXPECT_EQ(split(x, std::numeric_limits<std::int64_t>::max()).size(), 1U);
}

TEST_F(Composed, FlattenSqueezeAndUnsqueezeAreReshapes) {
  const auto step = tape.record();
  Numbers numbers(24);
  std::iota(numbers.begin(), numbers.end(), 1.0);
  const Tensor x = tape.variable(numbers, {2, 3, 1, 4});
  EXPECT_EQ(flatten(x).shape(), Shape({24}));
  EXPECT_EQ(flatten(x, 1).shape(), Shape({2, 12}));
  EXPECT_EQ(flatten(x, 1, 2).shape(), Shape({2, 3, 4}));
  EXPECT_EQ(flatten(x, -2, -1).shape(), Shape({2, 3, 4}));
  EXPECT_EQ(flatten(x, 2, 2).shape(), x.shape());
  EXPECT_EQ(flatten(sum(x)).shape(), Shape({1}));
  EXPECT_EQ(squeeze(x, 2).shape(), Shape({2, 3, 4}));
  EXPECT_EQ(squeeze(x, -2).shape(), Shape({2, 3, 4}));
  EXPECT_EQ(unsqueeze(x, 0).shape(), Shape({1, 2, 3, 1, 4}));
  EXPECT_EQ(unsqueeze(x, 3).shape(), Shape({2, 3, 1, 1, 4}));
  EXPECT_EQ(unsqueeze(x, -1).shape(), Shape({2, 3, 1, 4, 1}));
  EXPECT_EQ(unsqueeze(sum(x), 0).shape(), Shape({1}));
  EXPECT_EQ(flatten(x, 1).values(), numbers);
  tape.backward(unsqueeze(squeeze(flatten(x, 0, 1), 1), 0), numbers);
  EXPECT_EQ(x.gradient(), numbers);

  EXPECT_THAT([&] { squeeze(x, 1); },
              ThrowsMessage<ShapeError>(HasSubstr("squeeze: axis 1 of [2, 3, 1, 4] has size 3, not 1")));
  EXPECT_THAT([&] { flatten(x, 2, 1); },
              ThrowsMessage<ShapeError>(HasSubstr("flatten: axis 2 comes after axis 1")));
  EXPECT_THAT([&] { flatten(x, 4); }, ThrowsMessage<ShapeError>(HasSubstr("flatten: ")));
  EXPECT_EQ(flatten(sum(x), -1, 0).shape(), Shape({1}));
  EXPECT_THAT([&] { flatten(sum(x), 1); }, ThrowsMessage<ShapeError>(HasSubstr("flatten: ")));
  EXPECT_THAT([&] { flatten(sum(x), 0, -2); }, ThrowsMessage<ShapeError>(HasSubstr("flatten: ")));
  EXPECT_THAT([&] { unsqueeze(x, 5); }, ThrowsMessage<ShapeError>(HasSubstr("unsqueeze: ")));
  EXPECT_THAT([&] { unsqueeze(unsqueeze(unsqueeze(x, 0), 0), 0); },
              ThrowsMessage<ShapeError>(HasSubstr("unsqueeze: there is no room for another dimension")));
}

TEST_F(Composed, ArgmaxIsWhereTheFirstLargestStands) {
  const auto step = tape.record();
  const double nan = std::nan(""), inf = HUGE_VAL;
  const Tensor x = tape.variable({1.0, 5.0, 5.0, -inf, -inf, -inf, 2.0, nan, inf, nan, 7.0, nan}, {2, 2, 3});
  EXPECT_THAT(argmax(x), testing::ElementsAre(1, 0, 1, 0));
  EXPECT_THAT(argmax(x, 1), testing::ElementsAre(0, 0, 0, 1, 0, 1));
  EXPECT_THAT(argmax(x, 0), testing::ElementsAre(1, 1, 1, 1, 1, 1));
  const Tensor q = tape.constant({3.0, 9.0, 4.0, 1.0}, {2, 2});
  EXPECT_EQ(take_along(q, argmax(q)).values(), (Numbers{9, 4}));
  EXPECT_EQ(take_along(q, argmax(q)).values(), max(q, {.axes = {1}}).values());
  ParameterBlock block;
  Parameter w(block, block.add("w", {3}, true));
  w.values()[2] = 1;
  EXPECT_THAT(argmax(w), testing::ElementsAre(2));
  EXPECT_THAT(argmax(tape.constant(Numbers{}, {0, 3})), testing::IsEmpty());
  EXPECT_THAT(
      [&] {
        argmax(tape.constant(Numbers{}, {3, 0}));
      },
      ThrowsMessage<ShapeError>(HasSubstr("argmax: nothing along axis -1 of [3, 0]")));
  EXPECT_THROW(argmax(sum(x)), ShapeError);
}

// ---- numbers in a stream

TEST(Streams, WriteATensorAsRows) {
  Tape tape;
  const auto step = tape.record();
  const auto text = [](Here x) { return (std::ostringstream() << x).str(); };
  EXPECT_EQ(text(tape.constant(0.1)), "tensor(0.1)");
  EXPECT_EQ(text(tape.constant({1, -2.5, HUGE_VAL}, {3})), "tensor([1, -2.5, inf])");
  EXPECT_EQ(text(tape.constant({std::nan(""), -std::nan("")}, {2})), "tensor([nan, nan])");
  EXPECT_EQ(text(tape.constant({1, 2, 3, 4}, {2, 2})), "tensor([[1, 2],\n        [3, 4]])");
  EXPECT_EQ(text(tape.constant({1, 2, 3, 4}, {2, 1, 2})), "tensor([[[1, 2]],\n\n        [[3, 4]]])");
  EXPECT_EQ(text(tape.constant(Numbers{}, {0, 3})), "tensor([], shape [0, 3])");
  EXPECT_EQ(text(tape.constant(Numbers(1000, 1), {1000})).size(), std::string("tensor([])").size() + 2998);
  Numbers many(1001);
  std::iota(many.begin(), many.end(), 0.0);
  EXPECT_EQ(text(tape.constant(many, {1001})), "tensor([0, 1, 2, ..., 998, 999, 1000], shape [1001])");
  EXPECT_EQ(text(tape.constant(many, {143, 7})).substr(0, 40), "tensor([[0, 1, 2, ..., 4, 5, 6],\n       ");
  EXPECT_EQ(text(reshape(tape.constant(many, {1001}), {7, 143})).substr(0, 40),
            "tensor([[0, 1, 2, ..., 140, 141, 142],\n ");
  Tape doubles(Precision::f64);
  const auto other = doubles.record();
  EXPECT_EQ(text(doubles.constant(0.1)), "tensor(0.1)");
  EXPECT_EQ(text(doubles.constant(static_cast<double>(0.1F))), "tensor(0.10000000149011612)");
  ParameterBlock block;
  const Parameter w(block, block.add("w", {2}, true));
  EXPECT_EQ(text(w), "tensor([0, 0])");
  EXPECT_EQ((std::ostringstream() << Shape({2, 3})).str(), "[2, 3]");
  EXPECT_THROW(text(Tensor()), StateError);
}

// ---- a look at a tape

TEST(Inspect, TheListOfATapeHasEveryNodeWithItsInputsAndItsLine) {
  ParameterBlock block;
  const Parameter w(block, block.add("hidden.weight", {2}, true));
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.constant({1.0, 2.0}, {2});
  const int line = __LINE__ + 1;
  exp(mul(x, w));
  std::ostringstream out;
  tape.print(out);
  const std::string here = "named_ops_test.cpp:" + std::to_string(line);
  EXPECT_THAT(out.str(), HasSubstr("constant at "));
  EXPECT_THAT(out.str(), HasSubstr("parameter \"hidden.weight\"\n"));
  EXPECT_THAT(out.str(), testing::ContainsRegex("#2 +\\[2\\] +#0 #1 +made by `mul` at [^\n]*" + here + "\n"));
  EXPECT_THAT(out.str(), testing::ContainsRegex("#3 +\\[2\\] +#2 +made by `exp` at [^\n]*" + here + "\n"));
}

TEST(Inspect, StatisticsCountNodesBytesAndWhileProfilingTheTimeOfEveryOp) {
  Tape tape;
  {
    const auto step = tape.record();
    exp(tape.constant(1.0));
    EXPECT_TRUE(tape.statistics().ops.empty());
  }
  tape.profile(true);
  const auto step = tape.record();
  const Tensor x = tape.variable(std::vector<double>(1000, 0.5), {1000});
  tape.backward(sum(exp(x) + exp(x * 2.0)));
  const TapeStatistics s = tape.statistics();
  std::ostringstream list;
  tape.print(list);
  EXPECT_EQ(s.nodes, 6U) << list.str();
  EXPECT_GE(s.value_bytes, 5U * 4000);
  EXPECT_GE(s.gradient_bytes, 2U * 4000);
  EXPECT_GE(s.reserved_bytes, s.value_bytes + s.gradient_bytes);
  ASSERT_EQ(s.ops.size(), 4U);
  double before = INFINITY;
  for (const auto& op : s.ops) {
    EXPECT_EQ(op.calls, op.op == "exp" ? 2U : 1U) << op.op;
    EXPECT_GT(op.forward_ms, 0) << op.op;
    EXPECT_GT(op.backward_ms, 0) << op.op;
    EXPECT_LE(op.forward_ms + op.backward_ms, before);
    before = op.forward_ms + op.backward_ms;
  }
}

TEST(Inspect, GradientsThatNoBackwardWroteAreFilledWithZeros) {
  ParameterBlock block;
  const Parameter a(block, block.add("a", {2}, true));
  const Parameter b(block, block.add("b", {2}, true));
  for (std::int64_t i = 0; i < block.length(); ++i) block.gradients()[i] = 7;
  Tape tape;
  {
    const auto step = tape.record();
    tape.backward(sum(mul(a, tape.constant({3.0, 4.0}, {2}))));
  }
  block.fill_missing_gradients();
  EXPECT_THAT(block.gradients(0), testing::ElementsAre(3, 4));
  EXPECT_THAT(block.gradients(1), testing::ElementsAre(0, 0));
}

}  // namespace
}  // namespace reel
