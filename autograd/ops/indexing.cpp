#include <cmath>

#include "autograd/ops/rules.h"
#include "kernels/gather.h"

namespace reel {
namespace {

struct Index {
  const std::int32_t* position;
  std::int64_t count;
  int axis;
  Shape shape;  // embedding: of the tokens
};

// The tensor seen as [outer, size, inner] around the axis.
struct Around {
  std::int64_t outer, size, inner;
  Around(const Shape& shape, int axis)
      : outer(shape.product(0, axis)), size(shape[axis]), inner(shape.strides()[static_cast<std::size_t>(axis)]) {}
};

void check_positions(const Call& c, const Index& index, std::int64_t size, const char* what) {
  for (std::int64_t i = 0; i < index.count; ++i) {
    if (index.position[i] >= 0 && index.position[i] < size) continue;
    c.refuse(std::string(what) + " " + std::to_string(index.position[i]) + " at position " +
                 std::to_string(i) + " is out of range",
             size == 0 ? "there is nothing to choose from"
                       : "it must lie between 0 and " + std::to_string(size - 1));
  }
}

constexpr std::int32_t some_positions[] = {2, 0, 2, 1};

template <class C>
void gather(C& c) {
  const Index& index = c.template options<Index>();
  const Around x(c.shape(), index.axis);
  kernels::gather(c.x(), x.outer, x.size, x.inner, index.position, index.count,
                  {c.y(), false});
}

template <class C>
void scatter(C& c) {
  const Index& index = c.template options<Index>();
  const Around x(c.shape(), index.axis);
  kernels::scatter_add(c.dy(), x.outer, x.size, x.inner, index.position, index.count, c.dx());
}

const Op& index_select_op = define({
    .name = "index_select",
    .formula = "y_i = x_index(i) along the axis;  dx_j = sum of dy_i with index(i) = j",
    .shape = {"index_select",
              [](const Call& c) {
                const Index& index = c.options<Index>();
                check_positions(c, index, c[0][index.axis], "index");
                Shape y = c[0];
                y.set(index.axis, index.count);
                return y;
              }},
    .forward = [](auto& c) { gather(c); },
    .backward = [](auto& c) { scatter(c); },
    .samples = {on({3, 2}).call([](Tensors x) { return index_select(x[0], some_positions); }),
                on({2, 3, 2}).call([](Tensors x) { return index_select(x[0], some_positions, 1); })},
});

const Op& gather_op = define({
    .name = "gather",
    .formula = "y_i = x_row(i);  dx_j = sum of dy_i with row(i) = j",
    .shape = {"gather",
              [](const Call& c) {
                const Index& rows = c.options<Index>();
                if (c[0].rank() == 0) c.fail("a scalar has no rows");
                check_positions(c, rows, c[0][0], "row");
                Shape y = c[0];
                y.set(0, rows.count);
                return y;
              }},
    .forward = [](auto& c) { gather(c); },
    .backward = [](auto& c) { scatter(c); },
    .samples = {on({3, 4}).call([](Tensors x) { return reel::gather(x[0], some_positions); }),
                on({3}).call([](Tensors x) { return reel::gather(x[0], some_positions); })},
});

const Op& embedding_op = define({
    .name = "embedding",
    .formula = "y_i = table_token(i);  dtable_j = sum of dy_i with token(i) = j",
    .inputs = {"table"},
    .shape = {"embedding",
              [](const Call& c) {
                const Index& tokens = c.options<Index>();
                if (c[0].rank() != 2) c.fail("the table must have shape [rows, channels]");
                if (tokens.shape.size() != tokens.count) {
                  c.fail(std::to_string(tokens.count) + " tokens do not fill the shape " +
                         to_string(tokens.shape));
                }
                check_positions(c, tokens, c[0][0], "token");
                Shape y = tokens.shape;
                if (y.rank() == Shape::max_rank) c.fail("the tokens have too many dimensions");
                y.append(c[0][1]);
                return y;
              }},
    .forward = [](auto& c) { gather(c); },
    .backward = [](auto& c) { scatter(c); },
    .samples = {on({3, 2}).call([](Tensors x) { return embedding(x[0], some_positions); }),
                on({3, 2}).call([](Tensors x) {
                  return embedding(x[0], some_positions, {2, 2});
                })},
});

const Op& take_along_op = define({
    .name = "take_along",
    .formula = "y_r = x_(r, index(r));  dx_(r, j) = dy_r if index(r) = j, else 0",
    .shape = {"take_along",
              [](const Call& c) {
                const Index& index = c.options<Index>();
                if (c[0].rank() == 0) c.fail("a scalar has no axis");
                if (index.count != c[0].rows()) {
                  c.fail(
                      std::to_string(index.count) + " positions for " + std::to_string(c[0].rows()) + " rows",
                      "give one position per row");
                }
                check_positions(c, index, c[0].back(), "index");
                return c[0].slice(0, c[0].rank() - 1);
              }},
    .forward =
        [](auto& c) {
          const Index& index = c.template options<Index>();
          for (std::int64_t r = 0; r < index.count; ++r)
            c.y()[r] = c.x()[r * c.shape().back() + index.position[r]];
        },
    .backward =
        [](auto& c) {
          const Index& index = c.template options<Index>();
          const std::int64_t cols = c.shape().back();
          const auto zero = c.scalar(0);
          for (std::int64_t r = 0; r < index.count; ++r) {
            for (std::int64_t j = 0; j < cols; ++j)
              c.dx().store(r * cols + j, j == index.position[r] ? c.dy()[r] : zero);
          }
        },
    .samples = {on({4, 3}).call([](Tensors x) { return take_along(x[0], some_positions); }),
                on({2, 2, 3}).call([](Tensors x) { return take_along(x[0], some_positions); })},
});

const Op& index_add_op = define({
    .name = "index_add",
    .formula = "y_j = x_j + sum of source_i with index(i) = j;  dx = dy,  dsource_i = dy_index(i)",
    .inputs = {"x", "source"},
    .shape = {"index_add",
              [](const Call& c) {
                const Index& index = c.options<Index>();
                if (c[0].rank() == 0) c.fail("a scalar has no rows");
                Shape rows = c[0];
                rows.set(0, index.count);
                if (!(c[1] == rows)) {
                  c.fail("a source for " + std::to_string(index.count) + " positions must have shape " +
                             to_string(rows),
                         "give one position per row of the source; its other sizes are those of x");
                }
                check_positions(c, index, c[0][0], "row");
                return c[0];
              }},
    .forward =
        [](auto& c) {
          const Index& index = c.template options<Index>();
          kernels::map(c.result(), [](auto x) { return x; }, c.in());
          const Around y(c.shape_y(), 0);
          kernels::scatter_add(c.x(1), 1, y.size, y.inner, index.position, index.count, {c.y(), true});
        },
    .backward =
        [](auto& c) {
          const Index& index = c.template options<Index>();
          const Around y(c.shape_y(), 0);
          kernels::gather(c.dy(), 1, y.size, y.inner, index.position, index.count, c.dx(1));
        },
    .passes_dy_to = {0},
    .samples = {on({3, 2}, {4, 2}).call([](Tensors x) { return index_add(x[0], some_positions, x[1]); }),
                on({4, 2}, {4, 2}).call([](Tensors x) { return index_add(x[0], some_positions, x[1]); }),
                on({5, 2, 3}, {4, 2, 3}).call([](Tensors x) {
                  return index_add(x[0], some_positions, x[1]);
                }),
                on({3}, {4}).call([](Tensors x) { return index_add(x[0], some_positions, x[1]); })},
});

Index kept_index(Here x, std::span<const std::int32_t> index, int axis, const Shape& shape = {}) {
  const auto kept = keep({x}, index);
  return {kept.data(), static_cast<std::int64_t>(kept.size()), axis, shape};
}

}  // namespace

Tensor index_select(Here x, std::span<const std::int32_t> index, int axis) {
  const int a = axis_from_front(axis, x.shape().rank(), x.place, "index_select");
  return record(index_select_op, {x}, kept_index(x, index, a));
}
Tensor gather(Here x, std::span<const std::int32_t> rows) {
  return record(gather_op, {x}, kept_index(x, rows, 0));
}
Tensor index_add(Here x, std::span<const std::int32_t> index, Here source) {
  const auto kept = keep({x, source}, index);
  return record(index_add_op, {x, source}, Index{kept.data(), static_cast<std::int64_t>(kept.size()), 0, {}});
}
Tensor take_along(Here x, std::span<const std::int32_t> index) {
  return record(take_along_op, {x}, kept_index(x, index, -1));
}
Tensor embedding(Here table, std::span<const std::int32_t> tokens, const Shape& shape) {
  return record(embedding_op, {table}, kept_index(table, tokens, 0, shape));
}
Tensor embedding(Here table, std::span<const std::int32_t> tokens) {
  return embedding(table, tokens, Shape{static_cast<std::int64_t>(tokens.size())});
}

std::vector<std::int32_t> argmax(Here x, int axis) {
  const Shape shape = x.shape();
  const Around parts(shape, axis_from_front(axis, shape.rank(), x.place, "argmax"));
  if (parts.size == 0) throw ShapeError(x.place, at(x.place, "argmax: nothing along axis " + std::to_string(axis) + " of " + to_string(shape)));
  const std::vector<double> values = tensor_of(x).values(x.place);
  std::vector<std::int32_t> result;
  for (std::int64_t o = 0; o < parts.outer; ++o) {
    for (std::int64_t i = 0; i < parts.inner; ++i) {
      const auto value = [&](std::int64_t along) { return values[static_cast<std::size_t>((o * parts.size + along) * parts.inner + i)]; };
      std::int64_t best = 0;
      for (std::int64_t along = 1; along < parts.size && !std::isnan(value(best)); ++along) {
        if (!(value(along) <= value(best))) best = along;
      }
      result.push_back(static_cast<std::int32_t>(best));
    }
  }
  return result;
}

}  // namespace reel
