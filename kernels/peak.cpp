#include "kernels/peak.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <vector>

#include "kernels/matmul_bf16.h"
#include "kernels/matmul_bf16_tiles.h"
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

constexpr int chains =
    vector_registers == 32 ? 16 : 12;  // independent, to hide the latency of a multiply-add
constexpr int steps = 200'000;

// Loops that do nothing else, and return the operations they did; `sink` keeps them from being dropped. Not
// inline: where it was, g++ kept x in memory.
[[gnu::noinline]] double multiply_add_chains(float& sink) {
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
#pragma GCC unroll 16
  for (int i = 0; i < chains; ++i) sink += x[i][0];
  return 2.0 * S::lanes * chains * steps;
}

#if defined(__AVX512F__)
__attribute__((target("avx512f,avx512bf16"))) double dot_product_chains(float& sink) {
  __m512 x[chains];
#pragma GCC unroll 16
  for (int i = 0; i < chains; ++i) x[i] = _mm512_set1_ps(static_cast<float>(i));
  const auto pair = reinterpret_cast<__m512bh>(_mm512_set1_epi32(0x3f803f80));  // two ones
  for (int s = 0; s < steps; ++s) {
#pragma GCC unroll 16
    for (int i = 0; i < chains; ++i) {
      x[i] = _mm512_dpbf16_ps(x[i], pair, pair);
      asm("" : "+v"(x[i]));
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < chains; ++i) sink += x[i][0];
  return 4.0 * Simd<float>::lanes * chains * steps;
}

template <int products_of_pieces>
double tiles(float&) {
  double operations = 0;
  for (int i = 0; i < 200; ++i) operations += bf16::multiply_nothing_but_tiles();
  return operations / products_of_pieces;
}
#endif

auto loop_for([[maybe_unused]] Products products) {
#if defined(__AVX512F__)
  if (has_way(Bf16Way::tiles) && products == Products::bf16x6) return &tiles<6>;
  if (has_way(Bf16Way::tiles) && products == Products::bf16) return &tiles<1>;
  if (products == Products::bf16 && fastest_way() == Bf16Way::pairs) return &dot_product_chains;
#endif
  return &multiply_add_chains;
}

}  // namespace

double measure_peak(int count, Products products) {
  const auto loop = loop_for(products);
  const WithThreads setting(count);
  count = threads();
  double best = 0;
  std::vector<float> sink(static_cast<std::size_t>(count));
  std::vector<double> operations(sink.size());
  // A thread that just woke may share its waker's core for tens of milliseconds.
  const auto begin = Clock::now();
  while (seconds_since(begin) < 0.2) {
    const auto start = Clock::now();
    parallel_for(count, 1e12, [&](std::int64_t task) {
      const auto i = static_cast<std::size_t>(task);
      operations[i] = loop(sink[i]);
    });
    best = std::max(best, operations.front() * count / seconds_since(start));
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
