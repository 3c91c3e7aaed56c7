#include "kernels/optimizer.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <limits>
#include <type_traits>

#include "kernels/adam_loop.h"
#include "kernels/float_math.h"
#include "kernels/flush_subnormals.h"
#include "kernels/lanes.h"
#include "kernels/parallel.h"

namespace reel::kernels {
namespace {

constexpr std::int64_t norm_chunk = 4096, norm_unit = 256;
constexpr std::int64_t norm_parts = 256;
constexpr float largest_float = std::numeric_limits<float>::max();

// Runs body(first, count) on stretches of [0, n). `bytes` is what one element moves through memory. A stretch
// that a thread takes over from another comes out of that one's cache, four arrays of it, and did so again in
// the next step: of a small model they are short. Long ones read memory faster.
template <class Body>
void for_stretches(std::int64_t n, double bytes, Body body) {
  const std::int64_t stretch = std::clamp<std::int64_t>(n / 32 / 4096 * 4096, 4096, 16384);
  parallel_stretches(n, stretch, static_cast<double>(n) * bytes, body);
}

// The same for a body that updates weights. What an optimizer remembers of one that gets no gradient any more
// shrinks step by step. It would end as a subnormal number, which rounding keeps from ever reaching 0: a
// training of small layers with ReLU came to take twice as long. To look for these numbers takes a sixth of
// the time of Adam.
template <class Body>
void update_in_stretches(std::int64_t n, double bytes, Body body) {
  for_stretches(n, bytes, [=](std::int64_t first, std::int64_t count) {
    const FlushSubnormals flush;
    body(first, count);
  });
}

// The largest |g| with (1 - decay) g^2 a float. A little below, because both products round.
float gradient_limit(double share) {
  const double limit = std::sqrt(static_cast<double>(largest_float) / share) * (1 - 1e-6);
  return limit < static_cast<double>(largest_float) ? static_cast<float>(limit) : largest_float;
}

inline float limited(float x, float limit) {
  const float low = x < -limit ? -limit : x;
  return low > limit ? limit : low;
}

// decay v + share g^2, at most `most`, which is the largest float; NaN stays. It comes from the caller
// because of a constant g++ makes a case apart, with choices of its own up to the square root of it.
inline float averaged_square(float v, float g, float decay, float share, float most) {
  const float sum = decay * v + share * g * g;
  return most < sum ? most : sum;
}

double sum_of_squares(const float* x, std::int64_t n) {
  return sum_of<double>(0, n, [x](std::int64_t i) {
    const double value = static_cast<double>(x[i]);
    return value * value;
  });
}

// The same of up to norm_chunk, a multiple of norm_unit, of which turning floats into doubles is most of the
// work: eight squares each are added up as floats first. Where these vanish or overflow, all of it is done in
// doubles.
double sum_of_squares_by_eight(const float* x, std::int64_t n) {
  const std::int64_t cols = n / 8;
  const double sum = sum_of<double>(0, cols, [=](std::int64_t i) {
    float squares = 0;
    for (std::int64_t r = 0; r < 8; ++r) squares = fma(x[r * cols + i], x[r * cols + i], squares);
    return static_cast<double>(squares);
  });
  constexpr double least = 1e-25;  // all 4096 squares that are no normal floats are not a billionth of it
  return sum >= least && sum <= static_cast<double>(largest_float) ? sum : sum_of_squares(x, n);
}

struct RmspropNumbers {
  float factor, rate, alpha, share, epsilon, decay, momentum, limit, most;
};

// The arrays are arguments, because only there g++ believes that they do not overlap.
template <bool centered, bool with_memory>
void rmsprop_loop(float* __restrict__ w, const float* __restrict__ g, float* __restrict__ v,
                  float* __restrict__ a, float* __restrict__ m, std::int64_t n, const RmspropNumbers c) {
  for (std::int64_t i = 0; i < n; ++i) {
    const float slope = limited(c.factor * g[i] + c.decay * w[i], c.limit);
    const float second_moment = averaged_square(v[i], slope, c.alpha, c.share, c.most);
    v[i] = second_moment;
    float spread = second_moment;
    if constexpr (centered) {
      const float first_moment = c.alpha * a[i] + c.share * slope;
      a[i] = first_moment;
      // A variance: rounding alone can make the difference negative.
      spread = second_moment - first_moment * first_moment;
      spread = spread > 0 ? spread : 0.0F;
    }
    float move = slope / (std::sqrt(spread) + c.epsilon);
    if constexpr (with_memory) {
      move += c.momentum * m[i];
      m[i] = move;
    }
    w[i] -= c.rate * move;
  }
}

}  // namespace

double squared_norm(const float* x, std::int64_t n) {
  // At most 256 parts of whole chunks, so that they fit the stack; which parts there are follows from n
  // alone.
  const std::int64_t chunks = (n + norm_chunk - 1) / norm_chunk;
  const std::int64_t part_size = (chunks + norm_parts - 1) / norm_parts * norm_chunk;
  if (n <= 0) return 0;
  const std::int64_t parts = (n + part_size - 1) / part_size;
  double sums[norm_parts];
  parallel_for(parts, static_cast<double>(n) * 4, [&](std::int64_t part) {
    const std::int64_t last = std::min(n, (part + 1) * part_size);
    std::int64_t i = part * part_size;
    double sum = 0;
    for (std::int64_t count; i + norm_unit <= last; i += count) {
      count = std::min(norm_chunk, (last - i) / norm_unit * norm_unit);
      sum += sum_of_squares_by_eight(x + i, count);
    }
    sums[part] = sum + sum_of_squares(x + i, last - i);
  });
  double total = 0;
  for (std::int64_t part = 0; part < parts; ++part) total += sums[part];
  return total;
}

bool all_finite(const float* x, std::int64_t n) {
  std::atomic<bool> finite{true};
  for_stretches(n, 4, [&](std::int64_t first, std::int64_t count) {
    constexpr std::uint32_t exponent = 0x7F800000U;
    std::uint32_t bad = 0;
    for (std::int64_t i = first; i < first + count; ++i) {
      bad |= (std::bit_cast<std::uint32_t>(x[i]) & exponent) == exponent ? 1U : 0U;
    }
    if (bad != 0) finite.store(false, std::memory_order_relaxed);
  });
  return finite.load();
}

void scale(float* x, std::int64_t n, double factor) {
  const auto f = static_cast<float>(factor);
  for_stretches(n, 8, [=](std::int64_t first, std::int64_t count) {
    for (std::int64_t i = first; i < first + count; ++i) x[i] *= f;
  });
}

void clamp(float* x, std::int64_t n, double limit) {
  const auto most = static_cast<float>(limit);
  for_stretches(n, 8, [=](std::int64_t first, std::int64_t count) {
    for (std::int64_t i = first; i < first + count; ++i) x[i] = limited(x[i], most);
  });
}

void sgd(float* w, const float* g, float* m, std::int64_t n, const SgdRule& rule, std::int64_t step,
         double scale) {
  const auto rate = static_cast<float>(rule.learning_rate);
  const auto decay = static_cast<float>(rule.weight_decay);
  const auto factor = static_cast<float>(scale);
  if (rule.momentum == 0) {
    update_in_stretches(n, 12, [=](std::int64_t first, std::int64_t count) {
      float* __restrict__ weight = w + first;
      const float* __restrict__ gradient = g + first;
      for (std::int64_t i = 0; i < count; ++i) weight[i] -= rate * (factor * gradient[i] + decay * weight[i]);
    });
    return;
  }
  // In the first step there is no memory to damp: it starts as the gradient.
  const float keep = step <= 1 ? 0.0F : static_cast<float>(rule.momentum);
  const float share = step <= 1 ? 1.0F : static_cast<float>(1 - rule.dampening);
  const float from_gradient = rule.nesterov ? 1.0F : 0.0F;
  const float from_memory = rule.nesterov ? static_cast<float>(rule.momentum) : 1.0F;
  update_in_stretches(n, 20, [=](std::int64_t first, std::int64_t count) {
    float* __restrict__ weight = w + first;
    float* __restrict__ memory = m + first;
    const float* __restrict__ gradient = g + first;
    for (std::int64_t i = 0; i < count; ++i) {
      const float slope = factor * gradient[i] + decay * weight[i];
      const float next = keep * memory[i] + share * slope;
      memory[i] = next;
      weight[i] -= rate * (from_gradient * slope + from_memory * next);
    }
  });
}

AdamCorrection adam_correction(const AdamRule& rule, std::int64_t step) {
  const auto t = static_cast<double>(step);
  return {1 - std::pow(rule.beta1, t), 1 - std::pow(rule.beta2, t)};
}

void adam(float* w, const float* g, float* m, float* v, std::int64_t n, const AdamRule& rule,
          const AdamCorrection& correction, double scale) {
  const double second = std::sqrt(correction.second);
  const double rate = rule.learning_rate / correction.first * second;
  using Numbers = detail::AdamNumbers;
  // A rate above 1, too, has to be finite over the square of epsilon.
  const double least = Numbers::least * std::sqrt(std::max(rate, 1.0));
  const Numbers c = {
      .scale = static_cast<float>(scale),
      .pull = static_cast<float>(rule.weight_decay),
      .limit = Numbers::most,
      .beta1 = static_cast<float>(rule.beta1),
      .share1 = static_cast<float>(1 - rule.beta1),
      .beta2 = static_cast<float>(rule.beta2),
      .share2 = static_cast<float>(1 - rule.beta2),
      .rate = static_cast<float>(rate),
      .epsilon = static_cast<float>(std::clamp<double>(rule.epsilon * second, least, Numbers::most)),
      .keep = static_cast<float>(1 - rule.learning_rate * rule.weight_decay),
  };
  update_in_stretches(n, 28, [=](std::int64_t first, std::int64_t count) {
    const auto run = [&](const auto& loop) { loop.run(w + first, g + first, m + first, v + first, count); };
    rule.decoupled ? run(detail::AdamLoop<true>(c)) : run(detail::AdamLoop<false>(c));
  });
}

void rmsprop(float* w, const float* g, float* v, float* a, float* m, std::int64_t n, const RmspropRule& rule,
             double scale) {
  const RmspropNumbers c = {
      .factor = static_cast<float>(scale),
      .rate = static_cast<float>(rule.learning_rate),
      .alpha = static_cast<float>(rule.alpha),
      .share = static_cast<float>(1 - rule.alpha),
      // Where there never was a gradient, nothing else keeps 0 / 0 away, and a subnormal sum is 0.
      .epsilon = std::max(static_cast<float>(rule.epsilon), std::numeric_limits<float>::min()),
      .decay = static_cast<float>(rule.weight_decay),
      .momentum = static_cast<float>(rule.momentum),
      // The square of the averaged gradient has no small factor in front.
      .limit = gradient_limit(rule.centered ? 1 : 1 - rule.alpha),
      .most = largest_float,
  };
  const auto run = [&](auto centered, auto with_memory) {
    const double bytes = 20 + (centered ? 8 : 0) + (with_memory ? 8 : 0);
    update_in_stretches(n, bytes, [=](std::int64_t first, std::int64_t count) {
      rmsprop_loop<centered, with_memory>(w + first, g + first, v + first, centered ? a + first : nullptr,
                                          with_memory ? m + first : nullptr, count, c);
    });
  };
  const std::true_type yes;
  const std::false_type no;
  if (rule.centered) {
    rule.momentum != 0 ? run(yes, yes) : run(yes, no);
  } else {
    rule.momentum != 0 ? run(no, yes) : run(no, no);
  }
}

}  // namespace reel::kernels
