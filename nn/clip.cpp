#include "nn/clip.h"

#include <algorithm>
#include <cmath>

#include "kernels/optimizer.h"
#include "nn/check.h"

namespace reel::nn {
namespace {

// Calls body(offset, count) for all stretches with gradients.
template <class Body>
void for_gradients(const ParameterBlock& block, Body body) {
  for_gradient_runs(
      block, [](std::size_t, std::size_t) { return true; },
      [&](std::size_t, std::size_t, std::int64_t offset, std::int64_t count) { body(offset, count); });
}

}  // namespace

double gradient_norm(const ParameterBlock& block, const ParameterFilter& counts) {
  double sum = 0;
  const auto wanted = [&](std::size_t i) { return !counts || counts(i); };
  const auto alike = [&](std::size_t a, std::size_t b) { return wanted(a) == wanted(b); };
  for_gradient_runs(block, alike,
                    [&](std::size_t first, std::size_t, std::int64_t offset, std::int64_t count) {
                      if (wanted(first)) sum += kernels::squared_norm(block.gradients() + offset, count);
                    });
  return std::sqrt(sum);
}

std::int64_t first_non_finite_gradient(const ParameterBlock& block, const ParameterFilter& counts) {
  for (std::size_t i = 0; i < block.count(); ++i) {
    const ParameterBlock::Entry& e = block.entry(i);
    if (e.has_gradient && (!counts || counts(i)) &&
        !kernels::all_finite(block.gradients() + e.offset, e.size())) {
      return static_cast<std::int64_t>(i);
    }
  }
  return -1;
}

double clip_factor(double norm, double max_norm) { return std::min(1.0, max_norm / (norm + 1e-6)); }

double clip_grad_norm(ParameterBlock& block, double max_norm, Place where) {
  check_positive(max_norm, {"clip_grad_norm", "max_norm", where});
  const double norm = gradient_norm(block);
  const double factor = clip_factor(norm, max_norm);
  if (!std::isfinite(norm) || factor == 1) return norm;
  for_gradients(block, [&](std::int64_t offset, std::int64_t count) {
    kernels::scale(block.gradients() + offset, count, factor);
  });
  return norm;
}

void clip_grad_value(ParameterBlock& block, double limit, Place where) {
  check_positive_float(limit, {"clip_grad_value", "limit", where});
  for_gradients(block, [&](std::int64_t offset, std::int64_t count) {
    kernels::clamp(block.gradients() + offset, count, limit);
  });
}

}  // namespace reel::nn
