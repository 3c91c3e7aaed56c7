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
  for (int d = 0; d < shape.rank(); ++d) view.sizes[d] = shape[d];
  std::ranges::copy(shape.strides(), view.strides);
  return view;
}

struct Target {
  Shape shape;
};

const Op& reshape_op = define({
    .name = "reshape",
    .formula = "y = x, row by row, in another shape;  dx = dy in the shape of x",
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
    .formula = "y[i_p(0), i_p(1), ...] = x[i_0, i_1, ...];  dx[i_0, i_1, ...] = dy[i_p(0), i_p(1), ...]",
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
    .formula = "y = x, repeated where its size is 1;  dx = sum of dy over what was repeated",
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
    .backward = nothing_else,
    .passes_dy_to = {0},
    .samples = {on({3, 1}).call([](Tensors x) { return expand(x[0], {2, 3, 4}); }),
                on({}).call([](Tensors x) { return expand(x[0], {2}); })},
});

struct Range {
  int axis;
  std::int64_t first, last;
};

// The elements [first, first + size of the axis in `part`) of `whole`, as a view of the array of `whole`.
Strided window(const Shape& whole, const Shape& part, int axis, std::int64_t first) {
  Strided view = all_of(whole);
  view.start = first * view.strides[axis];
  view.sizes[axis] = part[axis];
  return view;
}

const Op& slice_op = define({
    .name = "slice",
    .formula = "y = x[first : last] along an axis;  dx[first : last] = dy, else 0",
    .shape = {"slice",
              [](const Call& c) {
                const Range& r = c.options<Range>();
                Shape y = c[0];
                y.set(r.axis, r.last - r.first);
                return y;
              }},
    .forward =
        [](auto& c) {
          const Range& r = c.template options<Range>();
          kernels::gather_strided(c.x(), window(c.shape(), c.shape_y(), r.axis, r.first), {c.y(), false});
        },
    .backward =
        [](auto& c) {
          const Range& r = c.template options<Range>();
          const auto dx = c.dx();
          if (!dx.add) std::fill_n(dx.data, c.size(), c.scalar(0));
          kernels::scatter_strided(c.dy(), window(c.shape(), c.shape_y(), r.axis, r.first), dx);
        },
    .samples = {on({4, 3}).call([](Tensors x) { return slice(x[0], 0, 1, 3); }),
                on({2, 5, 2}).call([](Tensors x) { return slice(x[0], 1, -3, 5); }),
                on({3}).call([](Tensors x) { return slice(x[0], 0, 1, 1); })},
});

struct Padding {
  int axis;
  std::int64_t before, after;
  double value;
};

const Op& pad_op = define({
    .name = "pad",
    .formula = "y = x with `before` and `after` elements of one value added along an axis;  dx = dy without them",
    .shape = {"pad",
              [](const Call& c) {
                const Padding& p = c.options<Padding>();
                if (p.before < 0 || p.after < 0) c.fail("cannot add a negative number of elements", "use slice to cut");
                Shape y = c[0];
                y.set(p.axis, p.before);  // each alone is refused first where the sum would overflow
                y.set(p.axis, p.after);
                y.set(p.axis, c[0][p.axis] + p.before + p.after);
                return y;
              }},
    .forward =
        [](auto& c) {
          const Padding& p = c.template options<Padding>();
          std::fill_n(c.y(), c.size_y(), c.scalar(p.value));
          kernels::scatter_strided(c.x(), window(c.shape_y(), c.shape(), p.axis, p.before), {c.y(), false});
        },
    .backward =
        [](auto& c) {
          const Padding& p = c.template options<Padding>();
          kernels::gather_strided(c.dy(), window(c.shape_y(), c.shape(), p.axis, p.before), c.dx());
        },
    .samples = {on({2, 3}).call([](Tensors x) { return pad(x[0], 1, 1, 2, 7.0); }),
                on({2, 3}).call([](Tensors x) { return pad(x[0], 0, 0, 1); })},
});

Strided flipped(const Shape& shape, const Axes& axes) {
  Strided view = all_of(shape);
  for (int i = 0; i < axes.count; ++i) {
    const int d = axes.axis[i];
    if (view.sizes[d] > 0) view.start += (view.sizes[d] - 1) * view.strides[d];
    view.strides[d] = -view.strides[d];
  }
  return view;
}

const Op& flip_op = define({
    .name = "flip",
    .formula = "y = x, backwards along the axes;  dx = dy, backwards along the axes",
    .shape = same,
    .forward =
        [](auto& c) { kernels::gather_strided(c.x(), flipped(c.shape(), c.template options<Axes>()), {c.y(), false}); },
    .backward =
        [](auto& c) { kernels::gather_strided(c.dy(), flipped(c.shape(), c.template options<Axes>()), c.dx()); },
    .samples = {on({2, 3}).call([](Tensors x) { return flip(x[0], {1}); }),
                on({2, 3, 2}).call([](Tensors x) { return flip(x[0], {0, 2}); })},
});

struct Along {
  int axis;
};

const Op& concat_op = define({
    .name = "concat",
    .formula = "y = the inputs, one behind the other along an axis;  dx = its part of dy",
    .shape = {"concat",
              [](const Call& c) {
                const int axis = c.options<Along>().axis;
                Shape y = c[0];
                for (int i = 1; i < c.inputs(); ++i) {
                  Shape fits = c[i];
                  if (fits.rank() == y.rank()) fits.set(axis, y[axis]);
                  if (!(fits == y)) {
                    c.fail("input " + std::to_string(i) + " is " + to_string(c[i]) + ", the ones before " + to_string(y),
                           "only the sizes along axis " + std::to_string(axis) + " may differ");
                  }
                  y.set(axis, y[axis] + c[i][axis]);
                }
                return y;
              }},
    .forward =
        [](auto& c) {
          const int axis = c.template options<Along>().axis;
          std::int64_t first = 0;
          for (int i = 0; i < c.inputs(); ++i) {
            kernels::scatter_strided(c.x(i), window(c.shape_y(), c.shape(i), axis, first), {c.y(), false});
            first += c.shape(i)[axis];
          }
        },
    .backward =
        [](auto& c) {
          const int axis = c.template options<Along>().axis;
          std::int64_t first = 0;
          for (int i = 0; i < c.inputs(); ++i) {
            kernels::gather_strided(c.dy(), window(c.shape_y(), c.shape(i), axis, first), c.dx(i));
            first += c.shape(i)[axis];
          }
        },
    .samples = {on({2, 3}, {1, 3}).call([](Tensors x) { return concat(x, 0); }),
                on({2, 3}, {2, 1}, {2, 2}).call([](Tensors x) { return concat(x, -1); }),
                on({2}, {2}).call([](Tensors x) { return stack(x, 1); })},
});

// The shape with these sizes in the place of its dimensions [first, last).
Shape replaced(const Shape& shape, int first, int last, std::initializer_list<Size> sizes, Place place) {
  Shape result = shape.slice(0, first);
  for (const auto [size] : sizes) result.append(size, place);
  for (int d = last; d < shape.rank(); ++d) result.append(shape[d]);
  return result;
}

}  // namespace

Tensor reshape(Here x, std::initializer_list<Size> sizes) {
  const Shape own = x.shape();
  int open = -1;
  Shape target;
  for (const auto [size] : sizes) {
    if (size == -1 && open < 0) {
      open = target.rank();
      target.append(1, x.place);
      continue;
    }
    if (size < 0) {
      throw ShapeError(x.place, at(x.place, "reshape: size " + std::to_string(size)) + help_line("one size may be -1, the others count"));
    }
    target.append(size, x.place);
  }
  if (open >= 0) {
    const std::int64_t known = target.size(x.place);
    if (known == 0 || own.size() % known != 0) {
      throw ShapeError(x.place, at(x.place, "reshape: " + std::to_string(own.size()) + " elements of " + to_string(own) +
                                                " do not divide by " + std::to_string(known)));
    }
    target.set(open, own.size() / known, x.place);
  }
  return reshape(x, target);
}
Tensor reshape(Here x, const Shape& shape) { return record(reshape_op, {x}, Target{shape}); }

Tensor flatten(Here x, int first, int last) {
  const Shape shape = x.shape().rank() == 0 ? Shape{1} : x.shape();  // a number has the axis that it gets
  const int from = axis_from_front(first, shape.rank(), x.place, "flatten");
  const int to = axis_from_front(last, shape.rank(), x.place, "flatten");
  if (from > to) {
    throw ShapeError(x.place, at(x.place, "flatten: axis " + std::to_string(first) + " comes after axis " + std::to_string(last)));
  }
  return reshape(x, replaced(shape, from, to + 1, {shape.product(from, to + 1, x.place)}, x.place));
}

Tensor squeeze(Here x, int axis) {
  const Shape shape = x.shape();
  const int a = axis_from_front(axis, shape.rank(), x.place, "squeeze");
  if (shape[a] != 1) {
    throw ShapeError(x.place, at(x.place, "squeeze: axis " + std::to_string(axis) + " of " + to_string(shape) + " has size " +
                                              std::to_string(shape[a]) + ", not 1"));
  }
  return reshape(x, replaced(shape, a, a + 1, {}, x.place));
}

Tensor unsqueeze(Here x, int axis) {
  const Shape shape = x.shape();
  if (shape.rank() == Shape::max_rank) fail({.name = "unsqueeze"}, {x}, "there is no room for another dimension");
  const int a = axis_from_front(axis, shape.rank() + 1, x.place, "unsqueeze");
  return reshape(x, replaced(shape, a, a, {1}, x.place));
}

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

Tensor slice(Here x, int axis, std::int64_t first, std::int64_t last) {
  const Shape shape = x.shape();
  const int a = axis_from_front(axis, shape.rank(), x.place, "slice");
  const Range r{a, first < 0 ? first + shape[a] : first, last < 0 ? last + shape[a] : last};
  // Said here, of the numbers that the user gave.
  if (r.first < 0 || r.last < r.first || r.last > shape[a]) {
    fail(slice_op, {x}, "[" + std::to_string(first) + ", " + std::to_string(last) + ") is not a part of axis " +
                            std::to_string(axis) + " with " + std::to_string(shape[a]) + " elements");
  }
  return record(slice_op, {x}, r);
}

std::vector<Tensor> split(Here x, std::int64_t size, int axis) {
  const Shape shape = x.shape();
  const int a = axis_from_front(axis, shape.rank(), x.place, "split");
  if (size < 1) throw ShapeError(x.place, at(x.place, "split: pieces of size " + std::to_string(size)));
  std::vector<Tensor> pieces;
  std::int64_t first = 0;
  do {  // one piece of an axis of size 0, too
    const std::int64_t last = shape[a] - first > size ? first + size : shape[a];
    pieces.push_back(record(slice_op, {x}, Range{a, first, last}));
    first = last;
  } while (first < shape[a]);
  return pieces;
}

Tensor pad(Here x, int axis, std::int64_t before, std::int64_t after, double value) {
  const int a = axis_from_front(axis, x.shape().rank(), x.place, "pad");
  return record(pad_op, {x}, Padding{a, before, after, value});
}

Tensor flip(Here x, Axes axes) { return record(flip_op, {x}, axes_from_front(axes, x.shape().rank(), x.place, "flip")); }

Tensor concat(std::span<const Tensor> tensors, int axis, Place place) {
  if (tensors.empty()) throw ShapeError(place, at(place, "concat: no tensors"));
  thread_local std::vector<Here> inputs;  // grows once: a warm step must not ask the heap
  inputs.clear();
  for (const Tensor& t : tensors) inputs.emplace_back(t, place.file, place.line);
  const int a = axis_from_front(axis, inputs.front().shape().rank(), place, "concat");
  return record(concat_op, inputs, Along{a});
}
Tensor concat(std::initializer_list<Tensor> tensors, int axis, Place place) {
  return concat(std::span<const Tensor>(tensors.begin(), tensors.size()), axis, place);
}

Tensor stack(std::span<const Tensor> tensors, int axis, Place place) {
  if (tensors.empty()) throw ShapeError(place, at(place, "stack: no tensors"));
  const Here first(tensors.front(), place.file, place.line);
  const Shape shape = first.shape();
  if (shape.rank() == Shape::max_rank) fail({.name = "stack"}, {first}, "there is no room for another dimension");
  thread_local std::vector<Tensor> raised;
  raised.clear();
  for (const Tensor& t : tensors) {
    const Here here = first.with(t);
    if (const Shape own = here.shape(); !(own == shape)) {
      fail({.name = "stack"}, {first, here},
           "input " + std::to_string(raised.size()) + " is " + to_string(own) + ", the ones before " + to_string(shape),
           "all must have the same shape");
    }
    const int a = axis_from_front(axis, shape.rank() + 1, place, "stack");
    raised.push_back(reshape(here, replaced(shape, a, a, {1}, place)));
  }
  return concat(raised, axis, place);
}
Tensor stack(std::initializer_list<Tensor> tensors, int axis, Place place) {
  return stack(std::span<const Tensor>(tensors.begin(), tensors.size()), axis, place);
}

}  // namespace reel
