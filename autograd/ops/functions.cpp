#include <limits>

#include "autograd/ops/rules.h"
#include "kernels/math.h"
#include "kernels/sine.h"

namespace reel {
namespace {

using kernels::map;
using kernels::Work;

const Op& exp_op = define({
    .name = "exp",
    .formula = "y = e^x;  dx = dy y",
    .shape = same,
    .reads = Reads::output,
    .forward = [](auto& c) { map<Work::polynomial>(c.result(), [](auto x) { return kernels::exp(x); }, c.in()); },
    .backward = [](auto& c) { map(c.gradient(), [](auto y, auto dy) { return dy * y; }, c.out(), c.upstream()); },
    .samples = {on({2, 3}), on({})},
});

const Op& expm1_op = define({
    .name = "expm1",
    .formula = "y = e^x - 1;  dx = dy e^x",
    .shape = same,
    .reads = Reads::inputs,
    .forward = [](auto& c) { map<Work::polynomial>(c.result(), [](auto x) { return kernels::expm1(x); }, c.in()); },
    // Not y + 1, in which the digits of a small e^x are lost.
    .backward =
        [](auto& c) { map<Work::polynomial>(c.gradient(), [](auto x, auto dy) { return dy * kernels::exp(x); }, c.in(), c.upstream()); },
    .samples = {on({2, 3}), on({3}).between(-1e-3, 1e-3)},
});

const Op& log_op = define({
    .name = "log",
    .formula = "y = log x;  dx = dy / x",
    .shape = same,
    .reads = Reads::inputs,
    .forward = [](auto& c) { map<Work::polynomial>(c.result(), [](auto x) { return kernels::log(x); }, c.in()); },
    .backward = [](auto& c) { map(c.gradient(), [](auto x, auto dy) { return dy / x; }, c.in(), c.upstream()); },
    .samples = {on({2, 3}).between(0.5, 3)},
});

const Op& log1p_op = define({
    .name = "log1p",
    .formula = "y = log(1 + x);  dx = dy / (1 + x)",
    .shape = same,
    .reads = Reads::inputs,
    .forward = [](auto& c) { map<Work::polynomial>(c.result(), [](auto x) { return kernels::log1p(x); }, c.in()); },
    .backward =
        [](auto& c) {
          const auto one = c.scalar(1);
          map(c.gradient(), [one](auto x, auto dy) { return dy / (one + x); }, c.in(), c.upstream());
        },
    .samples = {on({2, 3}).between(-0.4, 2), on({3}).between(-1e-3, 1e-3)},
});

const Op& sqrt_op = define({
    .name = "sqrt",
    .formula = "y = sqrt x;  dx = dy / (2 y)",
    .shape = same,
    .reads = Reads::output,
    .forward = [](auto& c) { map(c.result(), [](auto x) { return kernels::sqrt(x); }, c.in()); },
    .backward = [](auto& c) { map(c.gradient(), [](auto y, auto dy) { return dy / (y + y); }, c.out(), c.upstream()); },
    .samples = {on({2, 3}).between(0.5, 3)},
});

const Op& rsqrt_op = define({
    .name = "rsqrt",
    .formula = "y = 1 / sqrt x;  dx = -dy y / (2 x)",
    .shape = same,
    .reads = Reads::both,
    .forward = [](auto& c) { map(c.result(), [](auto x) { return kernels::rsqrt(x); }, c.in()); },
    .backward =
        [](auto& c) {
          map(c.gradient(), [](auto x, auto y, auto dy) { return -(dy * y / (x + x)); }, c.in(), c.out(), c.upstream());
        },
    .samples = {on({2, 3}).between(0.5, 3)},
});

const Op& square_op = define({
    .name = "square",
    .formula = "y = x^2;  dx = 2 x dy",
    .shape = same,
    .reads = Reads::inputs,
    .forward = [](auto& c) { map(c.result(), [](auto x) { return x * x; }, c.in()); },
    .backward = [](auto& c) { map(c.gradient(), [](auto x, auto dy) { return (x + x) * dy; }, c.in(), c.upstream()); },
    .samples = {on({2, 3}), on({})},
});

const Op& abs_op = define({
    .name = "abs",
    .formula = "y = |x|;  dx = dy sign x",
    .shape = same,
    .reads = Reads::inputs,
    .forward = [](auto& c) { map(c.result(), [](auto x) { return kernels::abs(x); }, c.in()); },
    .backward = [](auto& c) { map(c.gradient(), [](auto x, auto dy) { return dy * kernels::sign(x); }, c.in(), c.upstream()); },
    .samples = {on({2, 3}).between(0.2, 2), on({4}).between(-2, -0.2)},
});

const Op& sign_op = define({
    .name = "sign",
    .formula = "y = -1, 0 or 1",
    .shape = same,
    .forward = [](auto& c) { map(c.result(), [](auto x) { return kernels::sign(x); }, c.in()); },
    .stops = true,
    .samples = {on({2, 3})},
});

// Sines of x moved on by so many quarters of a turn: a derivative moves it on by one more.
template <class C>
void sine(C& c, int quarters) {
  kernels::sine<typename C::Scalar>(c.x(), quarters, nullptr, c.size_y(), {c.y(), false});
}
template <class C>
void sine_slope(C& c, int quarters) {
  kernels::sine<typename C::Scalar>(c.x(), quarters, c.dy(), c.size_y(), c.dx());
}

const Op& sin_op = define({
    .name = "sin",
    .formula = "y = sin x;  dx = dy cos x",
    .shape = same,
    .reads = Reads::inputs,
    .forward = [](auto& c) { sine(c, 0); },
    .backward = [](auto& c) { sine_slope(c, 1); },
    .samples = {on({2, 3}), on({5}).between(-10, 10)},
});

const Op& cos_op = define({
    .name = "cos",
    .formula = "y = cos x;  dx = -dy sin x",
    .shape = same,
    .reads = Reads::inputs,
    .forward = [](auto& c) { sine(c, 1); },
    .backward = [](auto& c) { sine_slope(c, 2); },
    .samples = {on({2, 3}), on({5}).between(-10, 10)},
});

const Op& tanh_op = define({
    .name = "tanh",
    .formula = "y = tanh x;  dx = dy (1 - y^2)",
    .shape = same,
    .reads = Reads::inputs,
    .forward = [](auto& c) { map<Work::polynomial>(c.result(), [](auto x) { return kernels::tanh(x); }, c.in()); },
    // Not 1 - y^2 from the output, in which the digits of a small slope are lost: tanh x is 2 sigmoid(2x) - 1.
    .backward =
        [](auto& c) {
          const auto four = c.scalar(4);
          map<Work::polynomial>(c.gradient(), [four](auto x, auto dy) { return dy * (four * kernels::sigmoid_slope(x + x)); }, c.in(), c.upstream());
        },
    .samples = {on({2, 3}), on({3}).between(-1e-2, 1e-2)},
});

const Op& erf_op = define({
    .name = "erf",
    .formula = "y = erf x;  dx = dy 2/sqrt(pi) e^(-x^2)",
    .shape = same,
    .reads = Reads::inputs,
    .forward = [](auto& c) { map<Work::polynomial>(c.result(), [](auto x) { return kernels::erf(x); }, c.in()); },
    .backward =
        [](auto& c) {
          const auto k = c.scalar(1.1283791670955125739);
          map<Work::polynomial>(c.gradient(), [k](auto x, auto dy) { return dy * (k * kernels::exp(-(x * x))); }, c.in(), c.upstream());
        },
    .samples = {on({2, 3}), on({3}).between(-1e-2, 1e-2)},
});

struct Bounds {
  double low, high;
};

const Op& clamp_op = define({
    .name = "clamp",
    .formula = "y = min(max(x, low), high);  dx = dy where low <= x <= high, else 0",
    .shape = {"same",
              [](const Call& c) {
                const auto [low, high] = c.options<Bounds>();
                if (!(low <= high)) {
                  c.refuse("low " + short_number(low) + " is not below high " + short_number(high));
                }
                return c[0];
              }},
    .reads = Reads::inputs,
    .forward =
        [](auto& c) {
          const auto low = c.scalar(c.template options<Bounds>().low);
          const auto high = c.scalar(c.template options<Bounds>().high);
          map(c.result(), [low, high](auto x) { return x < low ? low : x > high ? high : x; }, c.in());
        },
    .backward =
        [](auto& c) {
          const auto low = c.scalar(c.template options<Bounds>().low);
          const auto high = c.scalar(c.template options<Bounds>().high);
          const auto zero = c.scalar(0);
          map(
              c.gradient(),
              [low, high, zero](auto x, auto dy) {
                const auto above = x >= low ? dy : zero;
                return x <= high ? above : zero;
              },
              c.in(), c.upstream());
        },
    .samples = {on({2, 3}).call([](Tensors x) { return clamp(x[0], -0.7, 0.9); })},
});

}  // namespace

Tensor exp(Here x) { return record(exp_op, {x}); }
Tensor expm1(Here x) { return record(expm1_op, {x}); }
Tensor log(Here x) { return record(log_op, {x}); }
Tensor log1p(Here x) { return record(log1p_op, {x}); }
Tensor sqrt(Here x) { return record(sqrt_op, {x}); }
Tensor rsqrt(Here x) { return record(rsqrt_op, {x}); }
Tensor square(Here x) { return record(square_op, {x}); }
Tensor abs(Here x) { return record(abs_op, {x}); }
Tensor sign(Here x) { return record(sign_op, {x}); }
Tensor sin(Here x) { return record(sin_op, {x}); }
Tensor cos(Here x) { return record(cos_op, {x}); }
Tensor tanh(Here x) { return record(tanh_op, {x}); }
Tensor erf(Here x) { return record(erf_op, {x}); }
Tensor clamp(Here x, double low, double high) { return record(clamp_op, {x}, Bounds{low, high}); }
Tensor maximum(Here x, double low) { return clamp(x, low, std::numeric_limits<double>::infinity()); }
Tensor minimum(Here x, double high) { return clamp(x, -std::numeric_limits<double>::infinity(), high); }

}  // namespace reel
