#include <algorithm>

#include "autograd/ops/rules.h"
#include "kernels/reduce.h"
#include "kernels/softmax.h"

namespace reel {
namespace {

using kernels::Source;

// These reduce the last dimension of a matrix view; the functions below bring the wanted axes there.
const ShapeRule last_dimension{"reduce_last", [](const Call& c) {
                                 if (c[0].rank() == 0) c.fail("a scalar has no axis");
                                 return c[0].slice(0, c[0].rank() - 1);
                               }};

const ShapeRule filled_last_dimension{"reduce_last", [](const Call& c) {
                                        const Shape y = last_dimension.apply(c);
                                        if (c[0].back() == 0 && y.size() > 0)
                                          c.fail("an empty row has no result");
                                        return y;
                                      }};

const Op& max_op = define({
    .name = "max",
    .formula = "y = max over the row;  dx = dy at the first maximum, else 0",
    .shape = filled_last_dimension,
    .reads = Reads::both,
    .forward = [](auto& c) { kernels::row_max(c.x(), c.shape().rows(), c.shape().back(), c.y()); },
    .backward =
        [](auto& c) {
          kernels::row_extreme_grad(c.x(), c.y(), c.dy(), c.shape().rows(), c.shape().back(), c.dx());
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
    .shape = filled_last_dimension,
    .reads = Reads::both,
    .forward = [](auto& c) { kernels::row_min(c.x(), c.shape().rows(), c.shape().back(), c.y()); },
    .backward =
        [](auto& c) {
          kernels::row_extreme_grad(c.x(), c.y(), c.dy(), c.shape().rows(), c.shape().back(), c.dx());
        },
    .samples = {on({3, 5}).call([](Tensors x) { return min(x[0], {.axes = {0}}); })},
});

struct Correction {
  std::int64_t value;
};

const Op& var_op = define({
    .name = "var",
    .formula =
        "y = sum (x - m)^2 / (n - correction),  m = mean of the row;  dx = 2 dy (x - m) / (n - correction)",
    .shape = {"reduce_last",
              [](const Call& c) {
                const Shape y = last_dimension.apply(c);
                const std::int64_t correction = c.options<Correction>().value;
                if (c[0].back() <= correction) {
                  c.fail("the variance of " + std::to_string(c[0].back()) + " numbers with correction " +
                             std::to_string(correction) + " divides by zero",
                         "pass {.correction = 0} for the variance of the row itself");
                }
                return y;
              }},
    .reads = Reads::inputs,
    .forward =
        [](auto& c) {
          kernels::row_var(c.x(), c.shape().rows(), c.shape().back(), c.template options<Correction>().value,
                           c.y());
        },
    .backward =
        [](auto& c) {
          kernels::row_var_grad(c.x(), c.dy(), c.shape().rows(), c.shape().back(),
                                c.template options<Correction>().value, c.dx());
        },
    .samples = {on({3, 5}).call([](Tensors x) { return var(x[0]); }),
                on({3, 5}).call([](Tensors x) { return var(x[0], {.axes = {0}, .correction = 0}); })},
});

const Op& norm_op = define({
    .name = "norm",
    .formula = "y = sqrt(sum x^2);  dx = dy x / y, 0 where y = 0",
    .shape = last_dimension,
    .reads = Reads::both,
    .forward = [](auto& c) { kernels::row_norm(c.x(), c.shape().rows(), c.shape().back(), c.y()); },
    .backward =
        [](auto& c) {
          kernels::row_norm_grad(c.x(), c.y(), c.dy(), c.shape().rows(), c.shape().back(), c.dx());
        },
    .samples = {on({3, 5}).call([](Tensors x) { return norm(x[0]); }),
                on({3, 5}).call([](Tensors x) { return norm(x[0], {.axes = {0}}); })},
});

const Op& logsumexp_op = define({
    .name = "logsumexp",
    .formula = "y = log(sum e^x);  dx = dy e^(x - y)",
    .shape = filled_last_dimension,
    .reads = Reads::both,
    .forward = [](auto& c) { kernels::logsumexp(c.x(), c.shape().rows(), c.shape().back(), c.y()); },
    .backward =
        [](auto& c) {
          kernels::logsumexp_grad(c.x(), c.y(), c.dy(), c.shape().rows(), c.shape().back(), c.dx());
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

// Moves the axes to the end, joins them there into one, and reduces it.
template <class Options>
Tensor reduce_rows(const Op& op, Here x, const ReduceOptions& options, const char* name,
                   const Options& op_options) {
  const Shape shape = x.shape();
  const Axes axes = axes_from_front(options.axes, shape.rank(), x.place, name);
  Axes order;
  Shape joined;
  Shape kept = shape;
  for (int d = 0; d < shape.rank(); ++d) {
    if (std::find(axes.axis, axes.axis + axes.count, d) != axes.axis + axes.count) continue;
    order.axis[order.count++] = d;
    joined.append(shape[d]);
  }
  std::int64_t cols = 1;
  for (int i = 0; i < axes.count; ++i) {
    const int d = axes.axis[i];
    order.axis[order.count++] = d;
    cols *= shape[d];
    kept.set(d, 1);
  }
  joined.append(cols);
  bool in_order = true;
  for (int d = 0; d < order.count; ++d) in_order = in_order && order.axis[d] == d;
  const Here rows = in_order ? x : x.with(permute(x, order));
  const Here flat = rows.shape() == joined ? rows : x.with(reshape(rows, joined));
  Tensor y;
  if constexpr (std::is_same_v<Options, std::nullptr_t>) {
    y = record(op, {flat});
  } else {
    y = record(op, {flat}, op_options);
  }
  return options.keepdim ? reshape(x.with(y), kept) : y;
}

}  // namespace

Tensor max(Here x, ReduceOptions options) { return reduce_rows(max_op, x, options, "max", nullptr); }
Tensor min(Here x, ReduceOptions options) { return reduce_rows(min_op, x, options, "min", nullptr); }
Tensor var(Here x, VarOptions options) {
  return reduce_rows(var_op, x, {.axes = options.axes, .keepdim = options.keepdim}, "var",
                     Correction{options.correction});
}
Tensor norm(Here x, ReduceOptions options) { return reduce_rows(norm_op, x, options, "norm", nullptr); }
Tensor logsumexp(Here x, ReduceOptions options) {
  return reduce_rows(logsumexp_op, x, options, "logsumexp", nullptr);
}

Tensor cumsum(Here x, int axis) {
  const int rank = x.shape().rank();
  const int a = axis_from_front(axis, rank, x.place, "cumsum");
  if (a == rank - 1) return record(cumsum_op, {x});
  return transpose(x.with(record(cumsum_op, {x.with(transpose(x, a, -1))})), a, -1);
}

}  // namespace reel
