#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/simd.h"

// Adam for a stretch of weights. A root and a quotient for each kept the divider busy all the time: 16
// weights took 18 cycles on an EPYC (Zen 4). So two weights share a division, which has the learning rate in
// it besides, and 16 take 14:
//
//     s = rate / (a b);   rate x / a = x s b;   rate y / b = y s a
//
// These are a weight and the one 16 behind it, however wide vectors are: that decides on their last bits.

namespace reel::kernels::detail {

inline constexpr std::int64_t sharing = 32;  // weights among which divisions are shared

/// What is the same for all weights.
struct AdamNumbers {
  // Epsilon lies between these, and no gradient is above `most`, so that divisors lie between `least` and
  // twice `most`: a rate from 1e-9 to 1 over two of them is then a normal float.
  static constexpr float least = 0x1p-63F, most = 0x1p47F;

  float scale;  // of a gradient
  float pull;   // decay, where it goes by way of the gradient
  float limit;  // of a gradient. From the caller: a constant makes g++ compare and choose, in two steps
  float beta1, share1;  // m = b1 m + (1 - b1) g
  float beta2, share2;  // v = b2 v + (1 - b2) g^2
  float rate, epsilon;  // both times sqrt(1 - b2^step), by which the root of v would have to be divided
  float keep;           // 1 - rate decay, where decay shrinks the weight itself
};

template <bool decoupled>
class AdamLoop {
 public:
  explicit AdamLoop(const AdamNumbers& c)
      : scale_(S::all(c.scale)),
        pull_(S::all(c.pull)),
        limit_(S::all(c.limit)),
        beta1_(S::all(c.beta1)),
        share1_(S::all(c.share1)),
        beta2_(S::all(c.beta2)),
        share2_(S::all(c.share2)),
        rate_(S::all(-c.rate)),
        epsilon_(S::all(c.epsilon)),
        keep_(S::all(c.keep)) {}

  void run(float* w, const float* g, float* m, float* v, std::int64_t n) const {
    std::int64_t i = 0;
    for (; i + sharing <= n; i += sharing) update(w + i, g + i, m + i, v + i);
    if (i == n) return;
    // Zeros share with the last ones: they change nothing but a last bit.
    float last_w[sharing] = {}, last_g[sharing] = {}, last_m[sharing] = {}, last_v[sharing] = {};
    std::copy(w + i, w + n, last_w);
    std::copy(g + i, g + n, last_g);
    std::copy(m + i, m + n, last_m);
    std::copy(v + i, v + n, last_v);
    update(last_w, last_g, last_m, last_v);
    std::copy_n(last_w, n - i, w + i);
    std::copy_n(last_m, n - i, m + i);
    std::copy_n(last_v, n - i, v + i);
  }

 private:
  using S = Simd<float>;
  using V = S::Vector;
  static constexpr int lanes = S::lanes;

  // A weight is to become kept - rate first / divisor.
  struct Move {
    V first, divisor, kept;
  };

  [[gnu::always_inline]] void update(float* w, const float* g, float* m, float* v) const {
    constexpr int half = static_cast<int>(sharing / 2);
#pragma GCC unroll 4
    for (int i = 0; i < half; i += lanes) {
      const int j = i + half;
      const Move a = average(w + i, g + i, m + i, v + i);
      const Move b = average(w + j, g + j, m + j, v + j);
      const V shared = rate_ / (a.divisor * b.divisor);
      S::store(w + i, S::fma(a.first * shared, b.divisor, a.kept));
      S::store(w + j, S::fma(b.first * shared, a.divisor, b.kept));
    }
  }

  [[gnu::always_inline]] Move average(const float* w, const float* g, float* m, float* v) const {
    const V weight = S::load(w);
    V slope = scale_ * S::load(g);
    if constexpr (!decoupled) slope = S::fma(pull_, weight, slope);
    slope = slope < -limit_ ? -limit_ : slope;
    slope = slope > limit_ ? limit_ : slope;
    const V first = S::fma(beta1_, S::load(m), share1_ * slope);
    const V second = S::fma(share2_ * slope, slope, beta2_ * S::load(v));
    S::store(m, first);
    S::store(v, second);
    return {first, S::sqrt(second) + epsilon_, decoupled ? keep_ * weight : weight};
  }

  V scale_, pull_, limit_, beta1_, share1_, beta2_, share2_, rate_, epsilon_, keep_;
};

}  // namespace reel::kernels::detail
