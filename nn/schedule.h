#pragma once

#include <cstdint>

#include "autograd/place.h"

namespace reel::nn {

/// A learning rate as a pure function of the step number, which counts from 0: nothing to save, nothing to
/// fall out of step.
///
///     const auto rate = nn::Schedule::cosine({.learning_rate = 1e-3, .steps = 2000, .warmup_steps = 100});
///     adam.set_learning_rate(rate(step));
///
/// The formulas are those of PyTorch's schedulers. Past its end a schedule keeps its last value. Every maker
/// throws ValueError for an option out of its range.
class Schedule {
 public:
  /// The rate of a step; negative steps count as 0.
  double operator()(std::int64_t step) const;

  static Schedule constant(double learning_rate, Place where = Place::here());

  /// rate (f + (1 - f) min(t, n) / n) for start_factor f and n warmup_steps.
  struct WarmupOptions {
    double learning_rate = 1e-3;
    std::int64_t warmup_steps = 0;
    double start_factor = 1.0 / 3;  ///< share of the rate in step 0
  };
  static Schedule linear_warmup(const WarmupOptions& options, Place where = Place::here());

  /// After the warm-up, min + (rate - min) (1 + cos(pi t / n)) / 2 for step t of n (Loshchilov, Hutter 2017,
  /// without restarts).
  struct CosineOptions {
    double learning_rate = 1e-3;
    std::int64_t steps = 0;  ///< of the whole schedule, warm-up included
    std::int64_t warmup_steps = 0;
    double start_factor = 1.0 / 3;
    double minimum = 0;  ///< the rate from step `steps` on
  };
  static Schedule cosine(const CosineOptions& options, Place where = Place::here());

  /// rate gamma^floor(t / every).
  struct StepDecayOptions {
    double learning_rate = 1e-3;
    std::int64_t every = 1;
    double gamma = 0.1;
  };
  static Schedule step_decay(const StepDecayOptions& options, Place where = Place::here());

  /// From rate / div_factor up to the rate at step pct_start steps - 1, then down to rate / (div_factor
  /// final_div_factor) at step steps - 1, along cosines or lines (Smith, Topin 2018). It begins with the rate
  /// itself where pct_start steps is below 1; PyTorch is on the way down by then.
  struct OneCycleOptions {
    double learning_rate = 1e-3;  ///< the largest
    std::int64_t steps = 0;
    double pct_start = 0.3;  ///< share of the steps in which the rate rises
    double div_factor = 25;
    double final_div_factor = 1e4;
    bool linear = false;
  };
  static Schedule one_cycle(const OneCycleOptions& options, Place where = Place::here());

 private:
  enum class Kind : std::uint8_t { cosine, step_decay, one_cycle };

  // A constant and a warm-up are cosines whose fall never comes.
  Kind kind_ = Kind::cosine;
  bool linear_ = false;
  double rate_ = 0;
  double start_ = 0;  // the first rate
  double end_ = 0;    // the last rate
  double gamma_ = 1;
  double peak_ = 0;          // where the rate is largest, in steps
  std::int64_t length_ = 0;  // all steps, the warm-up included, or from one decay to the next; 0: no end
};

}  // namespace reel::nn
