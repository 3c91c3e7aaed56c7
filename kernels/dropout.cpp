#include "kernels/dropout.h"

#include <algorithm>
#include <cstring>

#include "kernels/dual.h"
#include "kernels/parallel.h"

namespace reel::kernels {
namespace {

constexpr std::int64_t task_size = 16384;

// Eight counters at a time. Words are kept in the low halves of 64-bit lanes, because that is where a product
// needs them.
using Lanes [[gnu::vector_size(64)]] = std::uint64_t;
using Narrow [[gnu::vector_size(32)]] = std::uint32_t;

constexpr std::uint64_t low_half = 0xFFFFFFFF;

// Vectors go by reference: by value, their calling convention depends on the processor that is compiled for.
inline void put(const Lanes& words, std::uint32_t* to) {
  const Narrow low = __builtin_convertvector(words, Narrow);
  std::memcpy(to, &low, sizeof(low));
}

template <class T>
inline void apply(const T* __restrict__ x, const std::uint32_t* word, std::uint32_t threshold, T scale,
                  std::int64_t n, Into<T> y, std::int64_t first) {
  T* __restrict__ to = y.data + first;
  const T zero = T(0);
  // Written as a choice and not as a product with 0: what is dropped is 0 even where x is not finite.
  if (y.add) {
    for (std::int64_t i = 0; i < n; ++i) to[i] += word[i] >= threshold ? x[i] * scale : zero;
  } else {
    for (std::int64_t i = 0; i < n; ++i) to[i] = word[i] >= threshold ? x[i] * scale : zero;
  }
}

}  // namespace

void DropoutMask::words(std::int64_t chunk, std::uint32_t* to) const {
  // The products of one chain wait for each other, so four chains run side by side.
  constexpr int chains = 4;
  constexpr int span_of_chain = 32;
  static_assert(chains * span_of_chain == span);
  const Lanes iota = {0, 1, 2, 3, 4, 5, 6, 7};
  Lanes c0[chains];
  Lanes c1[chains];
  Lanes c2[chains];
  Lanes c3[chains];
  for (int h = 0; h < chains; ++h) {
    const Lanes counter = iota + static_cast<std::uint64_t>(chunk * (span / 4) + 8 * h);
    c0[h] = counter;
    c1[h] = counter >> 32;
    c2[h] = Lanes{} + step_;
    c3[h] = Lanes{} + (step_ >> 32);
  }
  std::uint32_t k0 = random_.key()[0];
  std::uint32_t k1 = random_.key()[1];
  for (int round = 0; round < 10; ++round) {
    for (int h = 0; h < chains; ++h) {
      const Lanes a = (c0[h] & low_half) * std::uint64_t{0xD2511F53};
      const Lanes b = (c2[h] & low_half) * std::uint64_t{0xCD9E8D57};
      c0[h] = (b >> 32) ^ c1[h] ^ k0;
      c1[h] = b;
      c2[h] = (a >> 32) ^ c3[h] ^ k1;
      c3[h] = a;
    }
    k0 += 0x9E3779B9U;
    k1 += 0xBB67AE85U;
  }
  for (int h = 0; h < chains; ++h) {
    put(c0[h], to + span_of_chain * h);
    put(c1[h], to + span_of_chain * h + 8);
    put(c2[h], to + span_of_chain * h + 16);
    put(c3[h], to + span_of_chain * h + 24);
  }
}

template <class T>
void dropout(const T* x, std::int64_t n, const DropoutMask& mask, Into<T> y) {
  if (!y) return;
  const std::int64_t tasks = (n + task_size - 1) / task_size;
  const double cost = static_cast<double>(n) * 8;
  parallel_for(tasks, cost, [&](std::int64_t task) {
    constexpr std::int64_t span = DropoutMask::span;
    std::uint32_t words[span];
    const T scale = T(mask.scale());
    const std::int64_t end = std::min(n, (task + 1) * task_size);
    for (std::int64_t first = task * task_size; first < end; first += span) {
      mask.words(first / span, words);
      apply(x + first, words, mask.threshold(), scale, std::min(span, end - first), y, first);
    }
  });
}

template <class T>
void dropout_factors(const DropoutMask& mask, std::int64_t first, std::int64_t count, T* factors) {
  constexpr std::int64_t span = DropoutMask::span;
  std::uint32_t words[span];
  const T scale = T(mask.scale());
  const T zero = T(0);
  for (std::int64_t i = first; i < first + count;) {
    const std::int64_t chunk = i / span;
    const std::int64_t from = i - chunk * span;
    const std::int64_t run = std::min(span - from, first + count - i);
    mask.words(chunk, words);
    for (std::int64_t j = 0; j < run; ++j) {
      factors[i - first + j] = words[from + j] >= mask.threshold() ? scale : zero;
    }
    i += run;
  }
}

#define REEL_DROPOUT(T)                                                          \
  template void dropout<T>(const T*, std::int64_t, const DropoutMask&, Into<T>); \
  template void dropout_factors<T>(const DropoutMask&, std::int64_t, std::int64_t, T*);
REEL_DROPOUT(float)
REEL_DROPOUT(double)
REEL_DROPOUT(Dual)
#undef REEL_DROPOUT

}  // namespace reel::kernels
