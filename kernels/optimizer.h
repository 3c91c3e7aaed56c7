#pragma once

#include <cstdint>

// What an optimizer does with a flat block of weights w, gradients g and its own memory, all [n]: one pass
// over memory, vectorised and threaded, the same bits for any number of threads. Numbers that are the same
// for all weights are prepared in double. `scale` multiplies every gradient first: that is how clipping is
// fused.
//
// Squares of gradients do not overflow: a gradient is limited to where its square, as it is averaged, still
// fits a float, and the average stops at the largest float. So 1e30 moves a weight by a bounded step, and its
// average is finite afterwards. Adam limits a gradient to 1.4e14. On x86 what is remembered and smaller than
// the least normal float, 1.2e-38, becomes 0, as does such a weight: with an epsilon of 1e-20, the square of
// a gradient of 1e-19 counts as 0. An epsilon is at least that float, Adam's at least 1.1e-19, the root of
// it, or more in proportion to the root of a learning rate above 1, and at most 1.4e14.

namespace reel::kernels {

/// Sum of x_i^2 to 6 digits or more; large and small squares neither overflow nor vanish. NaN or inf if an
/// x_i is.
double squared_norm(const float* x, std::int64_t n);

/// Whether no x_i is NaN or infinite.
bool all_finite(const float* x, std::int64_t n);

/// x_i *= factor.
void scale(float* x, std::int64_t n, double factor);

/// x_i is set to the nearest number in [-limit, limit]; NaN stays.
void clamp(float* x, std::int64_t n, double limit);

struct SgdRule {
  double learning_rate = 1e-3;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;
  bool nesterov = false;
};
/// g' = scale g + decay w;  m = momentum m + (1 - dampening) g', but m = g' in step 1;
/// w -= rate (g' + momentum m with Nesterov, else m). Without momentum, m may be null and w -= rate g'.
/// (Sutskever et al. 2013, in PyTorch's form.)
void sgd(float* w, const float* g, float* m, std::int64_t n, const SgdRule& rule, std::int64_t step,
         double scale = 1);

struct AdamRule {
  double learning_rate = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;
  bool decoupled = false;  ///< decay shrinks the weight itself (AdamW; Loshchilov, Hutter 2019), not by way
                           ///< of the gradient
};
/// What Adam's averages fall short of in a step, counted from 1, because they begin at 0.
struct AdamCorrection {
  double first = 1;   ///< 1 - b1^step
  double second = 1;  ///< 1 - b2^step
};
AdamCorrection adam_correction(const AdamRule& rule, std::int64_t step);

/// g' = scale g (+ decay w);  m = b1 m + (1 - b1) g';  v = b2 v + (1 - b2) g'^2;
/// w (1 - rate decay) - rate m / first / (sqrt(v) / sqrt(second) + epsilon), with the correction of the step
/// (Kingma, Ba 2015). A weight shares its division with the one 16 behind or before it in its 32, which may
/// change its last bits or 1e-22, and turns NaN with that one's v. At rates below 1e-9 neither may move where
/// both gradients are near 1e14.
void adam(float* w, const float* g, float* m, float* v, std::int64_t n, const AdamRule& rule,
          const AdamCorrection& correction, double scale = 1);

struct RmspropRule {
  double learning_rate = 1e-2;
  double alpha = 0.99;
  double epsilon = 1e-8;
  double weight_decay = 0;
  double momentum = 0;
  bool centered = false;
};
/// g' = scale g + decay w;  v = alpha v + (1 - alpha) g'^2;  a = alpha a + (1 - alpha) g' if centered, else
/// 0; u = g' / (sqrt(v - a^2) + epsilon);  m = momentum m + u;  w -= rate m. (Hinton 2012; centered: Graves
/// 2013.) Without momentum m may be null, uncentered a may be null.
void rmsprop(float* w, const float* g, float* v, float* a, float* m, std::int64_t n, const RmspropRule& rule,
             double scale = 1);

}  // namespace reel::kernels
