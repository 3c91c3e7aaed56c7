#pragma once

#include <cstdint>
#include <functional>

#include "autograd/parameter.h"
#include "autograd/place.h"

// Limits on gradients. Only parameters count that backward has reached since the last zero_grad.

namespace reel::nn {

/// Which parameters of a block count, by index; an empty one stands for all.
using ParameterFilter = std::function<bool(std::size_t parameter)>;

/// The Euclidean norm of all gradients together, in double; NaN or inf if a gradient is not finite.
double gradient_norm(const ParameterBlock& block, const ParameterFilter& counts = nullptr);

/// Index of the first parameter whose gradient is not finite; -1 if there is none.
std::int64_t first_non_finite_gradient(const ParameterBlock& block, const ParameterFilter& counts = nullptr);

/// Multiplies all gradients by min(1, max_norm / (norm + 1e-6)) and returns the norm they had (PyTorch's
/// clip_grad_norm_). Gradients whose norm is not finite are left as they are. Throws ValueError unless
/// max_norm > 0. An optimizer's clip_norm does the same without a pass over memory, for what it moves.
double clip_grad_norm(ParameterBlock& block, double max_norm, Place where = Place::here());

/// The factor that clip_grad_norm multiplies by.
double clip_factor(double norm, double max_norm);

/// Limits every gradient to [-limit, limit] (PyTorch's clip_grad_value_). Throws ValueError unless limit > 0,
/// and finite, as a float.
void clip_grad_value(ParameterBlock& block, double limit, Place where = Place::here());

/// Calls body(first, last, offset, count) for the longest stretches [first, last) of parameters that all have
/// a gradient and, from one to the next, are together(i, i + 1); offset and count say where they lie in the
/// block. The gaps between parameters belong to them: they hold zeros.
template <class Together, class Body>
void for_gradient_runs(const ParameterBlock& block, Together together, Body body) {
  const std::size_t count = block.count();
  for (std::size_t first = 0; first < count;) {
    std::size_t last = first + 1;
    if (block.entry(first).has_gradient) {
      while (last < count && block.entry(last).has_gradient && together(last - 1, last)) ++last;
      const std::int64_t begin = block.entry(first).offset;
      const std::int64_t end = block.entry(last - 1).offset + block.entry(last - 1).size();
      body(first, last, begin, end - begin);
    }
    first = last;
  }
}

}  // namespace reel::nn
