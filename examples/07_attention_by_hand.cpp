// Lesson 7: attention by hand, and the same by one fused op.

#include <cmath>
#include <cstdio>

#include "autograd/autograd.h"

using namespace reel;

int main() {
  Tape tape(Precision::f64);
  const auto step = tape.record();
  // Four tokens; what each looks for (q), what it offers (k), and what it says (v).
  const Tensor q = tape.variable({1, 0, 0, 1, 1, 1, 0, 2}, {4, 2});
  const Tensor k = tape.variable({1, 0, 0, 1, 1, 1, -1, 1}, {4, 2});
  const Tensor v = tape.variable({1, 0, 0, 1, 2, 2, 3, -1}, {4, 2});

  // No token may look at a later one: those scores become -1e9.
  std::vector<double> later(16);
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t j = i + 1; j < 4; ++j) later[4 * i + j] = -1e9;
  }
  const Tensor scores = matmul(q, k, {.transpose_b = true}) / std::sqrt(2.0) + tape.constant(later, {4, 4});
  const Tensor weights = softmax(scores);
  const Tensor by_hand = matmul(weights, v);
  const Tensor fused = scaled_dot_product_attention(q, k, v, {.causal = true});

  const std::vector<double> w = weights.values(), a = by_hand.values(), b = fused.values();
  for (std::size_t i = 0; i < 4; ++i) {
    std::printf("token %zu looks at  %.3f %.3f %.3f %.3f   and gets (%6.3f, %6.3f), fused (%6.3f, %6.3f)\n",
                i, w[4 * i], w[4 * i + 1], w[4 * i + 2], w[4 * i + 3], a[2 * i], a[2 * i + 1], b[2 * i],
                b[2 * i + 1]);
  }

  tape.backward(sum(square(fused)));
  const std::vector<double> dk = k.gradient();
  std::printf("\nHow the sum of squares of the results changes with each key:\n");
  for (std::size_t i = 0; i < 4; ++i) std::printf("  key %zu: %7.3f %7.3f\n", i, dk[2 * i], dk[2 * i + 1]);
}
