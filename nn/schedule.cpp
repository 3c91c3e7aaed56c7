#include "nn/schedule.h"

#include <algorithm>
#include <cmath>

#include "nn/check.h"

namespace reel::nn {
namespace {

constexpr double pi = 3.14159265358979323846;

// From a at share 0 to b at share 1, with a horizontal start and end.
double along_cosine(double a, double b, double share) {
  const double c = 0.5 * (1 + std::cos(pi * share));
  return a * c + b * (1 - c);  // exact at both ends
}
double along_line(double a, double b, double share) { return a + (b - a) * share; }

void check_rate(double rate, const char* owner, Place where) {
  check_not_negative_float(rate, {owner, "learning_rate", where});
}
void check_share(double value, const Field& field) {
  if (!(value >= 0 && value <= 1)) refuse(value, field, "is not in [0, 1]");
}

}  // namespace

double Schedule::operator()(std::int64_t step) const {
  const std::int64_t t = std::max<std::int64_t>(step, 0);
  if (kind_ == Kind::step_decay) return rate_ * std::pow(gamma_, static_cast<double>(t / length_));
  const auto now = static_cast<double>(t);
  if (now < peak_) {
    const double share = now / peak_;
    return kind_ == Kind::one_cycle && !linear_ ? along_cosine(start_, rate_, share)
                                                : along_line(start_, rate_, share);
  }
  if (length_ == 0) return rate_;
  const double last =
      kind_ == Kind::one_cycle ? static_cast<double>(length_) - 1 : static_cast<double>(length_);
  // One cycle may end at its peak, and stays there.
  if (kind_ == Kind::one_cycle && peak_ > 0 && (now == peak_ || peak_ >= last)) return rate_;
  if (now >= last) return end_;
  const double share = (now - peak_) / (last - peak_);
  return linear_ ? along_line(rate_, end_, share) : along_cosine(rate_, end_, share);
}

Schedule Schedule::constant(double learning_rate, Place where) {
  check_rate(learning_rate, "Schedule::constant", where);
  Schedule s;
  s.rate_ = learning_rate;
  return s;
}

Schedule Schedule::linear_warmup(const WarmupOptions& options, Place where) {
  constexpr const char* owner = "Schedule::linear_warmup";
  check_rate(options.learning_rate, owner, where);
  check_at_least(options.warmup_steps, 0, {owner, "warmup_steps", where});
  check_share(options.start_factor, {owner, "start_factor", where});
  Schedule s;
  s.rate_ = options.learning_rate;
  s.start_ = options.learning_rate * options.start_factor;
  s.peak_ = static_cast<double>(options.warmup_steps);
  return s;
}

Schedule Schedule::cosine(const CosineOptions& options, Place where) {
  constexpr const char* owner = "Schedule::cosine";
  check_rate(options.learning_rate, owner, where);
  check_at_least(options.steps, 1, {owner, "steps", where});
  check_at_least(options.warmup_steps, 0, {owner, "warmup_steps", where});
  if (options.warmup_steps > options.steps) {
    refuse(std::to_string(options.warmup_steps), {owner, "warmup_steps", where}, "is more than all steps");
  }
  check_share(options.start_factor, {owner, "start_factor", where});
  if (!(options.minimum >= 0 && options.minimum <= options.learning_rate)) {
    refuse(options.minimum, {owner, "minimum", where}, "is not between 0 and the learning rate");
  }
  Schedule s;
  s.rate_ = options.learning_rate;
  s.start_ = options.learning_rate * options.start_factor;
  s.end_ = options.minimum;
  s.peak_ = static_cast<double>(options.warmup_steps);
  s.length_ = options.steps;
  return s;
}

Schedule Schedule::step_decay(const StepDecayOptions& options, Place where) {
  constexpr const char* owner = "Schedule::step_decay";
  check_rate(options.learning_rate, owner, where);
  check_at_least(options.every, 1, {owner, "every", where});
  check_share(options.gamma, {owner, "gamma", where});
  Schedule s;
  s.kind_ = Kind::step_decay;
  s.rate_ = options.learning_rate;
  s.gamma_ = options.gamma;
  s.length_ = options.every;
  return s;
}

Schedule Schedule::one_cycle(const OneCycleOptions& options, Place where) {
  constexpr const char* owner = "Schedule::one_cycle";
  check_rate(options.learning_rate, owner, where);
  check_at_least(options.steps, 1, {owner, "steps", where});
  check_share(options.pct_start, {owner, "pct_start", where});
  check_positive_float(options.div_factor, {owner, "div_factor", where});
  check_positive_float(options.final_div_factor, {owner, "final_div_factor", where});
  Schedule s;
  s.kind_ = Kind::one_cycle;
  s.linear_ = options.linear;
  s.rate_ = options.learning_rate;
  s.start_ = options.learning_rate / options.div_factor;
  s.end_ = s.start_ / options.final_div_factor;
  s.peak_ = std::max(0.0, options.pct_start * static_cast<double>(options.steps) - 1);
  s.length_ = options.steps;
  return s;
}

}  // namespace reel::nn
