#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <limits>
#include <new>
#include <string>
#include <vector>

#include "autograd/autograd.h"
#include "tests/autograd/misuse.h"
#include "tests/support/sanitizer.h"

// Shapes, axes, sizes, numbers and labels that no function can take, and the error that says so.

namespace reel {
namespace {

using testing::HasSubstr;

// ---- values ----

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

TEST(MisusedShapes, ADimensionThatIsNone) {
  Shape shape{2, 3};
  for (const int axis : {-3, 2, 100}) {
    const std::string none = "error: shape: there is no dimension " + std::to_string(axis) + " in [2, 3]";
    EXPECT_ERROR(shape.set(axis, 5), ShapeError, none);
    EXPECT_ERROR(shape[axis], ShapeError, none);
  }
  EXPECT_ERROR(shape.product(0, 3), ShapeError, "there is no dimension 2 in [2, 3]");
  EXPECT_ERROR(shape.product(-1, 2), ShapeError, "there is no dimension -1 in [2, 3]");
  EXPECT_EQ(shape, (Shape{2, 3}));
  EXPECT_ERROR(Shape{}.back(), ShapeError, "there is no dimension -1 in []");
  EXPECT_ERROR(Shape{}[0], ShapeError, "there is no dimension 0 in []");
}

TEST(Shapes, AreWrittenInIntegersOfAnyType) {
  const std::vector<float> numbers(6);
  const short two = 2;
  EXPECT_EQ((Shape{numbers.size(), two, 3U}), Shape({6, 2, 3}));
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.constant(numbers, {numbers.size() / 3, 3});
  EXPECT_EQ(reshape(x, {numbers.size(), -1}).shape(), Shape({6, 1}));
  EXPECT_EQ(expand(unsqueeze(x, 0), {numbers.size(), 2, 3}).rank(), 3);
  EXPECT_ERROR(Shape({std::numeric_limits<std::size_t>::max()}), ShapeError, "must be below 2^31");
  EXPECT_ERROR(Shape({std::numeric_limits<std::uint64_t>::max() / 2 + 2}), ShapeError, "must be below 2^31");
}

TEST(Shapes, CountFromTheBackToo) {
  Shape shape{2, 3, 4};
  for (int axis = 0; axis < 3; ++axis) EXPECT_EQ(shape[axis - 3], shape[axis]);
  EXPECT_EQ(shape[-1], shape.back());
  shape.set(-2, 7);
  EXPECT_EQ(shape, (Shape{2, 7, 4}));
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

// Bytes that no longer fit a number would wrap around to a few, and the values be written behind them.
TEST(MisusedShapes, MoreBytesThanCanBeCounted) {
  for (const Precision precision : {Precision::f32, Precision::f64, Precision::dual}) {
    Tape tape(precision);
    const auto step = tape.inference();
    const Tensor one = tape.constant(1.0);
    EXPECT_ERROR(expand(one, {1 << 30, 1 << 30, 4}), ShapeError,
                 "error: expand: [1073741824, 1073741824, 4] has too many elements\n    x        []");
    EXPECT_ERROR(expand(one, {1 << 30, 1 << 30}), ShapeError, "has too many elements");
    const Tensor a = tape.constant(std::span<const double>(), {4, 1 << 30, 0});
    const Tensor b = tape.constant(std::span<const double>(), {4, 0, 1 << 30});
    EXPECT_ERROR(matmul(a, b), ShapeError, "matmul: [4, 1073741824, 1073741824] has too many elements");
    EXPECT_EQ(expand(one, {2}).values(), (std::vector<double>{1, 1}));  // the tape is as it was
  }
  EXPECT_THROW(kernels::make_block<double>((std::int64_t{1} << 61) + 1), std::bad_alloc);
  EXPECT_THROW(Arena().allocate<double>((std::int64_t{1} << 61) + 1), std::bad_alloc);
  EXPECT_THROW(Arena().allocate<float>(-1), std::bad_alloc);
}

TEST_F(Misuse, MoreBytesThanThereAre) {
  if (REEL_HAS_SANITIZER) GTEST_SKIP() << "a sanitizer ends the program instead";
  const auto step = tape.record();
  const Tensor one = tape.constant(1.0);
  EXPECT_ERROR(expand(one, {1 << 20, 1 << 28}), MemoryError,
               "error: expand: not enough memory for a result of shape [1048576, 268435456]\n    help     ");
  EXPECT_THROW(expand(one, {1 << 20, 1 << 28}), std::bad_alloc);
  EXPECT_EQ(expand(one, {2}).values(), (std::vector<double>{1, 1}));
}

// ---- ops ----

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
  EXPECT_ERROR(cumsum(tape.constant(1.0)), ShapeError, "axis -1 of a scalar, which has none");
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
  EXPECT_ERROR(slice(x, -1, -9, 2), ShapeError,
               "error: slice: [-9, 2) is not a part of axis -1 with 3 elements\n    x        [2, 3]");
  EXPECT_ERROR(slice(x, 0, 1, -5), ShapeError, "[1, -5) is not a part of axis 0 with 2 elements");
  EXPECT_ERROR(pad(x, 0, -1, 0), ShapeError, "pad");
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  EXPECT_ERROR(pad(x, 0, most, 1), ShapeError, "pad");
  EXPECT_ERROR(pad(x, 0, 0, most), ShapeError, "pad");
  EXPECT_ERROR(pad(x, 0, (std::int64_t{1} << 31) - 1, 0), ShapeError, "pad");
  EXPECT_ERROR(expand(x, {1 << 30, 1 << 30, 1 << 30, 2, 3}), ShapeError, "expand");
  EXPECT_ERROR(rotary(tape.constant({1, 2, 3, 4}, {2, 2}), {.first_position = most}), ValueError, "rotary");
  EXPECT_ERROR(split(x, 0), ShapeError, "split");
  const Tensor empty = tape.constant(std::initializer_list<double>{}, {0, 1 << 20, 1 << 20});
  EXPECT_ERROR(flatten(empty, 1), ShapeError, "a dimension must be below 2^31");
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
  // There is no row whose variance could divide by zero.
  const Tensor single = tape.variable(std::initializer_list<double>{}, {0, 1});
  EXPECT_EQ(var(single, {.axes = {1}}).shape(), Shape({0}));
  tape.backward(sum(var(single, {.axes = {1}, .keepdim = true})));
  EXPECT_TRUE(single.gradient().empty());
  EXPECT_ERROR(var(single, {.axes = {0}}), ShapeError, "the variance of 0 numbers with correction 1");
  EXPECT_EQ(sum(x).item(), 0);
  constexpr std::int64_t most = (std::int64_t{1} << 31) - 1;
  const Tensor y = tape.variable(std::initializer_list<double>{}, {0, most, most, most});
  EXPECT_EQ(sum(y, {.axes = {1, 2, 3}}).shape(), Shape({0}));
  EXPECT_EQ(mean(y, {.axes = {1, 2, 3}, .keepdim = true}).shape(), Shape({0, 1, 1, 1}));
  EXPECT_EQ(sum(y, {.axes = {0, 1, 2, 3}}).item(), 0);
  tape.backward(sum(mean(y, {.axes = {1, 2, 3}})));
  EXPECT_TRUE(y.gradient().empty());
}

// Its other sizes together are more than integers hold, which the sanitizer of undefined behaviour watches.
TEST_F(Misuse, OpsThatLookAtTheStridesOfAHugeButEmptyTensor) {
  const auto step = tape.record();
  const Size most = std::numeric_limits<std::int32_t>::max();
  const Shape shape{0, most, most, most};
  const Tensor x = tape.variable(std::initializer_list<double>{}, shape);
  const Tensor five = tape.variable({1, 2, 3}, {3, 1, 1, 1, 1});
  for (const Tensor& y : {transpose(x, 1, 2), flip(x, {0, 1}), concat({x, x}), index_select(x, {}),
                          index_select(x, {}, 0), index_add(x, {}, x)}) {
    EXPECT_EQ(y.shape(), shape);
    tape.backward(sum(y));
  }
  EXPECT_EQ(slice(x, 1, 2, 5).shape(), Shape({0, 3, most, most}));
  EXPECT_EQ(add(x, five).shape(), Shape({3, 0, most, most, most}));
  tape.backward(sum(slice(x, 1, 2, 5)) + sum(add(x, five)));
  EXPECT_TRUE(argmax(x, 1).empty());
  EXPECT_TRUE(x.gradient().empty());
  EXPECT_EQ(five.gradient(), (std::vector<double>{0, 0, 0}));
}

TEST(Shapes, HaveTheStridesOfRowsInMemory) {
  using testing::ElementsAre;
  EXPECT_THAT((Shape{2, 3, 4}.strides()), ElementsAre(12, 4, 1, 0, 0, 0));
  EXPECT_THAT((Shape{2, 0, 4}.strides()), testing::Each(0));
  EXPECT_THAT(Shape{}.strides(), testing::Each(0));
}

TEST_F(Misuse, MoreHeadsThanADimensionHolds) {
  const auto step = tape.record();
  const Tensor x = tape.constant({1, 2, 3}, {1, 3});
  const std::uint8_t mask[] = {1};
  for (const std::int64_t heads : {std::int64_t{1} << 33, std::numeric_limits<std::int64_t>::max()}) {
    EXPECT_ERROR(self_attention(x, {.heads = heads}), ShapeError, "3 channels are not 3 times");
    EXPECT_ERROR(self_attention(x, {.heads = heads, .mask = mask, .mask_shape = {1}}), ShapeError,
                 "heads of one size");
    EXPECT_ERROR(packed_rotary(x, {.heads = heads}), ShapeError, "3 channels are not 3 times");
  }
  // 6 times these heads are more than integers count to; wrapped around they are 2, and divide the channels.
  const Tensor even = tape.constant({1, 2, 3, 4, 5, 6}, {1, 6});
  const std::int64_t heads = std::numeric_limits<std::int64_t>::max() / 3 + 1;
  EXPECT_ERROR(packed_rotary(even, {.heads = heads}), ShapeError, "heads of an even size");
  EXPECT_ERROR(packed_rotary(even, {.heads = 0}), ValueError, "packed_rotary: 0 heads");
}

// Heads without channels have no size, but what is kept of them would have one.
TEST_F(Misuse, MoreHeadsThanCanBeKept) {
  const auto step = tape.record();
  const Size many = std::numeric_limits<std::int32_t>::max();
  const Tensor x = tape.variable({}, {many, many, 1, 1, 0});
  EXPECT_ERROR(scaled_dot_product_attention(x, x, x), MemoryError, "scaled_dot_product_attention");
  const Tensor none = tape.variable({}, {many, many, 0, 1, 16});
  EXPECT_TRUE(scaled_dot_product_attention(none, none, none).values().empty());
}

TEST_F(Misuse, Numbers) {
  const auto step = tape.record();
  const Tensor x = tape.variable({1, 2, 3, 4, 5, 6}, {2, 3});
  const Tensor w = tape.constant({1, 1, 1}, {3});
  EXPECT_ERROR(softmax(x, {.temperature = 0}), ValueError, "temperature");
  EXPECT_ERROR(softmax(x, {.temperature = -1e-9}), ValueError, "softmax: temperature -1e-09");
  EXPECT_ERROR(log_softmax(x, {.temperature = inf}), ValueError, "must be a positive, finite number");
  EXPECT_ERROR(softmax(x, {.temperature = std::nan("")}), ValueError, "temperature");
  EXPECT_ERROR(layer_norm(x, w, w, 0.0), ValueError, "epsilon 0 is not positive");
  EXPECT_ERROR(rms_norm(x, w, -1e-12), ValueError, "epsilon -1e-12 is not positive");
  for (const Precision precision : {Precision::f32, Precision::f64}) {
    Tape other(precision);
    const auto inner = other.record();
    const Tensor ones = other.constant({1, 1, 1}, {3});
    EXPECT_ERROR(layer_norm(ones, ones, ones, 1e-80), ValueError, "epsilon 1e-80 is zero as a float");
    EXPECT_ERROR(rms_norm(ones, ones, 1e39), ValueError, "epsilon 1e+39 is not finite as a float");
    EXPECT_ERROR(rms_norm(ones, ones, inf), ValueError, "epsilon inf is not finite as a float");
    EXPECT_EQ(layer_norm(ones, ones, ones, 1e-45).values(), (std::vector<double>{1, 1, 1}));
  }
  EXPECT_ERROR(huber(x, x, -1e-7), ValueError, "delta -1e-07 is not positive");
  EXPECT_ERROR(clamp(x, 1 + 1e-9, 1.0), ValueError, "clamp: low 1.000000001 is not below high 1");
  EXPECT_ERROR(rotary(reshape(x, {3, 2}), {.base = -1e-9}), ValueError, "base -1e-09");
  EXPECT_ERROR(cross_entropy(x, {0, 0}, {.label_smoothing = 1 + 1e-9}), ValueError,
               "label smoothing 1.000000001 is not in [0, 1]");
  EXPECT_ERROR(dropout(x, {.p = 1 + 1e-9}), ValueError, "p = 1.000000001 is not in [0, 1)");
  EXPECT_ERROR(dropout(x, {.p = -0.1}), ValueError, "p");
}

TEST_F(Misuse, LossesOfTwoShapes) {
  const auto step = tape.record();
  const Tensor column = tape.variable({1, 2, 3}, {3, 1});
  const Tensor row = tape.constant({1, 2, 3}, {3});
  const auto refused = [](const char* loss) {
    return std::string(loss) + ": input [3, 1], target [3]: a loss compares numbers of one shape";
  };
  EXPECT_ERROR(mse(column, row), ShapeError, refused("mse"));
  EXPECT_ERROR(l1(column, row), ShapeError, refused("l1"));
  EXPECT_ERROR(huber(column, row), ShapeError, refused("huber"));
  EXPECT_ERROR(bce_with_logits(column, row), ShapeError, refused("bce_with_logits"));
  EXPECT_ERROR(kl_div(column, row), ShapeError, refused("kl_div"));
  EXPECT_ERROR(mse(row, column), ShapeError, "reshape one, or expand it if you mean to compare all with all");
  EXPECT_EQ(mse(reshape(column, {3}), row).item(), 0);
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

// In a process of its own, since it is said once.
TEST_F(Misuse, LabelsThatAreAllIgnoredAreToldOnce) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto train = [this] {
    const auto step = tape.record();
    const Tensor x = tape.variable({1, 2, 3, 4}, {2, 2});
    cross_entropy(x, {-100, 1});
    std::cerr << "nothing so far\n";
    for (int i = 0; i < 3; ++i) {
      const Tensor loss = cross_entropy(x, {7, 7}, {.ignore_index = 7});
      tape.backward(loss);
      if (loss.item() != 0 || x.gradient() != std::vector<double>{0, 0, 0, 0}) std::exit(1);
    }
    nll(x, {-100, -100});
    std::cerr << "the end\n";
    std::exit(0);
  };
  const auto warnings = [](const std::string& text) {
    int count = 0;
    for (std::size_t at = text.find("warning"); at != std::string::npos; at = text.find("warning", at + 1))
      ++count;
    return count;
  };
  EXPECT_EXIT(
      train(), testing::ExitedWithCode(0),
      testing::AllOf(HasSubstr("nothing so far\n"), HasSubstr("tests/autograd/misused_values_test.cpp:"),
                     HasSubstr(": warning: cross_entropy: every label is 7, which is ignored"),
                     HasSubstr("the end\n"), testing::ResultOf(warnings, 1)));
}

}  // namespace
}  // namespace reel
