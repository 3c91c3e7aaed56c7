#include "autograd/ops/rules.h"
#include "kernels/gelu.h"
#include "kernels/matmul.h"

// A layer of weights alone, with the activation of a hidden one, or on top of what it is added to: the cards are
// the same products.

namespace reel {
namespace {

using kernels::Matmul;

// Which inputs of a card are x, W and b, if there is one: they stand behind what they are added to.
struct Layer {
  int x, w, b;
};
constexpr Layer alone{0, 1, 2}, added{1, 2, 3};

template <Layer l>
Shape layer_shape(const Call& c) {
  const Shape x = c[l.x], w = c[l.w];
  if (w.rank() != 2) c.fail("the weight must be [out, in]");
  if (x.rank() < 1) c.fail("the input needs a dimension of features");
  if (x.back() != w[1]) {
    c.fail("input has " + std::to_string(x.back()) + " features, weight expects " + std::to_string(w[1]),
           "the last dimension of the input must equal the layer's `in` (" + std::to_string(w[1]) + ")");
  }
  if (c.inputs() > l.b && !(c[l.b] == Shape{w[0]})) {
    c.fail("the bias must be [" + std::to_string(w[0]) + "], one number per row of the weight");
  }
  Shape y = x;
  y.set(y.rank() - 1, w[0]);
  return y;
}

template <Layer l, class T>
Matmul<T> product(Context<T>& c) {
  const std::int64_t out = c.shape(l.w)[0];
  const std::int64_t in = c.shape(l.w)[1];
  return {.m = c.shape(l.x).rows(), .n = out, .k = in, .a = c.x(l.x), .lda = in, .b = c.x(l.w), .ldb = in,
          .transpose_b = true, .c = {c.y(), false}, .ldc = out, .bias = c.inputs() > l.b ? c.x(l.b) : nullptr,
          .products = c.products()};
}

// dz is the gradient of x W^T + b.
template <Layer l, class T>
void pass_back(Context<T>& c, const T* dz) {
  const std::int64_t rows = c.shape(l.x).rows();
  const std::int64_t out = c.shape(l.w)[0];
  const std::int64_t in = c.shape(l.w)[1];
  if (c.dx(l.x)) {
    kernels::matmul(Matmul<T>{.m = rows, .n = in, .k = out, .a = dz, .lda = out, .b = c.x(l.w), .ldb = in,
                              .c = c.dx(l.x), .ldc = in, .products = c.products()});
  }
  if (c.dx(l.w)) {
    kernels::matmul(Matmul<T>{.m = out, .n = in, .k = rows, .a = dz, .lda = out, .transpose_a = true,
                              .b = c.x(l.x), .ldb = in, .c = c.dx(l.w), .ldc = in, .products = c.products()});
  }
  if (c.inputs() > l.b) kernels::sum_rows(dz, rows, out, c.dx(l.b));
}

const std::vector<Sample> layers = {on({2, 3}, {4, 3}, {4}), on({2, 3}, {4, 3}), on({2, 2, 3}, {4, 3}, {4}),
                                    on({3}, {2, 3}, {2}), on({0, 3}, {2, 3}, {2})};

const Op& linear_op = define({
    .name = "linear",
    .formula = "y = x W^T + b;  dx = dy W,  dW = dy^T x,  db = sum of dy over the rows",
    .inputs = {"input", "weight", "bias"},
    .shape = {"linear", layer_shape<alone>},
    .reads = Reads::inputs,
    .forward = [](auto& c) { kernels::matmul(product<alone>(c)); },
    .backward = [](auto& c) { pass_back<alone>(c, c.dy()); },
    .samples = layers,
});

// As one op, so that z is never stored.
const Op& linear_relu_op = define({
    .name = "linear_relu",
    .formula = "y = max(z, 0),  z = x W^T + b;  dz = dy where z > 0, else 0,  dx = dz W,  dW = dz^T x,  "
               "db = sum of dz over the rows",
    .inputs = {"input", "weight", "bias"},
    .shape = {"linear", layer_shape<alone>},
    .reads = Reads::both,
    .forward =
        [](auto& c) {
          auto y = product<alone>(c);
          y.relu = true;
          kernels::matmul(y);
        },
    .backward =
        [](auto& c) {
          const auto zero = c.scalar(0);
          auto* const dz = c.dy_to_change();
          kernels::map_in_place(
              dz, c.size_y(), [zero](auto dy, auto y) { return y > zero ? dy : zero; }, c.out());
          pass_back<alone>(c, dz);
        },
    .samples = layers,
});

// As one op, so that z gives place to the slope of its gelu, which costs little beside the gelu.
const Op& linear_gelu_op = define({
    .name = "linear_gelu",
    .formula = "y = gelu(z),  z = x W^T + b;  dz = dy gelu'(z),  dx = dz W,  dW = dz^T x,  "
               "db = sum of dz over the rows",
    .inputs = {"input", "weight", "bias"},
    .shape = {"linear", layer_shape<alone>},
    .reads = Reads::inputs,
    .forward =
        [](auto& c) {
          auto product_z = product<alone>(c);
          auto* const z = c.wants_gradient() ? c.save(c.size_y()) : c.y();
          product_z.c.data = z;
          kernels::matmul(product_z);
          if (c.wants_gradient()) {
            kernels::gelu_and_slope(z, c.y(), c.size_y());
          } else {
            kernels::map_in_place<kernels::Work::polynomial>(z, c.size_y(), [](auto x) { return kernels::gelu(x).value; });
          }
        },
    .backward =
        [](auto& c) {
          auto* const dz = c.dy_to_change();
          kernels::map_in_place(dz, c.size_y(), [](auto dy, auto slope) { return dy * slope; }, c.kept());
          pass_back<alone>(c, dz);
        },
    .samples = layers,
});

// As one op, so that only the sum is stored.
const Op& add_linear_op = define({
    .name = "add_linear",
    .formula = "y = a + x W^T + b;  da = dy,  dx = dy W,  dW = dy^T x,  db = sum of dy over the rows",
    .inputs = {"addend", "input", "weight", "bias"},
    .shape = {"add_linear",
              [](const Call& c) {
                const Shape y = layer_shape<added>(c);
                if (!(c[0] == y)) {
                  c.fail("the addend must have the shape of what the layer gives, " + to_string(y),
                         "add(addend, linear(...)) stretches it");
                }
                return y;
              }},
    .reads = Reads::inputs,
    .forward =
        [](auto& c) {
          auto y = product<added>(c);
          y.addend = c.x(0);
          kernels::matmul(y);
        },
    .backward = [](auto& c) { pass_back<added>(c, c.dy()); },
    .passes_dy_to = {0},
    .samples = {on({2, 4}, {2, 3}, {4, 3}, {4}), on({2, 4}, {2, 3}, {4, 3}), on({2, 2, 4}, {2, 2, 3}, {4, 3}, {4}),
                on({2}, {3}, {2, 3}, {2}), on({0, 2}, {0, 3}, {2, 3}, {2})},
});

}  // namespace

Tensor linear(Here x, Here weight, Here bias) { return record(linear_op, {x, weight, bias}); }
Tensor linear(Here x, Here weight) { return record(linear_op, {x, weight}); }
Tensor linear_relu(Here x, Here weight, Here bias) { return record(linear_relu_op, {x, weight, bias}); }
Tensor linear_relu(Here x, Here weight) { return record(linear_relu_op, {x, weight}); }
Tensor linear_gelu(Here x, Here weight, Here bias) { return record(linear_gelu_op, {x, weight, bias}); }
Tensor linear_gelu(Here x, Here weight) { return record(linear_gelu_op, {x, weight}); }
Tensor add_linear(Here addend, Here x, Here weight, Here bias) {
  return record(add_linear_op, {addend, x, weight, bias});
}
Tensor add_linear(Here addend, Here x, Here weight) { return record(add_linear_op, {addend, x, weight}); }

}  // namespace reel
