#include "kernels/peak.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <vector>

#include "kernels/parallel.h"
#include "kernels/simd.h"

namespace reel::kernels {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// The threads setting, put back at the end.
class WithThreads {
 public:
  explicit WithThreads(int count) : before_(threads()) { set_threads(count); }
  ~WithThreads() { set_threads(before_); }
  WithThreads(const WithThreads&) = delete;
  WithThreads& operator=(const WithThreads&) = delete;

 private:
  int before_;
};

constexpr int chains = 16;  // independent, to hide the latency of a multiply-add
constexpr int steps = 200'000;

float multiply_add_chains() {
  using S = Simd<float>;
  S::Vector x[chains];
#pragma GCC unroll 16
  for (int i = 0; i < chains; ++i) x[i] = S::all(1.0f + static_cast<float>(i));
  const S::Vector a = S::all(0.999f);
  const S::Vector b = S::all(0.001f);
  for (int s = 0; s < steps; ++s) {
#pragma GCC unroll 16
    for (int i = 0; i < chains; ++i) {
      x[i] = S::fma(x[i], a, b);
      keep(x[i]);
    }
  }
  float sum = 0;
#pragma GCC unroll 16
  for (int i = 0; i < chains; ++i) sum += x[i][0];
  return sum;
}

}  // namespace

double measure_peak(int count) {
  const WithThreads setting(count);
  double best = 0;
  std::vector<float> sink(static_cast<std::size_t>(count));
  for (int round = 0; round < 5; ++round) {
    const auto start = Clock::now();
    parallel_for(count, 1e12,
                 [&](std::int64_t i) { sink[static_cast<std::size_t>(i)] = multiply_add_chains(); });
    best = std::max(best, 2.0 * Simd<float>::lanes * chains * steps * count / seconds_since(start));
  }
  return best;
}

double measure_bandwidth(int count) {
  const WithThreads setting(count);
  constexpr std::size_t bytes = std::size_t{128} << 20;  // far more than caches hold
  const std::vector<char> from(bytes, 1);
  std::vector<char> to(bytes);
  constexpr std::int64_t parts = 64;
  double best = 0;
  for (int round = 0; round < 4; ++round) {
    const auto start = Clock::now();
    parallel_for(parts, 1e12, [&](std::int64_t i) {
      constexpr std::size_t part = bytes / parts;
      std::memcpy(to.data() + static_cast<std::size_t>(i) * part,
                  from.data() + static_cast<std::size_t>(i) * part, part);
    });
    best = std::max(best, 2.0 * static_cast<double>(bytes) / seconds_since(start));
  }
  return best;
}

}  // namespace reel::kernels
