#include <algorithm>

#include "autograd/ops/rules.h"

namespace reel {
namespace {

// A reduction names its axes by the shape that keeps them with size 1.
struct Reduced {
  Shape kept;
  Shape result;  // the same, or without those axes
  double factor;
};

const ShapeRule reduced_shape{"reduce", [](const Call& c) { return c.options<Reduced>().result; }};

template <class C>
const Shape& kept(const C& c) {
  return c.template options<Reduced>().kept;
}

const Op& sum_op = define({
    .name = "sum",
    .formula = "y = sum of x over the axes;  dx = dy, stretched",
    .shape = reduced_shape,
    .forward = [](auto& c) { c.sum_to_y(kept(c)); },
    .backward =
        [](auto& c) { kernels::map(c.whole_gradient(), [](auto dy) { return dy; }, c.stretched_upstream(kept(c))); },
    .samples = {on({2, 3}).call([](Tensors x) { return sum(x[0]); }),
                on({2, 3, 4}).call([](Tensors x) { return sum(x[0], {.axes = {1}}); }),
                on({2, 3, 4}).call([](Tensors x) { return sum(x[0], {.axes = {0, -1}, .keepdim = true}); }),
                on({0, 3}).call([](Tensors x) { return sum(x[0], {.axes = {0}}); })},
});

const Op& mean_op = define({
    .name = "mean",
    .formula = "y = (sum of x over the axes) / n;  dx = dy / n, stretched",
    .shape = reduced_shape,
    .forward =
        [](auto& c) {
          const auto factor = c.scalar(c.template options<Reduced>().factor);
          c.sum_to_y(kept(c));
          kernels::map(c.result(), [factor](auto y) { return factor * y; }, c.out());
        },
    .backward =
        [](auto& c) {
          const auto factor = c.scalar(c.template options<Reduced>().factor);
          kernels::map(c.whole_gradient(), [factor](auto dy) { return factor * dy; }, c.stretched_upstream(kept(c)));
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
  const Reduced reduced{kept_shape, options.keepdim ? kept_shape : rest, 1.0 / static_cast<double>(count)};
  return record(op, {x}, reduced);
}

}  // namespace

Tensor sum(Here x, ReduceOptions options) { return reduce(sum_op, x, options, "sum"); }
Tensor mean(Here x, ReduceOptions options) { return reduce(mean_op, x, options, "mean"); }

}  // namespace reel
