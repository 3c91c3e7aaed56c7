#include <type_traits>

#include "autograd/ops/rules.h"
#include "autograd/tape.h"
#include "kernels/math.h"

namespace reel {
namespace {

using kernels::map;
using kernels::Work;

const Op& add_op = define({
    .name = "add",
    .formula = "z = x + y;  dx = dz,  dy = dz",
    .inputs = {"x", "y"},
    .shape = broadcasting,
    .forward = [](auto& c) { map(c.result(), [](auto x, auto y) { return x + y; }, c.in(0), c.in(1)); },
    .backward = nothing_else,
    .passes_dy_to = {0, 1},
    .samples = {on({2, 3}, {2, 3}), on({3, 1}, {1, 4}), on({}, {2, 3}), on({2, 3}, {3}), on({0, 3}, {3})},
});

const Op& sub_op = define({
    .name = "sub",
    .formula = "z = x - y;  dx = dz,  dy = -dz",
    .inputs = {"x", "y"},
    .shape = broadcasting,
    .forward = [](auto& c) { map(c.result(), [](auto x, auto y) { return x - y; }, c.in(0), c.in(1)); },
    .backward = [](auto& c) { map(c.gradient(1), [](auto dz) { return -dz; }, c.upstream()); },
    .passes_dy_to = {0},
    .samples = {on({2, 3}, {2, 3}), on({2, 1, 3}, {4, 1}), on({2, 3}, {})},
});

const Op& mul_op = define({
    .name = "mul",
    .formula = "z = x y;  dx = y dz,  dy = x dz",
    .inputs = {"x", "y"},
    .shape = broadcasting,
    .reads = Reads::inputs,
    .forward = [](auto& c) { map(c.result(), [](auto x, auto y) { return x * y; }, c.in(0), c.in(1)); },
    .backward =
        [](auto& c) {
          map(c.gradient(0), [](auto y, auto dz) { return y * dz; }, c.in(1), c.upstream());
          map(c.gradient(1), [](auto x, auto dz) { return x * dz; }, c.in(0), c.upstream());
        },
    .samples = {on({2, 3}, {2, 3}), on({3, 1}, {1, 4}), on({}, {}), on({2, 1, 2}, {3, 1})},
});

const Op& div_op = define({
    .name = "div",
    .formula = "z = x / y;  dx = dz / y,  dy = -dz z / y",
    .inputs = {"x", "y"},
    .shape = broadcasting,
    .reads = Reads::both,
    .forward = [](auto& c) { map(c.result(), [](auto x, auto y) { return x / y; }, c.in(0), c.in(1)); },
    .backward =
        [](auto& c) {
          map(c.gradient(0), [](auto y, auto dz) { return dz / y; }, c.in(1), c.upstream());
          map(c.gradient(1), [](auto y, auto z, auto dz) { return -(dz * z / y); }, c.in(1), c.out(), c.upstream());
        },
    .samples = {on({2, 3}, {2, 3}).between(0.5, 2), on({3, 1}, {1, 4}).between(-2, -0.5)},
});

// At x = 0 the products of an infinite and a zero factor are avoided: x^0 has derivative 0, and x^y log x is 0 there for
// y >= 0. For y < 0 it is infinite, as x^y is.
const Op& pow_op = define({
    .name = "pow",
    .formula = "z = x^y;  dx = dz y x^(y-1),  dy = dz z log x",
    .inputs = {"x", "y"},
    .shape = broadcasting,
    .reads = Reads::both,
    .forward = [](auto& c) { map<Work::call>(c.result(), [](auto x, auto y) { return kernels::pow(x, y); }, c.in(0), c.in(1)); },
    .backward =
        [](auto& c) {
          map<Work::call>(
              c.gradient(0),
              [](auto x, auto y, auto dz) {
                using T = decltype(x);
                // Dual numbers move an exponent of 0, too.
                const bool stays = !std::is_same_v<T, Dual> || x == T(0);
                return y == T(0) && stays ? T(0) : dz * (y * kernels::pow(x, y - T(1)));
              },
              c.in(0), c.in(1), c.upstream());
          map<Work::polynomial>(
              c.gradient(1),
              [](auto x, auto y, auto z, auto dz) {
                using T = decltype(x);
                return x == T(0) && y >= T(0) ? T(0) : dz * (z * kernels::log(x));
              },
              c.in(0), c.in(1), c.out(), c.upstream());
        },
    .samples = {on({2, 3}, {2, 3}).between(0.5, 2), on({3, 1}, {1, 4}).between(0.5, 3)},
});

struct Number {
  double value;
};

const Op& power_op = define({
    .name = "power",
    .formula = "y = x^n;  dx = dy n x^(n-1)",
    .shape = same,
    .reads = Reads::inputs,
    .forward =
        [](auto& c) {
          const auto n = c.scalar(c.template options<Number>().value);
          map<Work::call>(c.result(), [n](auto x) { return kernels::pow(x, n); }, c.in());
        },
    .backward =
        [](auto& c) {
          const auto n = c.scalar(c.template options<Number>().value);
          using T = std::remove_const_t<decltype(n)>;
          map<Work::call>(
              c.gradient(), [n](auto x, auto dy) { return n == T(0) ? T(0) : dy * (n * kernels::pow(x, n - T(1))); },
              c.in(), c.upstream());
        },
    .samples = {on({2, 3}).between(0.5, 2).call([](Tensors x) { return pow(x[0], 2.5); }),
                on({2, 3}).call([](Tensors x) { return pow(x[0], 3.0); }),
                on({4}).call([](Tensors x) { return pow(x[0], 0.0); })},
});

const Op& maximum_op = define({
    .name = "maximum",
    .formula = "z = max(x, y);  dx = dz where x >= y, else 0;  dy = dz - dx",
    .inputs = {"x", "y"},
    .shape = broadcasting,
    .reads = Reads::inputs,
    .forward =
        [](auto& c) { map(c.result(), [](auto x, auto y) { return kernels::maximum(x, y); }, c.in(0), c.in(1)); },
    .backward =
        [](auto& c) {
          const auto zero = c.scalar(0);
          map(c.gradient(0), [zero](auto x, auto y, auto dz) { return x >= y ? dz : zero; }, c.in(0), c.in(1), c.upstream());
          map(c.gradient(1), [zero](auto x, auto y, auto dz) { return x >= y ? zero : dz; }, c.in(0), c.in(1), c.upstream());
        },
    .samples = {on({2, 3}, {2, 3}), on({3, 1}, {1, 4})},
});

const Op& minimum_op = define({
    .name = "minimum",
    .formula = "z = min(x, y);  dx = dz where x <= y, else 0;  dy = dz - dx",
    .inputs = {"x", "y"},
    .shape = broadcasting,
    .reads = Reads::inputs,
    .forward =
        [](auto& c) { map(c.result(), [](auto x, auto y) { return kernels::minimum(x, y); }, c.in(0), c.in(1)); },
    .backward =
        [](auto& c) {
          const auto zero = c.scalar(0);
          map(c.gradient(0), [zero](auto x, auto y, auto dz) { return x <= y ? dz : zero; }, c.in(0), c.in(1), c.upstream());
          map(c.gradient(1), [zero](auto x, auto y, auto dz) { return x <= y ? zero : dz; }, c.in(0), c.in(1), c.upstream());
        },
    .samples = {on({2, 3}, {2, 3}), on({3, 1}, {1, 4})},
});

const Op& neg_op = define({
    .name = "neg",
    .formula = "y = -x;  dx = -dy",
    .shape = same,
    .forward = [](auto& c) { map(c.result(), [](auto x) { return -x; }, c.in()); },
    .backward = [](auto& c) { map(c.gradient(), [](auto dy) { return -dy; }, c.upstream()); },
    .samples = {on({2, 3}), on({})},
});

const Op& scale_op = define({
    .name = "scale",
    .formula = "y = a x;  dx = a dy",
    .shape = same,
    .forward =
        [](auto& c) {
          const auto a = c.scalar(c.template options<Number>().value);
          map(c.result(), [a](auto x) { return a * x; }, c.in());
        },
    .backward =
        [](auto& c) {
          const auto a = c.scalar(c.template options<Number>().value);
          map(c.gradient(), [a](auto dy) { return a * dy; }, c.upstream());
        },
    .samples = {on({2, 3}).call([](Tensors x) { return scale(x[0], -1.5); })},
});

// Not a product with 1 / a, which is rounded twice, and infinite where a is very small.
const Op& divide_op = define({
    .name = "divide",
    .formula = "y = x / a;  dx = dy / a",
    .shape = same,
    .forward =
        [](auto& c) {
          const auto a = c.scalar(c.template options<Number>().value);
          map(c.result(), [a](auto x) { return x / a; }, c.in());
        },
    .backward =
        [](auto& c) {
          const auto a = c.scalar(c.template options<Number>().value);
          map(c.gradient(), [a](auto dy) { return dy / a; }, c.upstream());
        },
    .samples = {on({2, 3}).call([](Tensors x) { return div(x[0], -1.5); })},
});

const Op& divided_op = define({
    .name = "divided",
    .formula = "y = a / x;  dx = -dy y / x",
    .shape = same,
    .reads = Reads::both,
    .forward =
        [](auto& c) {
          const auto a = c.scalar(c.template options<Number>().value);
          map(c.result(), [a](auto x) { return a / x; }, c.in());
        },
    .backward = [](auto& c) { map(c.gradient(), [](auto x, auto y, auto dy) { return -(dy * (y / x)); }, c.in(), c.out(), c.upstream()); },
    .samples = {on({2, 3}).between(0.5, 2).call([](Tensors x) { return div(-1.5, x[0]); }),
                on({4}).between(-3, -1).call([](Tensors x) { return div(1, x[0]); })},
});

const Op& shift_op = define({
    .name = "shift",
    .formula = "y = x + a;  dx = dy",
    .shape = same,
    .forward =
        [](auto& c) {
          const auto a = c.scalar(c.template options<Number>().value);
          map(c.result(), [a](auto x) { return x + a; }, c.in());
        },
    .backward = nothing_else,
    .passes_dy_to = {0},
    .samples = {on({2, 3}).call([](Tensors x) { return shift(x[0], 0.5); })},
});

}  // namespace

Tensor add(Here x, Here y) { return record(add_op, {x, y}); }
Tensor sub(Here x, Here y) { return record(sub_op, {x, y}); }
Tensor mul(Here x, Here y) { return record(mul_op, {x, y}); }
Tensor div(Here x, Here y) { return record(div_op, {x, y}); }
Tensor div(double dividend, Here x) { return record(divided_op, {x}, Number{dividend}); }
Tensor div(Here x, double divisor) { return record(divide_op, {x}, Number{divisor}); }
Tensor pow(Here x, Here y) { return record(pow_op, {x, y}); }
Tensor pow(Here x, double exponent) {
  // What most powers are, without the C library's function for all of them.
  if (exponent == 2) return square(x);
  if (exponent == 0.5) return sqrt(x);
  return record(power_op, {x}, Number{exponent});
}
Tensor pow(double base, Here exponent) {
  return pow(exponent.with(tape_of({exponent}).constant(base, exponent.place)), exponent);
}
Tensor maximum(Here x, Here y) { return record(maximum_op, {x, y}); }
Tensor minimum(Here x, Here y) { return record(minimum_op, {x, y}); }
Tensor neg(Here x) { return record(neg_op, {x}); }
Tensor scale(Here x, double factor) { return record(scale_op, {x}, Number{factor}); }
Tensor shift(Here x, double offset) { return record(shift_op, {x}, Number{offset}); }

}  // namespace reel
