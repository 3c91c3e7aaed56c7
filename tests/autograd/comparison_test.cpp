#include <cmath>
#include <cstddef>
#include <cstdint>
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
  EXPECT_THAT(eq(x, y).values(), ElementsAre(0, 1, 1, 0, 1, 0, 0, 0, 0));
  EXPECT_THAT(ne(x, y).values(), ElementsAre(1, 0, 0, 1, 0, 1, 1, 1, 1));
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
  EXPECT_THAT(eq(x, 2).values(), ElementsAre(0, 1, 0));
  EXPECT_THAT(ne(x, 2).values(), ElementsAre(1, 0, 1));
}

// 0.1 is another number as a float, on both sides.
TEST(Comparison, RoundsItsNumberAsTheTapeDoes) {
  Tape tape;
  const auto step = tape.record();
  EXPECT_EQ(eq(tape.constant(0.1), 0.1).item(), 1);
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

// As in torch.where: a slope that is infinite times a gradient of 0 is NaN, so that its input is chosen, too.
TEST(Where, GivesZeroToWhatIsNotChosen) {
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.variable({-4.0, 0.0, 4.0}, {3});
  const Tensor root = where(x > 0.0, sqrt(where(x > 0.0, x, 1.0)), 0.0);
  EXPECT_THAT(root.values(), ElementsAre(0, 0, 2));
  tape.backward(sum(root));
  EXPECT_THAT(x.gradient(), ElementsAre(0, 0, 0.25));
  const Tensor z = tape.variable({0.0, 4.0}, {2});
  tape.backward(sum(where(z > 0.0, sqrt(z), 0.0)));
  EXPECT_TRUE(std::isnan(z.gradient()[0]));
  EXPECT_EQ(z.gradient()[1], 0.25);
  // Values do not come through, whatever they are.
  const Tensor w = tape.variable({not_a_number, infinity, 1.0}, {3});
  const Tensor chosen = where(eq(w, 1), w, 2.0);
  EXPECT_THAT(chosen.values(), ElementsAre(2, 2, 1));
  tape.backward(sum(square(chosen)));
  EXPECT_THAT(w.gradient(), ElementsAre(0, 0, 2));
}

// Zeros would be NaN behind an infinite slope, and a gradient that moves a parameter by its decay.
TEST(Where, SendsNothingToItsCondition) {
  ParameterBlock block;
  const Parameter gate(block, block.add("gate", {2}, true));
  block.values(0)[1] = 1;
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.variable({0.0, 4.0}, {2});
  tape.backward(sum(where(gate, where(sqrt(x), x, 3.0), 5.0)));
  EXPECT_THAT(x.gradient(), ElementsAre(0, 1));
  EXPECT_FALSE(block.entry(0).has_gradient);
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
  const Tensor two = tape.constant({1.0, 2.0}, {2});
  EXPECT_ERROR(where(condition, x, two), ShapeError, "where: shapes [3] and [2] do not broadcast");
  EXPECT_ERROR(where(two > 0.0, 1.0, x), ShapeError, "where: shapes [3] and [2] do not broadcast");
  EXPECT_ERROR(where(two > 0.0, x, x), ShapeError, "condition [2]  made by `gt`");
}

TEST(Where, TakesParametersEverywhere) {
  ParameterBlock block;
  const Parameter c(block, block.add("c", {2}, true)), w(block, block.add("w", {2}, true));
  block.values(0)[1] = 1;
  block.values(1)[0] = 3;
  block.values(1)[1] = 4;
  Tape tape;
  const auto step = tape.record();
  const Tensor y = where(c, w, 0.5);
  EXPECT_THAT(y.values(), ElementsAre(0.5, 4));
  EXPECT_THAT((w > 3.5).values(), ElementsAre(0, 1));
  tape.backward(sum(y));
  EXPECT_THAT(w.gradient(), ElementsAre(0, 1));
}

// With several tapes open, numbers and parameters go where the tensor is.
TEST(Where, GoesToTheTapeOfItsTensor) {
  ParameterBlock block;
  const Parameter c(block, block.add("c", {1}, true));
  Tape tape, other;
  const auto step = tape.record();
  const Tensor x = tape.constant({4.0}, {1});
  const auto another = other.record();
  EXPECT_THAT(where(c, x, 1.0).values(), ElementsAre(1));
  EXPECT_THAT(where(c, 1.0, x).values(), ElementsAre(4));
  EXPECT_THAT(where(c, x, x).values(), ElementsAre(4));
  EXPECT_EQ(&where(c, c, c).tape(), &other);
}

TEST(Where, TakesNumbersAndBytes) {
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.variable({-1.0, 2.0}, {2});
  EXPECT_THAT(where(x > 0.0, 1.0, 0.5).values(), ElementsAre(0.5, 1));
  EXPECT_THAT(where({255, 0}, x, -x).values(), ElementsAre(-1, -2));
  const std::vector<std::uint8_t> bytes = {0, 7, 255};
  EXPECT_THAT(tape.constant(bytes, {3}).values(), ElementsAre(0, 7, 255));
  EXPECT_ERROR(tape.constant(bytes, {2}), ShapeError, "3 values do not fill the shape [2]");
  EXPECT_ERROR(where(bytes, x, x), ShapeError, "where: the condition has 3 elements, the operands 2");
  EXPECT_ERROR(where(bytes, x, tape.constant(bytes, {3})), ShapeError,
               "where: shapes [2] and [3] do not broadcast");
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

TEST(Where, TakesBytesBesideANumber) {
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.variable({1, 2, 3}, {3});
  const std::vector<std::uint8_t> seen = {1, 0, 1};
  EXPECT_EQ(where(seen, x, -1e9).values(), (std::vector<double>{1, -1e9, 3}));
  EXPECT_EQ(where({1, 0, 1}, 7.0, x).values(), (std::vector<double>{7, 2, 7}));
  tape.backward(sum(where(seen, x, 0)) + sum(where(seen, 5, x) * 10.0));
  EXPECT_EQ(x.gradient(), (std::vector<double>{1, 10, 1}));
}

}  // namespace
}  // namespace reel
