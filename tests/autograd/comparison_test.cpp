#include <cmath>
#include <limits>
#include <vector>

#include "autograd/derivatives.h"
#include "tests/autograd/misuse.h"
#include "tests/support/count_allocations.h"

namespace reel {
namespace {

using testing::Each;
using testing::ElementsAre;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

// Smaller, equal, the two zeros, larger, infinities, and NaN on either side.
const std::vector<double> left = {1, 2, -0.0, 3, infinity, -infinity, not_a_number, 1, not_a_number};
const std::vector<double> right = {2, 2, 0.0, 1, infinity, infinity, 1, not_a_number, not_a_number};

class Comparison : public testing::TestWithParam<Precision> {};
INSTANTIATE_TEST_SUITE_P(Every, Comparison, testing::Values(Precision::f32, Precision::f64, Precision::dual));

TEST_P(Comparison, IsThatOfNumbers) {
  Tape tape(GetParam());
  const auto step = tape.record();
  const Tensor x = tape.variable(left, {9}), y = tape.variable(right, {9});
  EXPECT_THAT((x > y).values(), ElementsAre(0, 0, 0, 1, 0, 0, 0, 0, 0));
  EXPECT_THAT((x >= y).values(), ElementsAre(0, 1, 1, 1, 1, 0, 0, 0, 0));
  EXPECT_THAT((x < y).values(), ElementsAre(1, 0, 0, 0, 0, 1, 0, 0, 0));
  EXPECT_THAT((x <= y).values(), ElementsAre(1, 1, 1, 0, 1, 1, 0, 0, 0));
  EXPECT_THAT(equal(x, y).values(), ElementsAre(0, 1, 1, 0, 1, 0, 0, 0, 0));
  EXPECT_THAT(not_equal(x, y).values(), ElementsAre(1, 0, 0, 1, 0, 1, 1, 1, 1));
}

TEST_P(Comparison, WithANumberOnEitherSide) {
  Tape tape(GetParam());
  const auto step = tape.record();
  const Tensor x = tape.variable({1.0, 2.0, 3.0}, {3});
  EXPECT_THAT((x > 2.0).values(), ElementsAre(0, 0, 1));
  EXPECT_THAT((2.0 < x).values(), ElementsAre(0, 0, 1));
  EXPECT_THAT((x >= 2.0).values(), ElementsAre(0, 1, 1));
  EXPECT_THAT((2.0 <= x).values(), ElementsAre(0, 1, 1));
  EXPECT_THAT((x < 2.0).values(), ElementsAre(1, 0, 0));
  EXPECT_THAT((2.0 > x).values(), ElementsAre(1, 0, 0));
  EXPECT_THAT((x <= 2.0).values(), ElementsAre(1, 1, 0));
  EXPECT_THAT((2.0 >= x).values(), ElementsAre(1, 1, 0));
  EXPECT_THAT(equal(x, 2).values(), ElementsAre(0, 1, 0));
  EXPECT_THAT(not_equal(x, 2).values(), ElementsAre(1, 0, 1));
}

// 0.1 is another number as a float, on both sides.
TEST(Comparison, RoundsItsNumberAsTheTapeDoes) {
  Tape tape;
  const auto step = tape.record();
  EXPECT_EQ(equal(tape.constant(0.1), 0.1).item(), 1);
}

TEST(Comparison, PassesNoGradient) {
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.variable({-1.0, 2.0}, {2});
  tape.backward(sum((x > 0.0) * x));
  EXPECT_THAT(x.gradient(), ElementsAre(0, 1));
  EXPECT_THROW(tape.backward(sum(x > 0.0)), StateError);
}

TEST_P(Comparison, ChoosesByAnyNumberThatIsNotZero) {
  Tape tape(GetParam());
  const auto step = tape.record();
  const Tensor condition = tape.constant({0.0, -0.0, 1.0, -0.5, not_a_number, infinity}, {6});
  const Tensor x = tape.variable({1.0, 2.0, 3.0, 4.0, 5.0, 6.0}, {6});
  EXPECT_THAT(where(condition, x, -1.0).values(), ElementsAre(-1, -1, 3, 4, 5, 6));
  EXPECT_THAT(where(condition, -1.0, x).values(), ElementsAre(1, 2, -1, -1, -1, -1));
  const Tensor y = where(condition, x, 10.0 * x);
  EXPECT_THAT(y.values(), ElementsAre(10, 20, 3, 4, 5, 6));
  tape.backward(y, std::vector<double>{1, 1, 1, 1, 1, 1});
  EXPECT_THAT(x.gradient(), ElementsAre(10, 10, 1, 1, 1, 1));
}

// sqrt has an infinite slope at 0, and none below: it must not come through, not even as 0 times infinity.
TEST(Where, LeavesOutTheSlopeOfWhatIsNotChosen) {
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.variable({-4.0, 0.0, 4.0}, {3});
  const Tensor y = where(x > 0.0, sqrt(where(x > 0.0, x, 1.0)), 0.0);
  EXPECT_THAT(y.values(), ElementsAre(0, 0, 2));
  tape.backward(sum(y));
  EXPECT_THAT(x.gradient(), ElementsAre(0, 0, 0.25));
  const Tensor z = tape.variable({not_a_number, 1.0}, {2});
  const Tensor w = where(tape.constant({0.0, 1.0}, {2}), z, z * 0.0 + 2.0);
  EXPECT_EQ(w.values()[1], 1);
}

TEST(Where, StretchesAllThree) {
  Tape tape;
  const auto step = tape.record();
  const Tensor condition = tape.variable({1.0, 0.0}, {2, 1});
  const Tensor x = tape.variable({1.0, 2.0, 3.0}, {3}), y = tape.variable(7.0);
  const Tensor z = where(condition, x, y);
  EXPECT_EQ(z.shape(), (Shape{2, 3}));
  EXPECT_THAT(z.values(), ElementsAre(1, 2, 3, 7, 7, 7));
  tape.backward(sum(z));
  EXPECT_THAT(x.gradient(), ElementsAre(1, 1, 1));
  EXPECT_THAT(y.gradient(), ElementsAre(3));
  EXPECT_THAT(condition.gradient(), Each(0));
  EXPECT_ERROR(where(condition, x, tape.constant({1.0, 2.0}, {2})), ShapeError, "do not broadcast");
}

TEST(Where, TakesParametersEverywhere) {
  ParameterBlock block;
  const Parameter c(block, block.add("c", {2}, true)), w(block, block.add("w", {2}, true));
  block.values(0)[1] = 1;
  block.values(1)[0] = 3;
  block.values(1)[1] = 4;
  Tape tape;
  const auto step = tape.record();
  const Tensor anchor = tape.variable({1.0, 1.0}, {2});
  const Tensor y = where(c, w, 0.5) + 0.0 * anchor;
  EXPECT_THAT(y.values(), ElementsAre(0.5, 4));
  EXPECT_THAT((w > 3.5).values(), ElementsAre(0, 1));
  tape.backward(sum(y));
  EXPECT_THAT(w.gradient(), ElementsAre(0, 1));
}

TEST(Where, AsksTheHeapForNothing) {
  Tape tape;
  const auto once = [&] {
    const auto step = tape.record();
    const Tensor x = tape.variable({-1.0, 2.0}, {2});
    tape.backward(sum(where(x > 0.0, x, 0.5)));
  };
  once();
  once();
  const std::size_t before = support::allocations();
  once();
  EXPECT_EQ(support::allocations(), before);
}

}  // namespace
}  // namespace reel
