// Lesson 5: an op of your own is one card, and gradcheck proves it.

#include <cstdio>

#include "autograd/autograd.h"
#include "kernels/math.h"

using namespace reel;

// Mish (Misra 2019): y = x tanh(softplus x). Value and derivative stand side by side; the engine does the
// rest: broadcasting, accumulation, three precisions, error messages with the line of the call.
const Op& mish_op = define({
    .name = "mish",
    .formula = "y = x t,  t = tanh(softplus x);  dx = dy (t + x (1 - t^2) sigmoid x)",
    .shape = {"same", [](const Call& c) { return c[0]; }},
    .reads = Reads::inputs,
    .forward =
        [](auto& c) {
          kernels::map(
              c.result(), [](auto x) { return x * kernels::tanh(kernels::softplus(x)); }, c.in());
        },
    .backward =
        [](auto& c) {
          const auto one = c.scalar(1);
          kernels::map(
              c.gradient(),
              [one](auto x, auto dy) {
                const auto t = kernels::tanh(kernels::softplus(x));
                return dy * (t + x * (one - t * t) * kernels::sigmoid(x));
              },
              c.in(), c.upstream());
        },
});
Tensor mish(Here x) { return record(mish_op, {x}); }

int main() {
  const Array x{{5}, {-3, -1, 0, 1, 3}};
  const Array y = evaluate([](Tensors t) { return mish(t[0]); }, {x});
  const Arrays dy = grad([](Tensors t) { return sum(mish(t[0])); }, {x});
  for (std::size_t i = 0; i < 5; ++i)
    std::printf("mish(%4.1f) = %8.5f   slope %8.5f\n", x.values[i], y.values[i], dy[0].values[i]);

  const GradcheckReport report = gradcheck([](Tensors t) { return mish(t[0]); }, {x});
  std::printf("\ngradcheck: %s, %ld derivatives; differences agree to 1e-8: %s, dual numbers to 1e-12: %s\n",
              report ? "passed" : "FAILED", static_cast<long>(report.checked),
              report.difference_error < 1e-8 ? "yes" : "no", report.dual_error < 1e-12 ? "yes" : "no");

  // A mistake is reported where it was made.
  Tape tape;
  const auto step = tape.record();
  try {
    mish(tape.constant({1, 2, 3}, {3})) + tape.constant({1, 2}, {2});
  } catch (const ShapeError& e) {
    std::printf("\n%s\n", e.what());
  }
}
