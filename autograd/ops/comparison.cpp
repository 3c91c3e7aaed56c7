#include "autograd/ops/rules.h"
#include "autograd/tape.h"
#include "kernels/map.h"

// Comparisons, and the choice by them.

namespace reel {
namespace {

using kernels::map;

// What an only input is compared with.
struct Limit {
  double value;
};

// 1 where the relation holds of x and y, or of x and the limit, else 0; never where one is NaN, but for !=.
template <class C, class Relation>
void compare(C& c, Relation holds) {
  const auto one = c.scalar(1), zero = c.scalar(0);
  if (c.inputs() == 2) {
    map(c.result(), [=](auto x, auto y) { return holds(x, y) ? one : zero; }, c.in(0), c.in(1));
  } else {
    const auto limit = c.scalar(c.template options<Limit>().value);
    map(c.result(), [=](auto x) { return holds(x, limit) ? one : zero; }, c.in());
  }
}

const Op& greater_op = define({
    .name = "greater",
    .formula = "z = 1 where x > y, else 0",
    .inputs = {"x", "y"},
    .shape = broadcasting,
    .forward = [](auto& c) { compare(c, [](auto x, auto y) { return x > y; }); },
    .stops = true,
    .samples = {on({2, 3}, {2, 3}), on({3, 1}, {1, 4}), on({2, 3}).call([](Tensors x) { return x[0] > 0.5; })},
});

const Op& greater_equal_op = define({
    .name = "greater_equal",
    .formula = "z = 1 where x >= y, else 0",
    .inputs = {"x", "y"},
    .shape = broadcasting,
    .forward = [](auto& c) { compare(c, [](auto x, auto y) { return x >= y; }); },
    .stops = true,
    .samples = {on({2, 3}, {2, 3}), on({2, 3}, {}), on({2, 3}).call([](Tensors x) { return x[0] >= 0.5; })},
});

const Op& less_op = define({
    .name = "less",
    .formula = "z = 1 where x < y, else 0",
    .inputs = {"x", "y"},
    .shape = broadcasting,
    .forward = [](auto& c) { compare(c, [](auto x, auto y) { return x < y; }); },
    .stops = true,
    .samples = {on({2, 3}, {2, 3}), on({}, {2, 3}), on({2, 3}).call([](Tensors x) { return x[0] < 0.5; })},
});

const Op& less_equal_op = define({
    .name = "less_equal",
    .formula = "z = 1 where x <= y, else 0",
    .inputs = {"x", "y"},
    .shape = broadcasting,
    .forward = [](auto& c) { compare(c, [](auto x, auto y) { return x <= y; }); },
    .stops = true,
    .samples = {on({2, 3}, {2, 3}), on({2, 3}, {3}), on({2, 3}).call([](Tensors x) { return x[0] <= 0.5; })},
});

const Op& equal_op = define({
    .name = "equal",
    .formula = "z = 1 where x = y, else 0",
    .inputs = {"x", "y"},
    .shape = broadcasting,
    .forward = [](auto& c) { compare(c, [](auto x, auto y) { return x == y; }); },
    .stops = true,
    .samples = {on({2, 3}, {2, 3}).call([](Tensors x) { return equal(sign(x[0]), sign(x[1])); }), on({0, 3}, {3}),
                on({2, 3}).call([](Tensors x) { return equal(sign(x[0]), 1); })},
});

const Op& not_equal_op = define({
    .name = "not_equal",
    .formula = "z = 1 where x and y differ, else 0",
    .inputs = {"x", "y"},
    .shape = broadcasting,
    .forward = [](auto& c) { compare(c, [](auto x, auto y) { return x != y; }); },
    .stops = true,
    .samples = {on({2, 3}, {2, 1}).call([](Tensors x) { return not_equal(sign(x[0]), sign(x[1])); }), on({2}, {2}),
                on({2, 3}).call([](Tensors x) { return not_equal(sign(x[0]), 1); })},
});

const Op& where_op = define({
    .name = "where_tensor",
    .formula = "z = c != 0 ? x : y;  dx = dz where c != 0, else 0;  dy = dz - dx,  dc = 0",
    .inputs = {"condition", "x", "y"},
    .shape = broadcasting,
    .reads = Reads::inputs,
    .forward =
        [](auto& c) {
          const auto zero = c.scalar(0);
          map(c.result(), [zero](auto m, auto x, auto y) { return m != zero ? x : y; }, c.in(0), c.in(1), c.in(2));
        },
    .backward =
        [](auto& c) {
          const auto zero = c.scalar(0);
          map(c.gradient(0), [zero](auto) { return zero; }, c.upstream());
          map(c.gradient(1), [zero](auto m, auto dz) { return m != zero ? dz : zero; }, c.in(0), c.upstream());
          map(c.gradient(2), [zero](auto m, auto dz) { return m != zero ? zero : dz; }, c.in(0), c.upstream());
        },
    .samples = {on({2, 3}, {2, 3}, {2, 3}).call([](Tensors x) { return where(relu(x[0]), x[1], x[2]); }),
                on({2, 1}, {3}, {2, 3}).call([](Tensors x) { return where(relu(x[0]), x[1], x[2]); }), on({3}, {2, 1}, {})},
});

// A number as a tensor beside another.
Tensor number(Here beside, double value) { return tensor_of(beside).tape(beside.place).constant(value, beside.place); }

}  // namespace

Tensor greater(Here x, Here y) { return record(greater_op, {x, y}); }
Tensor greater(Here x, double y) { return record(greater_op, {x}, Limit{y}); }
Tensor greater_equal(Here x, Here y) { return record(greater_equal_op, {x, y}); }
Tensor greater_equal(Here x, double y) { return record(greater_equal_op, {x}, Limit{y}); }
Tensor less(Here x, Here y) { return record(less_op, {x, y}); }
Tensor less(Here x, double y) { return record(less_op, {x}, Limit{y}); }
Tensor less_equal(Here x, Here y) { return record(less_equal_op, {x, y}); }
Tensor less_equal(Here x, double y) { return record(less_equal_op, {x}, Limit{y}); }
Tensor equal(Here x, Here y) { return record(equal_op, {x, y}); }
Tensor equal(Here x, double y) { return record(equal_op, {x}, Limit{y}); }
Tensor not_equal(Here x, Here y) { return record(not_equal_op, {x, y}); }
Tensor not_equal(Here x, double y) { return record(not_equal_op, {x}, Limit{y}); }

Tensor where(Here condition, Here x, Here y) { return record(where_op, {condition, x, y}); }
Tensor where(Here condition, Here x, double y) { return where(condition, x, x.with(number(condition, y))); }
Tensor where(Here condition, double x, Here y) { return where(condition, y.with(number(condition, x)), y); }

}  // namespace reel
