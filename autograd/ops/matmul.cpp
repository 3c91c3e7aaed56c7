#include "kernels/matmul.h"

#include "autograd/ops/rules.h"

namespace reel {
namespace {

using kernels::Into;
using kernels::Matmul;

// The product as the kernel takes it. A right operand without leading dimensions serves every matrix of the left one, which
// then may as well be one tall matrix.
struct Product {
  std::int64_t batch, m, n, k;
  bool transpose_a, transpose_b;
};

Product product_of(const Shape& a, const Shape& b, MatmulOptions options) {
  Product p{};
  p.transpose_a = options.transpose_a;
  p.transpose_b = options.transpose_b;
  p.m = options.transpose_a ? a.back() : a[a.rank() - 2];
  p.k = options.transpose_a ? a[a.rank() - 2] : a.back();
  p.n = options.transpose_b ? b[b.rank() - 2] : b.back();
  p.batch = a.product(0, a.rank() - 2);
  if (b.rank() == 2 && !options.transpose_a) {
    p.m *= p.batch;
    p.batch = 1;
  }
  return p;
}

// Calls fail(reason, help) if the operands do not meet.
template <class Fail>
void check_inner(const Shape& a, const Shape& b, MatmulOptions options, Fail fail) {
  const std::int64_t ka = options.transpose_a ? a[a.rank() - 2] : a.back();
  const std::int64_t kb = options.transpose_b ? b.back() : b[b.rank() - 2];
  if (ka == kb) return;
  fail("inner sizes differ, " + std::to_string(ka) + " and " + std::to_string(kb),
       "the left operand's columns meet the right one's rows (after transposition)");
}

Shape matmul_shape(const Call& c) {
  const auto options = c.options<MatmulOptions>();
  const Shape& a = c[0];
  const Shape& b = c[1];
  if (a.rank() < 2 || b.rank() < 2) {
    c.fail("both operands need at least two dimensions", "for vectors there are dot(x, y) and outer(x, y)");
  }
  check_inner(a, b, options, [&](const std::string& reason, const char* help) { c.fail(reason, help); });
  Shape y;
  for (int i = 0; i + 2 < a.rank(); ++i) y.append(a[i]);
  y.append(options.transpose_a ? a.back() : a[a.rank() - 2]);
  y.append(options.transpose_b ? b[b.rank() - 2] : b.back());
  return y;
}

Tensor plain(Tensors x) { return matmul(x[0], x[1]); }

const Op& matmul_op = define({
    .name = "matmul",
    .formula = "C = A B;  dA = dC B^T,  dB = A^T dC",
    .inputs = {"a", "b"},
    .shape = {"matmul", matmul_shape},
    .reads = Reads::inputs,
    .forward =
        [](auto& c) {
          using T = typename std::remove_reference_t<decltype(c)>::Scalar;
          const Product p = product_of(c.shape(0), c.shape(1), c.template options<MatmulOptions>());
          const bool one_b = c.shape(1).rank() == 2;
          kernels::matmul(Matmul<T>{.m = p.m, .n = p.n, .k = p.k,
                                    .a = c.x(0), .lda = p.transpose_a ? p.m : p.k, .transpose_a = p.transpose_a,
                                    .b = c.x(1), .ldb = p.transpose_b ? p.k : p.n, .transpose_b = p.transpose_b,
                                    .c = {c.y(), false}, .ldc = p.n,
                                    .batch = p.batch, .stride_a = p.m * p.k, .stride_b = one_b ? 0 : p.k * p.n,
                                    .stride_c = p.m * p.n, .products = c.products()});
        },
    .backward =
        [](auto& c) {
          using T = typename std::remove_reference_t<decltype(c)>::Scalar;
          const Product p = product_of(c.shape(0), c.shape(1), c.template options<MatmulOptions>());
          const bool one_b = c.shape(1).rank() == 2;
          const std::int64_t a = p.m * p.k;
          const std::int64_t b = one_b ? 0 : p.k * p.n;
          const std::int64_t y = p.m * p.n;
          if (c.dx(0) && !p.transpose_a) {  // dA [m, k] = dC [m, n] op(B)^T
            kernels::matmul(Matmul<T>{.m = p.m, .n = p.k, .k = p.n, .a = c.dy(), .lda = p.n, .b = c.x(1),
                                      .ldb = p.transpose_b ? p.k : p.n, .transpose_b = !p.transpose_b, .c = c.dx(0),
                                      .ldc = p.k, .batch = p.batch, .stride_a = y, .stride_b = b, .stride_c = a, .products = c.products()});
          } else if (c.dx(0)) {  // dA [k, m] = op(B) dC^T
            kernels::matmul(Matmul<T>{.m = p.k, .n = p.m, .k = p.n, .a = c.x(1), .lda = p.transpose_b ? p.k : p.n,
                                      .transpose_a = p.transpose_b, .b = c.dy(), .ldb = p.n, .transpose_b = true,
                                      .c = c.dx(0), .ldc = p.m, .batch = p.batch, .stride_a = b, .stride_b = y,
                                      .stride_c = a, .products = c.products()});
          }
          if (!c.dx(1)) return;
          // One B for a batch of transposed A: the contributions add up, matrix by matrix.
          const std::int64_t rounds = one_b ? p.batch : 1;
          if (rounds == 0) std::fill_n(c.dx(1).data, c.dx(1).add ? 0 : p.k * p.n, c.scalar(0));
          for (std::int64_t r = 0; r < rounds; ++r) {
            Into<T> into = c.dx(1);
            into.add = into.add || r > 0;
            const T* x = c.x(0) + r * a;
            const T* dy = c.dy() + r * y;
            const std::int64_t batch = one_b ? 1 : p.batch;
            if (!p.transpose_b) {  // dB [k, n] = op(A)^T dC
              kernels::matmul(Matmul<T>{.m = p.k, .n = p.n, .k = p.m, .a = x, .lda = p.transpose_a ? p.m : p.k,
                                        .transpose_a = !p.transpose_a, .b = dy, .ldb = p.n, .c = into, .ldc = p.n,
                                        .batch = batch, .stride_a = a, .stride_b = y, .stride_c = b, .products = c.products()});
            } else {  // dB [n, k] = dC^T op(A)
              kernels::matmul(Matmul<T>{.m = p.n, .n = p.k, .k = p.m, .a = dy, .lda = p.n, .transpose_a = true, .b = x,
                                        .ldb = p.transpose_a ? p.m : p.k, .transpose_b = p.transpose_a, .c = into,
                                        .ldc = p.k, .batch = batch, .stride_a = y, .stride_b = a, .stride_c = b, .products = c.products()});
            }
          }
        },
    .samples = {on({2, 3}, {3, 4}).call(plain), on({3, 2}, {3, 4}).call([](Tensors x) { return matmul(x[0], x[1], {.transpose_a = true}); }),
                on({2, 3}, {4, 3}).call([](Tensors x) { return matmul(x[0], x[1], {.transpose_b = true}); }),
                on({3, 2}, {4, 3}).call([](Tensors x) {
                  return matmul(x[0], x[1], {.transpose_a = true, .transpose_b = true});
                }),
                on({2, 2, 3}, {2, 3, 2}).call(plain), on({2, 2, 3}, {3, 2}).call(plain),
                on({2, 3, 2}, {3, 2}).call([](Tensors x) { return matmul(x[0], x[1], {.transpose_a = true}); }),
                on({2, 3, 2}, {2, 3}).call([](Tensors x) {
                  return matmul(x[0], x[1], {.transpose_a = true, .transpose_b = true});
                }),
                on({2, 1, 2, 3}, {3, 3, 2}).call(plain), on({2, 0}, {0, 3}).call(plain),
                on({1, 1}, {1, 1}).call(plain)},
});

}  // namespace

Tensor matmul(Here a, Here b, MatmulOptions options) {
  const Shape sa = a.shape();
  const Shape sb = b.shape();
  const bool one_b = sb.rank() == 2;
  if (sa.rank() < 2 || sb.rank() < 2 || one_b) return record(matmul_op, {a, b}, options);
  // Leading dimensions are broadcast before the product.
  const Shape lead_a = sa.slice(0, sa.rank() - 2);
  const Shape lead_b = sb.slice(0, sb.rank() - 2);
  if (lead_a == lead_b) return record(matmul_op, {a, b}, options);
  Shape lead;
  if (!broadcast(lead_a, lead_b, lead)) {
    fail(matmul_op, {a, b}, "the leading dimensions of " + to_string(sa) + " and " + to_string(sb) + " do not broadcast");
  }
  const auto say = [&](const std::string& reason, const char* help) { fail(matmul_op, {a, b}, reason, help); };
  check_inner(sa, sb, options, say);
  const auto stretched = [&](Here x, const Shape& s, const Shape& own) {
    if (own == lead) return x;
    Shape target = lead;
    target.append(s[s.rank() - 2]);
    target.append(s.back());
    return x.with(expand(x, target));
  };
  return record(matmul_op, {stretched(a, sa, lead_a), stretched(b, sb, lead_b)}, options);
}

Tensor outer(Here x, Here y) {
  const Shape sx = x.shape();
  const Shape sy = y.shape();
  if (sx.rank() != 1 || sy.rank() != 1) {
    throw ShapeError(x.place, at(x.place, "outer: takes two vectors, got " + to_string(sx) + " and " + to_string(sy)));
  }
  return matmul(x.with(reshape(x, Shape{sx[0], 1})), y.with(reshape(y, Shape{1, sy[0]})));
}

Tensor dot(Here x, Here y) {
  const Shape sx = x.shape();
  const Shape sy = y.shape();
  if (sx.rank() != 1 || !(sx == sy)) {
    throw ShapeError(x.place, at(x.place, "dot: takes two vectors of one length, got " + to_string(sx) + " and " +
                                              to_string(sy)));
  }
  return reshape(x.with(matmul(x.with(reshape(x, Shape{1, sx[0]})), y.with(reshape(y, Shape{sy[0], 1})))), Shape{});
}

}  // namespace reel
