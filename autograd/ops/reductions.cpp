#include <algorithm>
#include <limits>

#include "autograd/ops/rules.h"
#include "kernels/reduce.h"
#include "kernels/softmax.h"

namespace reel {
namespace {

using kernels::Source;

// ---- sums, over any axes where they stand ----

// The axes are named by the shape that keeps them with size 1.
struct Summed {
  Shape kept;
  Shape result;  // the same, or without those axes
  double count;
};

const ShapeRule summed_shape{"reduce", [](const Call& c) { return c.options<Summed>().result; }};

template <class C>
const Shape& kept(const C& c) {
  return c.template options<Summed>().kept;
}

const Op& sum_op = define({
    .name = "sum",
    .formula = "y = sum of x over the axes;  dx = dy, stretched",
    .shape = summed_shape,
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
    .shape = summed_shape,
    .forward =
        [](auto& c) {
          const auto n = c.scalar(c.template options<Summed>().count);
          c.sum_to_y(kept(c));
          kernels::map(c.result(), [n](auto y) { return y / n; }, c.out());
        },
    .backward =
        [](auto& c) {
          const auto n = c.scalar(c.template options<Summed>().count);
          kernels::map(c.whole_gradient(), [n](auto dy) { return dy / n; }, c.stretched_upstream(kept(c)));
        },
    .samples = {on({2, 3}).call([](Tensors x) { return mean(x[0]); }),
                on({2, 3, 4}).call([](Tensors x) { return mean(x[0], {.axes = {0, 2}}); })},
});

Tensor sum_up(const Op& op, Here x, const ReduceOptions& options) {
  const Shape shape = x.shape();
  const Axes axes = axes_from_front(options.axes, shape.rank(), x.place, op.name);
  Shape kept_shape = shape;
  Shape rest;
  double count = 1;  // where the tensor has no elements, more than integers hold
  for (int d = 0; d < shape.rank(); ++d) {
    if (std::find(axes.axis, axes.axis + axes.count, d) == axes.axis + axes.count) {
      rest.append(shape[d]);
    } else {
      kept_shape.set(d, 1);
      count *= static_cast<double>(shape[d]);
    }
  }
  const Summed summed{kept_shape, options.keepdim ? kept_shape : rest, count};
  return record(op, {x}, summed);
}

// ---- what is made of rows, to whose end the wanted axes are brought ----

struct Reduced {
  Shape result;
  std::int64_t correction;
};

const ShapeRule reduced_shape{"reduce_last", [](const Call& c) { return c.options<Reduced>().result; }};

// How many numbers become one. Without a result there is no row, however long.
template <class C>
std::int64_t row_length(const C& c) {
  return c.size_y() == 0 ? 0 : c.size() / c.size_y();
}

const Op& max_op = define({
    .name = "max",
    .formula = "y = max over the row;  dx = dy at the first maximum, else 0",
    .shape = reduced_shape,
    .reads = Reads::both,
    .forward = [](auto& c) { kernels::row_max(c.x(), c.size_y(), row_length(c), c.y()); },
    .backward =
        [](auto& c) {
          kernels::row_extreme_grad(c.x(), c.y(), c.dy(), c.size_y(), row_length(c), c.dx());
        },
    .samples = {on({3, 5}).call([](Tensors x) { return max(x[0]); }),
                on({2, 3, 4}).call([](Tensors x) { return max(x[0], {.axes = {1}, .keepdim = true}); }),
                on({2, 3, 4}).call([](Tensors x) {
                  return max(x[0], {.axes = {0, 2}});
                })},
});

const Op& min_op = define({
    .name = "min",
    .formula = "y = min over the row;  dx = dy at the first minimum, else 0",
    .shape = reduced_shape,
    .reads = Reads::both,
    .forward = [](auto& c) { kernels::row_min(c.x(), c.size_y(), row_length(c), c.y()); },
    .backward =
        [](auto& c) {
          kernels::row_extreme_grad(c.x(), c.y(), c.dy(), c.size_y(), row_length(c), c.dx());
        },
    .samples = {on({3, 5}).call([](Tensors x) { return min(x[0], {.axes = {0}}); })},
});

const Op& var_op = define({
    .name = "var",
    .formula =
        "y = sum (x - m)^2 / (n - correction),  m = mean of the row;  dx = 2 dy (x - m) / (n - correction)",
    .shape = reduced_shape,
    .reads = Reads::inputs,
    .forward =
        [](auto& c) {
          kernels::row_var(c.x(), c.size_y(), row_length(c), c.template options<Reduced>().correction,
                           c.y());
        },
    .backward =
        [](auto& c) {
          kernels::row_var_grad(c.x(), c.dy(), c.size_y(), row_length(c),
                                c.template options<Reduced>().correction, c.dx());
        },
    .samples = {on({3, 5}).call([](Tensors x) { return var(x[0]); }),
                on({3, 5}).call([](Tensors x) { return var(x[0], {.axes = {0}, .correction = 0}); })},
});

const Op& norm_op = define({
    .name = "norm",
    .formula = "y = sqrt(sum x^2);  dx = dy x / y, 0 where y = 0",
    .shape = reduced_shape,
    .reads = Reads::both,
    .forward = [](auto& c) { kernels::row_norm(c.x(), c.size_y(), row_length(c), c.y()); },
    .backward =
        [](auto& c) {
          kernels::row_norm_grad(c.x(), c.y(), c.dy(), c.size_y(), row_length(c), c.dx());
        },
    .samples = {on({3, 5}).call([](Tensors x) { return norm(x[0]); }),
                on({3, 5}).call([](Tensors x) { return norm(x[0], {.axes = {0}}); })},
});

const Op& logsumexp_op = define({
    .name = "logsumexp",
    .formula = "y = log(sum e^x);  dx = dy e^(x - y)",
    .shape = reduced_shape,
    .reads = Reads::inputs,
    .forward =
        [](auto& c) {
          kernels::logsumexp(c.x(), c.size_y(), row_length(c), c.y(), c.save(2 * c.size_y()));
        },
    .backward =
        [](auto& c) {
          kernels::logsumexp_grad(c.x(), c.saved(), c.dy(), c.size_y(), row_length(c), c.dx());
        },
    .samples = {on({3, 5}).call([](Tensors x) { return logsumexp(x[0]); }),
                on({3, 5}).between(-30, 30).call([](Tensors x) { return logsumexp(x[0], {.axes = {0}}); })},
});

const Op& cumsum_op = define({
    .name = "cumsum",
    .formula = "y_i = x_0 + ... + x_i;  dx_i = dy_i + ... + dy_(n-1)",
    .shape = same,
    .forward = [](auto& c) { kernels::row_cumsum(c.x(), c.shape().rows(), c.shape().back(), c.y()); },
    .backward = [](auto& c) { kernels::row_cumsum_grad(c.dy(), c.shape().rows(), c.shape().back(), c.dx()); },
    .samples = {on({3, 5}).call([](Tensors x) { return cumsum(x[0]); }),
                on({3, 5}).call([](Tensors x) { return cumsum(x[0], 0); })},
});

// The axes of a reduction, brought to the end.
struct Rows {
  Axes order;
  bool in_order = true;     // they are there already
  bool any = true;          // there is a row, be it empty
  std::int64_t length = 1;  // of each
  Shape result;
};

Rows rows_of(const Op& op, Here x, const ReduceOptions& options) {
  const Shape shape = x.shape();
  const Axes axes = axes_from_front(options.axes, shape.rank(), x.place, op.name);
  Rows rows;
  for (int d = 0; d < shape.rank(); ++d) {
    const bool stays = std::find(axes.axis, axes.axis + axes.count, d) == axes.axis + axes.count;
    if (stays) rows.order.axis[rows.order.count++] = d;
    if (stays || options.keepdim) rows.result.append(stays ? shape[d] : 1);
    rows.any = rows.any && (!stays || shape[d] > 0);
  }
  for (int i = 0; i < axes.count; ++i) {
    rows.order.axis[rows.order.count++] = axes.axis[i];
    // Only where the tensor has no elements can this be too large.
    if (__builtin_mul_overflow(rows.length, shape[axes.axis[i]], &rows.length))
      rows.length = std::numeric_limits<std::int64_t>::max();
  }
  for (int d = 0; d < rows.order.count; ++d) rows.in_order = rows.in_order && rows.order.axis[d] == d;
  return rows;
}

Tensor reduce(const Op& op, Here x, const Rows& rows, std::int64_t correction = 0) {
  const Here moved = rows.in_order ? x : x.with(permute(x, rows.order));
  return record(op, {moved}, Reduced{rows.result, correction});
}

// What is wrong is said here, of the tensor that the user gave: the op may see its axes in another order.
Tensor reduce_filled(const Op& op, Here x, const ReduceOptions& options) {
  const Rows rows = rows_of(op, x, options);
  if (rows.length == 0 && rows.any) fail(op, {x}, "an empty row has no result");
  return reduce(op, x, rows);
}

}  // namespace

Tensor sum(Here x, ReduceOptions options) { return sum_up(sum_op, x, options); }
Tensor mean(Here x, ReduceOptions options) { return sum_up(mean_op, x, options); }

Tensor max(Here x, ReduceOptions options) { return reduce_filled(max_op, x, options); }
Tensor min(Here x, ReduceOptions options) { return reduce_filled(min_op, x, options); }
Tensor var(Here x, VarOptions options) {
  const Rows rows = rows_of(var_op, x, {.axes = options.axes, .keepdim = options.keepdim});
  if (rows.length <= options.correction && rows.any) {
    fail(var_op, {x},
         "the variance of " + std::to_string(rows.length) + " numbers with correction " +
             std::to_string(options.correction) + " divides by zero",
         "pass {.correction = 0} for the variance of the row itself");
  }
  return reduce(var_op, x, rows, options.correction);
}
Tensor norm(Here x, ReduceOptions options) { return reduce(norm_op, x, rows_of(norm_op, x, options)); }
Tensor logsumexp(Here x, ReduceOptions options) { return reduce_filled(logsumexp_op, x, options); }

Tensor cumsum(Here x, int axis) {
  const int rank = x.shape().rank();
  const int a = axis_from_front(axis, rank, x.place, "cumsum");
  if (a == rank - 1) return record(cumsum_op, {x});
  return transpose(x.with(record(cumsum_op, {x.with(transpose(x, a, -1))})), a, -1);
}

}  // namespace reel
