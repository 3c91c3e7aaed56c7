// Lesson 4: softmax, its Jacobian, and why the gradient of the cross-entropy is p - y.

#include <cstdio>

#include "autograd/autograd.h"

using namespace reel;

int main() {
  const Array logits{{3}, {1.0, 2.0, 0.5}};
  const auto p = evaluate([](Tensors x) { return softmax(x[0]); }, {logits});
  std::printf("p = softmax(z):   %.4f  %.4f  %.4f\n\n", p.values[0], p.values[1], p.values[2]);

  // One forward pass on dual numbers for every column.
  const Array jacobian_of_softmax = jacobian([](Tensors x) { return softmax(x[0]); }, logits);
  std::printf("Jacobian          measured               diag(p) - p p^T\n");
  for (std::size_t i = 0; i < 3; ++i) {
    std::printf("  ");
    for (std::size_t j = 0; j < 3; ++j) std::printf("%8.4f", jacobian_of_softmax.values[3 * i + j]);
    std::printf("     ");
    for (std::size_t j = 0; j < 3; ++j)
      std::printf("%8.4f", (i == j ? p.values[i] : 0) - p.values[i] * p.values[j]);
    std::printf("\n");
  }

  const std::int32_t label[] = {1};
  const auto loss = [&](Tensors x) { return cross_entropy(reshape(x[0], {1, 3}), label); };
  const Arrays gradient = grad(loss, {logits});
  std::printf("\ngradient of the cross-entropy, label 1:\n  measured %8.4f%8.4f%8.4f\n",
              gradient[0].values[0], gradient[0].values[1], gradient[0].values[2]);
  std::printf("  p - y    %8.4f%8.4f%8.4f\n\n", p.values[0], p.values[1] - 1, p.values[2]);

  for (const double temperature : {0.01, 0.5, 1.0, 2.0, 100.0}) {
    const auto q = evaluate([=](Tensors x) { return softmax(x[0], {.temperature = temperature}); }, {logits});
    std::printf("temperature %6.2f:  %.4f  %.4f  %.4f\n", temperature, q.values[0], q.values[1], q.values[2]);
  }
}
