#include "kernels/matmul.h"

#include "kernels/dual.h"
#include "kernels/parallel.h"
#include "kernels/reduce.h"

namespace reel::kernels {

template <class T>
void matmul(const Matmul<T>& p) {
  const double cost = 2.0 * static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k);
  parallel_for(p.batch * p.m, cost * static_cast<double>(p.batch), [&](std::int64_t task) {
    const std::int64_t batch = task / p.m;
    const std::int64_t i = task % p.m;
    const T* a = p.a + batch * p.stride_a;
    const T* b = p.b + batch * p.stride_b;
    T* c = p.c.data + batch * p.stride_c + i * p.ldc;
    if (!p.c.add) {
      for (std::int64_t j = 0; j < p.n; ++j) c[j] = p.bias == nullptr ? T(0) : p.bias[j];
    }
    if (p.transpose_b) {
      for (std::int64_t j = 0; j < p.n; ++j) {
        T sum = c[j];
        for (std::int64_t k = 0; k < p.k; ++k) {
          sum += (p.transpose_a ? a[k * p.lda + i] : a[i * p.lda + k]) * b[j * p.ldb + k];
        }
        c[j] = sum;
      }
    } else {
      for (std::int64_t k = 0; k < p.k; ++k) {
        const T x = p.transpose_a ? a[k * p.lda + i] : a[i * p.lda + k];
        for (std::int64_t j = 0; j < p.n; ++j) c[j] += x * b[k * p.ldb + j];
      }
    }
  });
}

template <class T>
void sum_rows(const T* x, std::int64_t rows, std::int64_t n, Into<T> out) {
  sum_axis(x, 1, rows, n, out);
}

#define REEL_INSTANTIATE(T)                  \
  template void matmul(const Matmul<T>&);    \
  template void sum_rows(const T*, std::int64_t, std::int64_t, Into<T>)
REEL_INSTANTIATE(float);
REEL_INSTANTIATE(double);
REEL_INSTANTIATE(Dual);
#undef REEL_INSTANTIATE

}  // namespace reel::kernels
