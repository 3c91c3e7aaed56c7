#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "autograd/place.h"

namespace reel::nn {

struct SamplerOptions {
  double temperature = 1;  ///< logits are divided by it; 0 takes the largest
  std::int64_t top_k = 0;  ///< choose among the k largest; 0: all
  double top_p = 1;  ///< choose among the fewest that have this probability together (Holtzman et al. 2020)
  std::uint64_t seed = 1;
};

/// Chooses tokens. The choice at a position follows from the seed, the position and the logits alone.
class Sampler {
 public:
  /// Throws ValueError for a temperature that is negative or not finite, a negative top_k, or a top_p outside
  /// (0, 1].
  explicit Sampler(const SamplerOptions& options, Place place = Place::here());

  /// The token at this position. Of equal logits the first counts as larger. Throws ValueError if no logit is
  /// larger than -inf or if one is NaN.
  std::int32_t operator()(std::span<const float> logits, std::uint64_t position, Place place = Place::here());

  /// The probabilities it chose by, of all tokens, in the order of the tokens.
  const std::vector<double>& probabilities() const { return probabilities_; }

 private:
  SamplerOptions options_;
  std::vector<double> probabilities_;
  std::vector<std::int32_t> order_;
};

}  // namespace reel::nn
