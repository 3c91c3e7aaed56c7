#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "autograd/autograd.h"
#include "kernels/matmul_bf16.h"

namespace reel {
namespace {

std::vector<float> numbers(std::size_t count, float first) {
  std::vector<float> x(count);
  for (std::size_t i = 0; i < count; ++i) x[i] = first + 0.123f * static_cast<float>(i % 17);
  return x;
}
std::vector<float> rounded(std::vector<float> x) {
  for (float& v : x) v = kernels::round_to_bf16(v);
  return x;
}

// Alike but for the order of sums, of which some processors have their own; rounding makes a difference of
// 1e-3.
void expect_alike(const std::vector<double>& got, const std::vector<double>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], 2e-6) << i;
}

struct Result {
  std::vector<double> y, dx, dw, db;
};

// y = x W^T + b and its gradients, for a gradient that bfloat16 cannot hold either.
Result linear_on(Tape& tape, const std::vector<float>& x, const std::vector<float>& w,
                 const std::vector<float>& b, const std::vector<double>& dy) {
  const auto step = tape.record();
  const Tensor tx = tape.variable(x, {5, 7});
  const Tensor tw = tape.variable(w, {3, 7});
  const Tensor tb = tape.variable(b, {3});
  const Tensor y = linear(tx, tw, tb);
  tape.backward(y, dy);
  return {y.values(), tx.gradient(), tw.gradient(), tb.gradient()};
}

TEST(Products, ATapeOfBf16RoundsTheFactorsOfLinearForwardAndBackward) {
  const std::vector<float> x = numbers(35, -1.01f);
  const std::vector<float> w = numbers(21, 0.37f);
  const std::vector<float> b = numbers(3, 0.123456f);
  std::vector<double> dy, rounded_dy;
  for (int i = 0; i < 15; ++i) {
    const float v = 0.1f * static_cast<float>(i) - 0.77f;
    dy.push_back(static_cast<double>(v));
    rounded_dy.push_back(static_cast<double>(kernels::round_to_bf16(v)));
  }
  Tape tape(Precision::f32, Products::bf16);
  Tape plain;
  const Result got = linear_on(tape, x, w, b, dy);
  const Result forward = linear_on(plain, rounded(x), rounded(w), b, dy);
  const Result backward = linear_on(plain, rounded(x), rounded(w), b, rounded_dy);
  const Result exact = linear_on(plain, x, w, b, dy);
  expect_alike(got.y, forward.y);
  expect_alike(got.dx, backward.dx);
  expect_alike(got.dw, backward.dw);
  EXPECT_EQ(got.db, exact.db);  // a sum, not a product
  EXPECT_GT(std::abs(got.y[0] - exact.y[0]), 1e-4);
}

TEST(Products, ATapeOfBf16RoundsTheFactorsOfMatmul) {
  const std::vector<float> a = numbers(12, 0.3f);
  const std::vector<float> b = numbers(20, -0.9f);
  for (const bool transposed : {false, true}) {
    const MatmulOptions options{.transpose_a = transposed, .transpose_b = transposed};
    const Shape sa = transposed ? Shape{4, 3} : Shape{3, 4};
    const Shape sb = transposed ? Shape{5, 4} : Shape{4, 5};
    Tape tape(Precision::f32, Products::bf16);
    const auto step = tape.record();
    const Tensor y = matmul(tape.constant(a, sa), tape.constant(b, sb), options);
    Tape plain;
    const auto other = plain.record();
    const Tensor z = matmul(plain.constant(rounded(a), sa), plain.constant(rounded(b), sb), options);
    expect_alike(y.values(), z.values());
  }
}

// Of a classifier that is sure of itself: gradients of most logits are next to 0.
TEST(Products, ATapeOfBf16x6DiffersByRoundingsAlone) {
  const std::vector<float> x = numbers(128 * 64, -1.01f);
  std::vector<float> w = numbers(80 * 64, -0.9f);
  for (std::size_t i = 0; i < w.size(); ++i) w[i] *= static_cast<float>(i / 64 % 9);
  const std::vector<std::int32_t> labels(128, 3);
  const auto gradients = [&](Products products) {
    Tape tape(Precision::f32, products);
    const auto step = tape.record();
    const Tensor tx = tape.variable(x, {128, 64});
    const Tensor tw = tape.variable(w, {80, 64});
    tape.backward(cross_entropy(linear(tx, tw), labels));
    return std::pair(tx.gradient(), tw.gradient());
  };
  const auto [dx, dw] = gradients(Products::full);
  const auto [dx6, dw6] = gradients(Products::bf16x6);
  expect_alike(dx6, dx);
  expect_alike(dw6, dw);
}

TEST(Products, AnF64TapeMultipliesInFull) {
  for (const Products products : {Products::bf16, Products::bf16x6}) {
    Tape tape(Precision::f64, products);
    const auto step = tape.record();
    EXPECT_EQ(matmul(tape.constant({1.001}, {1, 1}), tape.constant({1.0}, {1, 1})).item(), 1.001);
  }
}

}  // namespace
}  // namespace reel
