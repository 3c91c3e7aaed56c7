#include <algorithm>

#include "autograd/ops/rules.h"

namespace reel {
namespace {

// A reduction names its axes by the shape that keeps them with size 1; what is not kept falls away by a free reshape.
struct Kept {
  Shape shape;
  double factor;
};

const ShapeRule kept{"reduce", [](const Call& c) { return c.options<Kept>().shape; }};

const Op& sum_op = define({
    .name = "sum",
    .formula = "y = sum of x over the axes;  dx = dy, stretched",
    .shape = kept,
    .forward = [](auto& c) { c.sum_to_y(); },
    .backward = [](auto& c) { kernels::map(c.whole_gradient(), [](auto dy) { return dy; }, c.stretched_upstream()); },
    .samples = {on({2, 3}).call([](Tensors x) { return sum(x[0]); }),
                on({2, 3, 4}).call([](Tensors x) { return sum(x[0], {.axes = {1}}); }),
                on({2, 3, 4}).call([](Tensors x) { return sum(x[0], {.axes = {0, -1}, .keepdim = true}); }),
                on({0, 3}).call([](Tensors x) { return sum(x[0], {.axes = {0}}); })},
});

const Op& mean_op = define({
    .name = "mean",
    .formula = "y = (sum of x over the axes) / n;  dx = dy / n, stretched",
    .shape = kept,
    .forward =
        [](auto& c) {
          const auto factor = c.scalar(c.template options<Kept>().factor);
          c.sum_to_y();
          kernels::map(c.result(), [factor](auto y) { return factor * y; }, c.out());
        },
    .backward =
        [](auto& c) {
          const auto factor = c.scalar(c.template options<Kept>().factor);
          kernels::map(c.whole_gradient(), [factor](auto dy) { return factor * dy; }, c.stretched_upstream());
        },
    .samples = {on({2, 3}).call([](Tensors x) { return mean(x[0]); }),
                on({2, 3, 4}).call([](Tensors x) { return mean(x[0], {.axes = {0, 2}}); })},
});

Tensor reduce(const Op& op, Here x, const ReduceOptions& options, const char* name) {
  const Shape shape = x.shape();
  const Axes axes = axes_from_front(options.axes, shape.rank(), x.place, name);
  Shape kept_shape = shape;
  Shape rest;
  std::int64_t count = 1;
  for (int d = 0; d < shape.rank(); ++d) {
    if (std::find(axes.axis, axes.axis + axes.count, d) == axes.axis + axes.count) {
      rest.append(shape[d]);
    } else {
      kept_shape.set(d, 1);
      count *= shape[d];
    }
  }
  const Tensor y = record(op, {x}, Kept{kept_shape, 1.0 / static_cast<double>(count)});
  return options.keepdim ? y : reshape(x.with(y), rest);
}

}  // namespace

Tensor sum(Here x, ReduceOptions options) { return reduce(sum_op, x, options, "sum"); }
Tensor mean(Here x, ReduceOptions options) { return reduce(mean_op, x, options, "mean"); }

}  // namespace reel
