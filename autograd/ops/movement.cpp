#include <algorithm>

#include "autograd/ops/rules.h"
#include "kernels/strided.h"

namespace reel {
namespace {

using kernels::Strided;

// A contiguous array of this shape as a view.
Strided all_of(const Shape& shape) {
  Strided view;
  view.rank = shape.rank();
  std::int64_t stride = 1;
  for (int d = shape.rank() - 1; d >= 0; --d) {
    view.sizes[d] = shape[d];
    view.strides[d] = stride;
    stride *= shape[d];
  }
  return view;
}

struct Target {
  Shape shape;
};

const Op& reshape_op = define({
    .name = "reshape",
    .formula = "y = x, row by row, in another shape",
    .shape = {"reshape",
              [](const Call& c) {
                const Shape target = c.options<Target>().shape;
                if (target.size() != c[0].size()) {
                  c.fail(to_string(c[0]) + " has " + std::to_string(c[0].size()) + " elements, " + to_string(target) + " has " +
                         std::to_string(target.size()));
                }
                return target;
              }},
    .view = true,
    .samples = {on({2, 3}).call([](Tensors x) { return reshape(x[0], {3, 2}); }),
                on({2, 3}).call([](Tensors x) { return reshape(x[0], {-1}); })},
});

const Op& stop_gradient_op = define({
    .name = "stop_gradient",
    .formula = "y = x;  dx = 0",
    .shape = same,
    .view = true,
    .stops = true,
    .samples = {on({2, 3})},
});

const Op& permute_op = define({
    .name = "permute",
    .formula = "y[i_p(0), i_p(1), ...] = x[i_0, i_1, ...]",
    .shape = {"permute",
              [](const Call& c) {
                const Axes& order = c.options<Axes>();
                bool seen[Shape::max_rank] = {};
                Shape y;
                bool valid = order.count == c[0].rank();
                for (int d = 0; valid && d < order.count; ++d) {
                  const int a = order.axis[d];
                  valid = a >= 0 && a < c[0].rank() && !seen[a];
                  if (!valid) break;
                  seen[a] = true;
                  y.append(c[0][a]);
                }
                if (!valid) c.fail("the order must name every axis of the tensor once");
                return y;
              }},
    .forward =
        [](auto& c) {
          const Axes& order = c.template options<Axes>();
          const Strided x = all_of(c.shape());
          Strided view = x;
          for (int d = 0; d < order.count; ++d) {
            view.sizes[d] = x.sizes[order.axis[d]];
            view.strides[d] = x.strides[order.axis[d]];
          }
          kernels::gather_strided(c.x(), view, {c.y(), false});
        },
    .backward =
        [](auto& c) {
          // dx in its own order is a view of dy.
          const Axes& order = c.template options<Axes>();
          const Strided dy = all_of(c.shape_y());
          Strided view = dy;
          for (int d = 0; d < order.count; ++d) {
            view.sizes[order.axis[d]] = dy.sizes[d];
            view.strides[order.axis[d]] = dy.strides[d];
          }
          kernels::gather_strided(c.dy(), view, c.dx());
        },
    .samples = {on({2, 3, 4}).call([](Tensors x) { return permute(x[0], {2, 0, 1}); }),
                on({2, 3}).call([](Tensors x) { return transpose(x[0]); }),
                on({2, 3, 1, 2}).call([](Tensors x) { return transpose(x[0], 0, 3); })},
});

const Op& expand_op = define({
    .name = "expand",
    .formula = "y = x, repeated where its size is 1",
    .shape = {"expand",
              [](const Call& c) {
                const Shape target = c.options<Target>().shape;
                Shape common;
                if (!broadcast(c[0], target, common) || !(common == target)) {
                  c.fail(to_string(c[0]) + " does not stretch to " + to_string(target), "only sizes of 1 are repeated");
                }
                return target;
              },
              true},
    .forward = [](auto& c) { kernels::map(c.result(), [](auto x) { return x; }, c.in()); },
    .backward = [](auto& c) { kernels::map(c.gradient(), [](auto dy) { return dy; }, c.upstream()); },
    .samples = {on({3, 1}).call([](Tensors x) { return expand(x[0], {2, 3, 4}); }),
                on({}).call([](Tensors x) { return expand(x[0], {2}); })},
});

}  // namespace

Tensor reshape(Here x, std::initializer_list<std::int64_t> sizes) {
  const Shape own = x.shape();
  std::int64_t known = 1;
  int open = -1;
  Shape target;
  for (const std::int64_t size : sizes) {
    if (size == -1 && open < 0) {
      open = target.rank();
      target.append(1);
      continue;
    }
    if (size < 0) {
      throw ShapeError(x.place, at(x.place, "reshape: size " + std::to_string(size)) + help_line("one size may be -1, the others count"));
    }
    known *= size;
    target.append(size);
  }
  if (open >= 0) {
    if (known == 0 || own.size() % known != 0) {
      throw ShapeError(x.place, at(x.place, "reshape: " + std::to_string(own.size()) + " elements of " + to_string(own) +
                                                " do not divide by " + std::to_string(known)));
    }
    target.set(open, own.size() / known);
  }
  return reshape(x, target);
}
Tensor reshape(Here x, const Shape& shape) { return record(reshape_op, {x}, Target{shape}); }
Tensor stop_gradient(Here x) { return record(stop_gradient_op, {x}); }

Tensor permute(Here x, Axes order) {
  const int rank = x.shape().rank();
  for (int i = 0; i < order.count; ++i) order.axis[i] = axis_from_front(order.axis[i], rank, x.place, "permute");
  return record(permute_op, {x}, order);
}

Tensor transpose(Here x, int axis_a, int axis_b) {
  const int rank = x.shape().rank();
  Axes order = axes_from_front({}, rank, x.place, "transpose");
  std::swap(order.axis[axis_from_front(axis_a, rank, x.place, "transpose")],
            order.axis[axis_from_front(axis_b, rank, x.place, "transpose")]);
  return record(permute_op, {x}, order);
}

Tensor expand(Here x, const Shape& shape) { return record(expand_op, {x}, Target{shape}); }

}  // namespace reel
