#include <cmath>

#include "autograd/ops/rules.h"
#include "kernels/norm.h"

namespace reel {
namespace {

struct Epsilon {
  double value;
};

const ShapeRule one_weight_per_channel{
    "channels", [](const Call& c) {
      if (c[0].rank() == 0 || c[0].back() == 0) c.fail("the last dimension must hold the channels");
      for (int i = 1; i < c.inputs(); ++i) {
        if (c[i].rank() != 1 || c[i][0] != c[0].back()) {
          c.fail("input has " + std::to_string(c[0].back()) + " channels, " + (i == 1 ? "weight" : "bias") +
                     " has shape " + to_string(c[i]),
                 "the last dimension of the input must equal the length of weight and bias");
        }
      }
      const double epsilon = c.options<Epsilon>().value;
      if (!(epsilon > 0)) c.refuse("epsilon " + short_number(epsilon) + " is not positive");
      // A row without variance is divided by its root alone: 0 / 0 where it is 0 on an f32 tape.
      const auto single = static_cast<float>(epsilon);
      if (!(single > 0)) c.refuse("epsilon " + short_number(epsilon) + " is zero as a float");
      if (!std::isfinite(single)) c.refuse("epsilon " + short_number(epsilon) + " is not finite as a float");
      return c[0];
    }};

const Op& layer_norm_op = define({
    .name = "layer_norm",
    .formula =
        "h = (x - m) / sqrt(v + e);  y = h w + b;  g = dy w:  dx = (g - mean g - h mean(g h)) / sqrt(v + e)",
    .inputs = {"input", "weight", "bias"},
    .shape = one_weight_per_channel,
    .reads = Reads::inputs,
    .forward =
        [](auto& c) {
          const std::int64_t rows = c.shape().rows();
          kernels::layer_norm(c.x(0), c.x(1), c.x(2), rows, c.shape().back(),
                              c.template options<Epsilon>().value, c.y(),
                              c.save(rows * kernels::layer_norm_saved));
        },
    .backward =
        [](auto& c) {
          kernels::layer_norm_grad(c.x(0), c.x(1), c.saved(), c.dy(), c.shape().rows(), c.shape().back(),
                                   c.dx(0), c.dx(1), c.dx(2));
        },
    .samples = {on({3, 5}, {5}, {5}).call([](Tensors x) { return layer_norm(x[0], x[1], x[2]); }),
                on({2, 3, 4}, {4}, {4}).call([](Tensors x) { return layer_norm(x[0], x[1], x[2], 0.1); })},
});

const Op& rms_norm_op = define({
    .name = "rms_norm",
    .formula =
        "h = x / sqrt(mean x^2 + e);  y = h w;  g = dy w:  dx = (g - h mean(g h)) / sqrt(mean x^2 + e)",
    .inputs = {"input", "weight"},
    .shape = one_weight_per_channel,
    .reads = Reads::inputs,
    .forward =
        [](auto& c) {
          const std::int64_t rows = c.shape().rows();
          kernels::rms_norm(c.x(0), c.x(1), rows, c.shape().back(), c.template options<Epsilon>().value,
                            c.y(), c.save(rows));
        },
    .backward =
        [](auto& c) {
          kernels::rms_norm_grad(c.x(0), c.x(1), c.saved(), c.dy(), c.shape().rows(), c.shape().back(),
                                 c.dx(0), c.dx(1));
        },
    .samples = {on({3, 5}, {5}).call([](Tensors x) { return rms_norm(x[0], x[1]); })},
});

}  // namespace

Tensor layer_norm(Here x, Here weight, Here bias, double epsilon) {
  return record(layer_norm_op, {x, weight, bias}, Epsilon{epsilon});
}
Tensor rms_norm(Here x, Here weight, double epsilon) {
  return record(rms_norm_op, {x, weight}, Epsilon{epsilon});
}

}  // namespace reel
