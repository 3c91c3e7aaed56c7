#include <gtest/gtest.h>
#include <pthread.h>

#include <cmath>

#include "autograd/ops.h"
#include "autograd/tape.h"
#include "tests/support/count_allocations.h"

namespace reel {
namespace {

// A step that uses most of what a model uses: parameters, broadcasting, labels, a duplicate input, a
// reduction over an axis.
double step_of_everything(Tape& tape, ParameterBlock& block, const std::vector<Parameter>& p,
                          std::span<const float> inputs, std::span<const std::int32_t> labels) {
  const auto step = tape.record();
  const Tensor x = tape.constant(inputs, {8, 4});
  const Tensor h = gelu(linear(x, p[0], p[1]));
  const Tensor normed = layer_norm(h, p[2], p[3]) + h * h + softmax(h, {.axis = 0}) * var(h, {.axes = {0}});
  const Tensor logits = matmul(normed, p[4]);
  const Tensor loss =
      cross_entropy(logits, labels) + 0.01 * sum(logits * logits) + norm(concat({logits, -logits}, 1));
  tape.backward(loss);
  block.zero_grad();
  return loss.item();
}

TEST(Memory, NothingIsAllocatedFromTheThirdStepOn) {
  if (!support::counts_allocations()) GTEST_SKIP() << "a sanitizer has its own allocator";
  ParameterBlock block;
  std::vector<Parameter> p;
  for (const Shape& shape : {Shape{6, 4}, Shape{6}, Shape{6}, Shape{6}, Shape{6, 3}}) {
    p.emplace_back(block, block.add("p" + std::to_string(p.size()), shape, true));
  }
  for (std::int64_t i = 0; i < block.length(); ++i) block.values()[i] = std::sin(static_cast<float>(i));
  std::vector<float> inputs(32);
  for (std::size_t i = 0; i < inputs.size(); ++i) inputs[i] = std::cos(static_cast<float>(i));
  const std::vector<std::int32_t> labels = {0, 1, 2, 0, 1, 2, 0, -100};
  Tape tape;
  const double first = step_of_everything(tape, block, p, inputs, labels);
  step_of_everything(tape, block, p, inputs, labels);
  const std::size_t before = support::allocations();
  double last = 0;
  for (int i = 0; i < 5; ++i) last = step_of_everything(tape, block, p, inputs, labels);
  EXPECT_EQ(support::allocations() - before, 0u);
  EXPECT_EQ(first, last);
  // The counter itself works.
  const std::size_t probe = support::allocations();
  const std::vector<int> something(100);
  asm volatile("" ::"r"(something.data()) : "memory");  // clang leaves out an allocation that nobody reads
  EXPECT_EQ(something.size(), 100u);
  EXPECT_GT(support::allocations(), probe);
}

TEST(Memory, ABlockThatGrowsKeepsValuesAndGradients) {
  ParameterBlock block;
  const Parameter first(block, block.add("first", {3}, true));
  Tape tape;
  const auto step = tape.record();
  tape.backward(sum(tape.leaf(first) * tape.constant({1.0F, 2.0F, 3.0F}, {3})));
  block.values()[1] = 7;
  const float* const before = block.gradients();
  block.add("second", {1000}, true);
  ASSERT_NE(block.gradients(), before);
  EXPECT_EQ(first.values()[1], 7);
  EXPECT_TRUE(block.entry(0).has_gradient);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(first.gradient()[i], static_cast<float>(i + 1));
}

void* long_chain(void* gradient) {
  Tape tape(Precision::f64);
  const auto step = tape.record();
  const Tensor x = tape.variable(1.0);
  Tensor y = x;
  for (int i = 0; i < 1'000'000; ++i) y = y + 1e-6;
  tape.backward(y * y);
  *static_cast<double*>(gradient) = x.gradient()[0];
  return nullptr;
}

TEST(Memory, AChainOfAMillionOpsNeedsNoStack) {
  pthread_attr_t attributes;
  ASSERT_EQ(pthread_attr_init(&attributes), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, 256 << 10), 0);
  pthread_t thread;
  double gradient = 0;
  ASSERT_EQ(pthread_create(&thread, &attributes, long_chain, &gradient), 0);
  ASSERT_EQ(pthread_join(thread, nullptr), 0);
  pthread_attr_destroy(&attributes);
  EXPECT_NEAR(gradient, 4.0, 1e-9);
}

TEST(Memory, ADiamondOfTenThousandLevelsIsVisitedOnce) {
  Tape tape(Precision::f64);
  const auto step = tape.record();
  const Tensor x = tape.variable(1.0);
  Tensor y = x;
  for (int i = 0; i < 10'000; ++i) y = (y + y) * 0.5;
  tape.backward(y);
  EXPECT_EQ(x.gradient()[0], 1.0);
}

TEST(Memory, ALongLivedTapeDoesNotGrow) {
  Tape tape;
  std::size_t reserved = 0;
  for (int i = 0; i < 2000; ++i) {
    const auto step = tape.record();
    Tensor y = tape.variable(2.0);
    for (int j = 0; j < 20; ++j) y = tanh(y) * 1.5;
    tape.backward(y);
    if (i == 3) reserved = tape.statistics().reserved_bytes;
    if (i <= 3) continue;
    ASSERT_EQ(tape.statistics().reserved_bytes, reserved) << "step " << i;
  }
}

}  // namespace
}  // namespace reel
