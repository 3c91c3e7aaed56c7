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

// 1 where the relation holds of x and y, or of x and the limit, else 0.
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

const Op& gt_op = define({
    .name = "gt",
    .formula = "z = 1 where x > y, else 0",
    .inputs = {"x", "y"},
    .shape = broadcasting,
    .forward = [](auto& c) { compare(c, [](auto x, auto y) { return x > y; }); },
    .stops = true,
    .samples = {on({2, 3}, {2, 3}), on({3, 1}, {1, 4}), on({2, 3}).call([](Tensors x) { return x[0] > 0.5; })},
});

const Op& ge_op = define({
    .name = "ge",
    .formula = "z = 1 where x >= y, else 0",
    .inputs = {"x", "y"},
    .shape = broadcasting,
    .forward = [](auto& c) { compare(c, [](auto x, auto y) { return x >= y; }); },
    .stops = true,
    .samples = {on({2, 3}, {2, 3}), on({2, 3}, {}), on({2, 3}).call([](Tensors x) { return x[0] >= 0.5; })},
});

const Op& lt_op = define({
    .name = "lt",
    .formula = "z = 1 where x < y, else 0",
    .inputs = {"x", "y"},
    .shape = broadcasting,
    .forward = [](auto& c) { compare(c, [](auto x, auto y) { return x < y; }); },
    .stops = true,
    .samples = {on({2, 3}, {2, 3}), on({}, {2, 3}), on({2, 3}).call([](Tensors x) { return x[0] < 0.5; })},
});

const Op& le_op = define({
    .name = "le",
    .formula = "z = 1 where x <= y, else 0",
    .inputs = {"x", "y"},
    .shape = broadcasting,
    .forward = [](auto& c) { compare(c, [](auto x, auto y) { return x <= y; }); },
    .stops = true,
    .samples = {on({2, 3}, {2, 3}), on({2, 3}, {3}), on({2, 3}).call([](Tensors x) { return x[0] <= 0.5; })},
});

const Op& eq_op = define({
    .name = "eq",
    .formula = "z = 1 where x = y, else 0",
    .inputs = {"x", "y"},
    .shape = broadcasting,
    .forward = [](auto& c) { compare(c, [](auto x, auto y) { return x == y; }); },
    .stops = true,
    .samples = {on({2, 3}, {2, 3}).call([](Tensors x) { return eq(sign(x[0]), sign(x[1])); }), on({0, 3}, {3}),
                on({2, 3}).call([](Tensors x) { return eq(sign(x[0]), 1); })},
});

const Op& ne_op = define({
    .name = "ne",
    .formula = "z = 1 where x and y differ, else 0",
    .inputs = {"x", "y"},
    .shape = broadcasting,
    .forward = [](auto& c) { compare(c, [](auto x, auto y) { return x != y; }); },
    .stops = true,
    .samples = {on({2, 3}, {2, 1}).call([](Tensors x) { return ne(sign(x[0]), sign(x[1])); }), on({2}, {2}),
                on({2, 3}).call([](Tensors x) { return ne(sign(x[0]), 1); })},
});

const Op& where_op = define({
    .name = "where",
    .formula = "z = condition != 0 ? x : y;  dx = dz where condition != 0, else 0;  dy = dz - dx",
    .inputs = {"x", "y", "condition"},
    .shape = broadcasting,
    .reads = Reads::inputs,
    .forward =
        [](auto& c) {
          const auto zero = c.scalar(0);
          map(c.result(), [zero](auto x, auto y, auto m) { return m != zero ? x : y; }, c.in(0), c.in(1), c.in(2));
        },
    .backward =
        [](auto& c) {
          const auto zero = c.scalar(0);
          map(c.gradient(0), [zero](auto m, auto dz) { return m != zero ? dz : zero; }, c.in(2), c.upstream());
          map(c.gradient(1), [zero](auto m, auto dz) { return m != zero ? zero : dz; }, c.in(2), c.upstream());
          map(c.gradient(2), [zero](auto) { return zero; }, c.upstream());  // for record() of the card alone: where() stops the condition
        },
    .samples = {on({2, 2}, {2, 2}).call([](Tensors x) { return where({1, 0, 0, 1}, x[0], x[1]); }),
                on({2, 1}, {3}).call([](Tensors x) { return where({1, 0, 0, 1, 1, 0}, x[0], x[1]); }),
                on({3}, {2, 1}, {}), on({0, 3}, {3}, {3})},
});

}  // namespace

Tensor gt(Here x, Here y) { return record(gt_op, {x, y}); }
Tensor gt(Here x, double y) { return record(gt_op, {x}, Limit{y}); }
Tensor ge(Here x, Here y) { return record(ge_op, {x, y}); }
Tensor ge(Here x, double y) { return record(ge_op, {x}, Limit{y}); }
Tensor lt(Here x, Here y) { return record(lt_op, {x, y}); }
Tensor lt(Here x, double y) { return record(lt_op, {x}, Limit{y}); }
Tensor le(Here x, Here y) { return record(le_op, {x, y}); }
Tensor le(Here x, double y) { return record(le_op, {x}, Limit{y}); }
Tensor eq(Here x, Here y) { return record(eq_op, {x, y}); }
Tensor eq(Here x, double y) { return record(eq_op, {x}, Limit{y}); }
Tensor ne(Here x, Here y) { return record(ne_op, {x, y}); }
Tensor ne(Here x, double y) { return record(ne_op, {x}, Limit{y}); }

Tensor where(Here condition, Here x, Here y) {
  // Without stop_gradient zeros would go back through what made the condition: they are NaN where its slope is infinite,
  // and for a parameter they count as a gradient, so that its decay moves it.
  const Place place = condition.place;
  Tensor c = condition.parameter == nullptr ? condition.tensor : tape_of({x, y}).leaf(*condition.parameter, place);
  if (detail::wants_gradient(c.tape(place), c)) c = stop_gradient(condition.with(c));
  return record(where_op, {x, y, condition.with(c)});
}
Tensor where(Here condition, Here x, double y) {
  return where(condition, x, x.with(tape_of({x, condition}).constant(y, x.place)));
}
Tensor where(Here condition, double x, Here y) {
  return where(condition, y.with(tape_of({y, condition}).constant(x, y.place)), y);
}
Tensor where(Here condition, double x, double y) {
  Tape& tape = tape_of({condition});
  return where(condition, condition.with(tape.constant(x, condition.place)), condition.with(tape.constant(y, condition.place)));
}
Tensor where(std::span<const std::uint8_t> condition, Here x, double y) {
  return where(condition, x, x.with(tape_of({x}).constant(y, x.place)));
}
Tensor where(std::span<const std::uint8_t> condition, double x, Here y) {
  return where(condition, y.with(tape_of({y}).constant(x, y.place)), y);
}
Tensor where(std::span<const std::uint8_t> condition, Here x, Here y) {
  const Shape sx = x.shape(), sy = y.shape();
  Shape all;
  if (!broadcast(sx, sy, all)) fail(where_op, {x, y}, "shapes " + to_string(sx) + " and " + to_string(sy) + " do not broadcast", broadcast_help);
  if (static_cast<std::int64_t>(condition.size()) != all.size()) {
    fail(where_op, {x, y},
         "the condition has " + std::to_string(condition.size()) + " elements, the operands " + std::to_string(all.size()));
  }
  return record(where_op, {x, y, x.with(tape_of({x, y}).constant(condition, all, x.place))});
}

}  // namespace reel
