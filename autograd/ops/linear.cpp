#include "autograd/ops/rules.h"
#include "kernels/matmul.h"

// A layer of weights and, where it is a hidden one, its ReLU: both cards are the same products.

namespace reel {
namespace {

using kernels::Matmul;

Shape linear_shape(const Call& c) {
  if (c[1].rank() != 2) c.fail("the weight must be [out, in]");
  if (c[0].rank() < 1) c.fail("the input needs a dimension of features");
  if (c[0].back() != c[1][1]) {
    c.fail("input has " + std::to_string(c[0].back()) + " features, weight expects " + std::to_string(c[1][1]),
           "the last dimension of the input must equal the layer's `in` (" + std::to_string(c[1][1]) + ")");
  }
  if (c.inputs() == 3 && !(c[2] == Shape{c[1][0]})) {
    c.fail("the bias must be [" + std::to_string(c[1][0]) + "], one number per row of the weight");
  }
  Shape y = c[0];
  y.set(y.rank() - 1, c[1][0]);
  return y;
}

template <class T>
void multiply(Context<T>& c, bool relu) {
  const std::int64_t out = c.shape(1)[0];
  const std::int64_t in = c.shape(1)[1];
  kernels::matmul(Matmul<T>{.m = c.shape(0).rows(), .n = out, .k = in, .a = c.x(0), .lda = in, .b = c.x(1), .ldb = in,
                            .transpose_b = true, .c = {c.y(), false}, .ldc = out,
                            .bias = c.inputs() == 3 ? c.x(2) : nullptr, .relu = relu, .products = c.products()});
}

// dz is the gradient of x W^T + b.
template <class T>
void pass_back(Context<T>& c, const T* dz) {
  const std::int64_t rows = c.shape(0).rows();
  const std::int64_t out = c.shape(1)[0];
  const std::int64_t in = c.shape(1)[1];
  if (c.dx(0)) {
    kernels::matmul(Matmul<T>{.m = rows, .n = in, .k = out, .a = dz, .lda = out, .b = c.x(1), .ldb = in,
                              .c = c.dx(0), .ldc = in, .products = c.products()});
  }
  if (c.dx(1)) {
    kernels::matmul(Matmul<T>{.m = out, .n = in, .k = rows, .a = dz, .lda = out, .transpose_a = true,
                              .b = c.x(0), .ldb = in, .c = c.dx(1), .ldc = in, .products = c.products()});
  }
  if (c.inputs() == 3) kernels::sum_rows(dz, rows, out, c.dx(2));
}

const std::vector<Sample> layers = {on({2, 3}, {4, 3}, {4}), on({2, 3}, {4, 3}), on({2, 2, 3}, {4, 3}, {4}),
                                    on({3}, {2, 3}, {2}), on({0, 3}, {2, 3}, {2})};

const Op& linear_op = define({
    .name = "linear",
    .formula = "y = x W^T + b;  dx = dy W,  dW = dy^T x,  db = sum of dy over the rows",
    .inputs = {"input", "weight", "bias"},
    .shape = {"linear", linear_shape},
    .reads = Reads::inputs,
    .forward = [](auto& c) { multiply(c, false); },
    .backward = [](auto& c) { pass_back(c, c.dy()); },
    .samples = layers,
});

// As one op, so that z is never stored.
const Op& linear_relu_op = define({
    .name = "linear_relu",
    .formula = "y = max(z, 0),  z = x W^T + b;  dz = dy where z > 0, else 0,  dx = dz W,  dW = dz^T x,  "
               "db = sum of dz over the rows",
    .inputs = {"input", "weight", "bias"},
    .shape = {"linear", linear_shape},
    .reads = Reads::both,
    .forward = [](auto& c) { multiply(c, true); },
    .backward =
        [](auto& c) {
          const auto zero = c.scalar(0);
          auto* const dz = c.dy_to_change();
          kernels::map_in_place(
              dz, c.size_y(), [zero](auto dy, auto y) { return y > zero ? dy : zero; }, c.out());
          pass_back(c, dz);
        },
    .samples = layers,
});

}  // namespace

Tensor linear(Here x, Here weight, Here bias) { return record(linear_op, {x, weight, bias}); }
Tensor linear(Here x, Here weight) { return record(linear_op, {x, weight}); }
Tensor linear_relu(Here x, Here weight, Here bias) { return record(linear_relu_op, {x, weight, bias}); }
Tensor linear_relu(Here x, Here weight) { return record(linear_relu_op, {x, weight}); }

}  // namespace reel
