#include "kernels/softmax.h"

#include <cmath>

#include "autograd/ops/rules.h"

namespace reel {
namespace {

struct Temperature {
  double scale;  // 1 / temperature
};

const ShapeRule rows_of_logits{"same", [](const Call& c) {
                                 if (c[0].rank() == 0) c.fail("a scalar has no axis");
                                 if (c[0].back() == 0 && c[0].rows() > 0)
                                   c.fail("a row without elements has no softmax");
                                 return c[0];
                               }};

const Op& softmax_op = define({
    .name = "softmax",
    .formula = "y = e^(x/t) / sum e^(x/t);  dx = y (dy - sum dy y) / t",
    .shape = rows_of_logits,
    .reads = Reads::output,
    .forward =
        [](auto& c) {
          const auto scale = c.scalar(c.template options<Temperature>().scale);
          refuse_empty_row(c, kernels::softmax(c.x(), c.shape().rows(), c.shape().back(), scale, c.y()));
        },
    .backward =
        [](auto& c) {
          const auto scale = c.scalar(c.template options<Temperature>().scale);
          kernels::softmax_grad(c.y(), c.dy(), c.shape().rows(), c.shape().back(), scale, c.dx());
        },
    .samples = {on({2, 5}).call([](Tensors x) { return softmax(x[0]); }),
                on({3, 4}).call([](Tensors x) { return softmax(x[0], {.axis = 0}); }),
                on({2, 3, 2}).call([](Tensors x) { return softmax(x[0], {.axis = 1, .temperature = 0.7}); }),
                on({2, 1}).call([](Tensors x) { return softmax(x[0]); })},
});

const Op& log_softmax_op = define({
    .name = "log_softmax",
    .formula = "y = x/t - log sum e^(x/t);  dx = (dy - e^y sum dy) / t",
    .shape = rows_of_logits,
    .reads = Reads::output,
    .forward =
        [](auto& c) {
          const auto scale = c.scalar(c.template options<Temperature>().scale);
          refuse_empty_row(c, kernels::log_softmax(c.x(), c.shape().rows(), c.shape().back(), scale, c.y()));
        },
    .backward =
        [](auto& c) {
          const auto scale = c.scalar(c.template options<Temperature>().scale);
          kernels::log_softmax_grad(c.y(), c.dy(), c.shape().rows(), c.shape().back(), scale, c.dx());
        },
    .samples = {on({2, 5}).call([](Tensors x) { return log_softmax(x[0]); }),
                on({3, 4}).call([](Tensors x) { return log_softmax(x[0], {.axis = 0, .temperature = 2}); })},
});

// On another axis than the last: there and back.
Tensor along(const Op& op, Here x, const SoftmaxOptions& options) {
  const int rank = x.shape().rank();
  if (!(options.temperature > 0) || !std::isfinite(options.temperature)) {
    throw ValueError(x.place,
                     at(x.place, std::string(op.name) + ": temperature " + short_number(options.temperature)) +
                         help_line("it must be a positive, finite number; towards 0 the result becomes the "
                                   "one-hot argmax"));
  }
  const int axis = axis_from_front(options.axis, rank, x.place, op.name);
  const Temperature temperature{1.0 / options.temperature};
  if (axis == rank - 1) return record(op, {x}, temperature);
  const Tensor moved = transpose(x, axis, -1);
  return transpose(x.with(record(op, {x.with(moved)}, temperature)), axis, -1);
}

}  // namespace

Tensor softmax(Here x, SoftmaxOptions options) { return along(softmax_op, x, options); }
Tensor log_softmax(Here x, SoftmaxOptions options) { return along(log_softmax_op, x, options); }

}  // namespace reel
