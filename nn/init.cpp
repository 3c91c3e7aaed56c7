#include "nn/init.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "autograd/error.h"
#include "kernels/parallel.h"
#include "kernels/philox.h"
#include "nn/check.h"

namespace reel::nn::init {
namespace {

kernels::Philox numbers_for(const Parameter& p, Seed seed) {
  return kernels::Philox(seed.value, kernels::stream_of(p.name()));
}

struct Fans {
  double in, out;
};

Fans fans_of(const Parameter& p, Place place) {
  const Shape& shape = p.shape();
  if (shape.rank() < 2) {
    throw ShapeError(
        place, at(place, "init: \"" + p.name() + "\" has shape " + to_string(shape) + ", and no fans") +
                   help_line("fans need at least two dimensions, [out, in]; use normal() or uniform()"));
  }
  const auto field = static_cast<double>(shape.product(2, shape.rank()));
  // Without elements, one instead of none: so there is no division by 0.
  const auto fan = [&](std::int64_t size) { return std::max(1.0, static_cast<double>(size) * field); };
  return {fan(shape[1]), fan(shape[0])};
}

void check_normal(double mean, double deviation, const char* owner, Place place) {
  check_finite_float(mean, {owner, "mean", place});
  check_not_negative_float(deviation, {owner, "deviation", place});
}

// Runs fill(first index, numbers) on stretches of an even length. `cost` is that of one number, in simple
// operations: the matrices of a large model are worth several threads.
template <class Fill>
void fill_stretches(std::span<float> values, double cost, Fill fill) {
  constexpr std::int64_t stretch = 8192;
  const auto size = static_cast<std::int64_t>(values.size());
  kernels::parallel_stretches(
      size, stretch, cost * static_cast<double>(size), [&](std::int64_t first, std::int64_t count) {
        fill(static_cast<std::uint64_t>(first),
             values.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)));
      });
}

}  // namespace

void constant(Parameter p, double value) {
  for (float& v : p.values()) v = static_cast<float>(value);
}

void uniform(Parameter p, Seed seed, double low, double high, Place place) {
  check_finite_float(low, {"uniform", "low", place});
  check_finite_float(high, {"uniform", "high", place});
  if (low > high) refuse(low, {"uniform", "low", place}, "is not at most high = " + short_number(high));
  const kernels::Philox numbers = numbers_for(p, seed);
  fill_stretches(p.values(), 100, [&](std::uint64_t i, std::span<float> values) {
    for (float& v : values) v = static_cast<float>(low + (high - low) * numbers.uniform(i++));
  });
}

void normal(Parameter p, Seed seed, double mean, double deviation, Place place) {
  check_normal(mean, deviation, "normal", place);
  const kernels::Philox numbers = numbers_for(p, seed);
  fill_stretches(p.values(), 300, [&](std::uint64_t first, std::span<float> values) {
    for (std::size_t i = 0; i < values.size(); i += 2) {
      const std::array<double, 2> pair = numbers.normal_pair((first + i) / 2);
      const std::size_t count = std::min<std::size_t>(2, values.size() - i);
      for (std::size_t k = 0; k < count; ++k) values[i + k] = static_cast<float>(mean + deviation * pair[k]);
    }
  });
}

void truncated_normal(Parameter p, Seed seed, double mean, double deviation, double bound, Place place) {
  check_normal(mean, deviation, "truncated_normal", place);
  check_positive(bound, {"truncated_normal", "bound", place});
  const kernels::Philox numbers = numbers_for(p, seed);
  // Every element has its own numbers to try, so that one redrawn element does not move the others. One in
  // three at least is taken, of normal numbers within a bound of 1 or more, and of uniform ones, kept with
  // probability e^(-z^2/2), within a smaller one: there is an end to the tries.
  constexpr std::uint64_t most_tries = 1024;
  const bool narrow = bound < 1;
  std::uint64_t first = 0;
  for (float& v : p.values()) {
    double z = 0;
    for (std::uint64_t i = first; i < first + most_tries; ++i) {
      z = narrow ? bound * (2 * numbers.uniform(2 * i) - 1) : numbers.normal(i);
      if (narrow ? numbers.uniform(2 * i + 1) < std::exp(-z * z / 2) : std::fabs(z) <= bound) break;
    }
    v = static_cast<float>(mean + deviation * z);
    first += most_tries;
  }
}

void kaiming_uniform(Parameter p, Seed seed, double gain, Place place) {
  check_not_negative_float(gain, {"kaiming_uniform", "gain", place});
  const double bound = gain * std::sqrt(3.0 / fans_of(p, place).in);
  uniform(p, seed, -bound, bound, place);
}

void kaiming_normal(Parameter p, Seed seed, double gain, Place place) {
  check_not_negative_float(gain, {"kaiming_normal", "gain", place});
  normal(p, seed, 0, gain / std::sqrt(fans_of(p, place).in), place);
}

void xavier_uniform(Parameter p, Seed seed, double gain, Place place) {
  check_not_negative_float(gain, {"xavier_uniform", "gain", place});
  const Fans fans = fans_of(p, place);
  const double bound = gain * std::sqrt(6.0 / (fans.in + fans.out));
  uniform(p, seed, -bound, bound, place);
}

void xavier_normal(Parameter p, Seed seed, double gain, Place place) {
  check_not_negative_float(gain, {"xavier_normal", "gain", place});
  const Fans fans = fans_of(p, place);
  normal(p, seed, 0, gain * std::sqrt(2.0 / (fans.in + fans.out)), place);
}

void orthogonal(Parameter p, Seed seed, double gain, Place place) {
  check_not_negative_float(gain, {"orthogonal", "gain", place});
  fans_of(p, place);  // refuses vectors
  const auto rows = static_cast<std::size_t>(p.shape()[0]);
  const auto cols = static_cast<std::size_t>(p.shape().product(1, p.shape().rank()));
  const bool tall = rows > cols;
  const std::size_t count = tall ? cols : rows;
  const std::size_t length = tall ? rows : cols;
  const kernels::Philox numbers = numbers_for(p, seed);
  // Gram-Schmidt twice, which is enough for double precision (Giraud, Langou, Rozloznik 2005).
  std::vector<std::vector<double>> basis(count, std::vector<double>(length));
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t j = 0; j < length; ++j) basis[i][j] = numbers.normal(i * length + j);
    for (int round = 0; round < 2; ++round) {
      for (std::size_t k = 0; k < i; ++k) {
        double dot = 0;
        for (std::size_t j = 0; j < length; ++j) dot += basis[i][j] * basis[k][j];
        for (std::size_t j = 0; j < length; ++j) basis[i][j] -= dot * basis[k][j];
      }
    }
    double squares = 0;
    for (const double v : basis[i]) squares += v * v;
    for (double& v : basis[i]) v /= std::sqrt(squares);
  }
  const std::span<float> values = p.values();
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < cols; ++c) {
      values[r * cols + c] = static_cast<float>(gain * (tall ? basis[c][r] : basis[r][c]));
    }
  }
}

}  // namespace reel::nn::init
