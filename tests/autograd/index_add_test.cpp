#include <cmath>

#include "kernels/parallel.h"
#include "tests/autograd/misuse.h"

namespace reel {
namespace {

using testing::ElementsAre;

// The example of torch.Tensor.index_add_, with gradients by torch.autograd.
TEST(IndexAdd, IsPyTorchs) {
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.variable(std::vector<float>(15, 1), {5, 3});
  const Tensor source = tape.variable({1, 2, 3, 4, 5, 6, 7, 8, 9}, {3, 3});
  const Tensor y = index_add(x, {0, 4, 2}, source);
  EXPECT_THAT(y.values(), ElementsAre(2, 3, 4, 1, 1, 1, 8, 9, 10, 1, 1, 1, 5, 6, 7));
  tape.backward(sum(y * y));
  EXPECT_THAT(x.gradient(), ElementsAre(4, 6, 8, 2, 2, 2, 16, 18, 20, 2, 2, 2, 10, 12, 14));
  EXPECT_THAT(source.gradient(), ElementsAre(4, 6, 8, 10, 12, 14, 16, 18, 20));
}

TEST(IndexAdd, SumsOverSegments) {
  Tape tape;
  const auto step = tape.record();
  const Tensor source = tape.variable({1, 2, 3, 4, 5}, {5});
  const Tensor y = index_add(tape.constant({0, 0, 0}, {3}), {2, 0, 2, 0, 2}, source);
  EXPECT_THAT(y.values(), ElementsAre(6, 0, 9));
  tape.backward(y, std::vector<double>{10, 20, 30});
  EXPECT_THAT(source.gradient(), ElementsAre(30, 10, 30, 10, 30));
}

// Rows that repeat and are wide enough for several threads, in the order of the index.
TEST(IndexAdd, EqualsALoopForAnyNumberOfThreads) {
  constexpr std::int64_t rows = 37, count = 211, width = 130;
  std::vector<float> x(rows * width), source(count * width);
  std::vector<std::int32_t> index(count);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i));
  for (std::size_t i = 0; i < source.size(); ++i) source[i] = std::cos(static_cast<float>(3 * i));
  for (std::size_t i = 0; i < index.size(); ++i) index[i] = static_cast<std::int32_t>(i * i % 23);
  std::vector<float> expected = x;
  for (std::size_t i = 0; i < index.size(); ++i) {
    for (std::size_t c = 0; c < width; ++c) {
      expected[static_cast<std::size_t>(index[i]) * width + c] += source[i * width + c];
    }
  }
  for (const int threads : {1, 2, 3, 5}) {
    kernels::set_threads(threads);
    Tape tape;
    const auto step = tape.record();
    const Tensor y =
        index_add(tape.constant(x, {rows, 13, 10}), index, tape.constant(source, {count, 13, 10}));
    EXPECT_EQ(std::vector<float>(y.data().begin(), y.data().end()), expected) << threads << " threads";
  }
  kernels::set_threads(1);
}

TEST(IndexAdd, OfNothing) {
  Tape tape;
  const auto step = tape.record();
  const std::vector<std::int32_t> none;
  const Tensor x = tape.variable({1, 2}, {2, 1});
  const Tensor no_rows = tape.variable(std::vector<float>(), {0, 1});
  const Tensor y = index_add(x, none, no_rows);
  EXPECT_THAT(y.values(), ElementsAre(1, 2));
  tape.backward(sum(y * y));
  EXPECT_THAT(x.gradient(), ElementsAre(2, 4));
  EXPECT_THAT(no_rows.gradient(), testing::IsEmpty());
  EXPECT_EQ(index_add(no_rows, none, no_rows).shape(), (Shape{0, 1}));
  const Tensor no_columns = tape.variable(std::vector<float>(), {2, 0});
  EXPECT_EQ(index_add(no_columns, {1, 1}, no_columns).shape(), (Shape{2, 0}));
}

TEST(IndexAdd, TakesParameters) {
  ParameterBlock block;
  const Parameter w(block, block.add("w", {2, 2}, true));
  Tape tape;
  const auto step = tape.record();
  EXPECT_THAT(index_add(w, {1}, tape.constant({3, 4}, {1, 2})).values(), ElementsAre(0, 0, 3, 4));
  EXPECT_THAT(index_add(tape.constant({3, 4}, {1, 2}), {0, 0}, w).values(), ElementsAre(3, 4));
}

TEST_F(Misuse, IndexAddOfRowsThatAreNotThere) {
  const auto step = tape.record();
  const Tensor x = tape.variable(std::vector<double>(6), {3, 2});
  const Tensor source = tape.variable(std::vector<double>(4), {2, 2});
  EXPECT_ERROR(index_add(x, {0, 3}, source), ValueError,
               "index_add: row 3 at position 1 is out of range\n    x        [3, 2]");
  EXPECT_ERROR(index_add(x, {-1, 0}, source), ValueError, "row -1 at position 0");
  EXPECT_ERROR(index_add(x, {0}, source), ShapeError,
               "index_add: a source for 1 positions must have shape [1, 2]");
  EXPECT_ERROR(index_add(x, {0, 1, 2}, source), ShapeError, "must have shape [3, 2]");
  EXPECT_ERROR(index_add(x, {0, 1}, reshape(source, {2, 1, 2})), ShapeError, "[2, 1, 2]");
  EXPECT_ERROR(index_add(tape.constant(1.0), {0}, source), ShapeError, "index_add: a scalar has no rows");
  EXPECT_ERROR(index_add(tape.constant(std::vector<double>(), {0, 2}), {0, 0}, source), ValueError,
               "there is nothing to choose from");
}

}  // namespace
}  // namespace reel
