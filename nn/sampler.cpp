#include "nn/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "autograd/error.h"
#include "kernels/philox.h"
#include "nn/check.h"

namespace reel::nn {
namespace {

constexpr std::uint64_t sampling_stream = 0x73616D706C65;  // "sample"

[[noreturn]] void refuse_logits(const char* what, Place place) {
  throw ValueError(place, at(place, std::string("sampler: ") + what));
}

}  // namespace

Sampler::Sampler(const SamplerOptions& options, Place place) : options_(options) {
  check_not_negative(options.temperature, {"sampler", "temperature", place});
  if (!std::isfinite(options.temperature))
    refuse(options.temperature, {"sampler", "temperature", place}, "is not finite");
  check_at_least(options.top_k, 0, {"sampler", "top_k", place});
  if (!(options.top_p > 0 && options.top_p <= 1))
    refuse(options.top_p, {"sampler", "top_p", place}, "is not in (0, 1]");
}

std::int32_t Sampler::operator()(std::span<const float> logits, std::uint64_t position, Place place) {
  if (std::any_of(logits.begin(), logits.end(), [](float z) { return std::isnan(z); }))
    refuse_logits("a logit is NaN", place);
  const auto largest = std::max_element(logits.begin(), logits.end());
  if (largest == logits.end() || *largest == -std::numeric_limits<float>::infinity())
    refuse_logits("no logit is larger than -inf", place);
  const auto argmax = static_cast<std::int32_t>(largest - logits.begin());
  probabilities_.assign(logits.size(), 0.0);
  if (options_.temperature == 0 || std::isinf(*largest)) {
    probabilities_[static_cast<std::size_t>(argmax)] = 1;
    return argmax;
  }

  // The candidates, likeliest first, of equals the one with the smaller number.
  order_.resize(logits.size());
  std::iota(order_.begin(), order_.end(), 0);
  std::sort(order_.begin(), order_.end(), [&](std::int32_t a, std::int32_t b) {
    const float za = logits[static_cast<std::size_t>(a)];
    const float zb = logits[static_cast<std::size_t>(b)];
    return za != zb ? za > zb : a < b;
  });
  std::size_t count = order_.size();
  if (options_.top_k > 0) count = std::min(count, static_cast<std::size_t>(options_.top_k));
  const auto weight = [&](std::size_t rank) {
    const double difference =
        static_cast<double>(logits[static_cast<std::size_t>(order_[rank])]) - static_cast<double>(*largest);
    return std::exp(difference / options_.temperature);
  };
  double total = 0;
  for (std::size_t i = 0; i < count; ++i) total += weight(i);
  if (options_.top_p < 1) {
    double sum = 0;
    for (std::size_t i = 0; i < count; ++i) {
      sum += weight(i);
      if (sum >= options_.top_p * total) {
        count = i + 1;
        total = sum;
        break;
      }
    }
  }
  for (std::size_t i = 0; i < count; ++i)
    probabilities_[static_cast<std::size_t>(order_[i])] = weight(i) / total;

  const double u = kernels::Philox(options_.seed, sampling_stream).uniform(position) * total;
  double sum = 0;
  for (std::size_t i = 0; i < count; ++i) {
    sum += weight(i);
    if (u < sum) return order_[i];
  }
  return order_[count - 1];
}

}  // namespace reel::nn
