#pragma once

#include <cstdint>

#include "kernels/into.h"
#include "kernels/philox.h"

namespace reel::kernels {

/// Which elements dropout keeps: element i depends on (seed, stream, step, i) only, so a gradient finds the
/// mask again.
class DropoutMask {
 public:
  /// p in [0, 1) is the probability of a zero; it is rounded down to a multiple of 2^-32.
  DropoutMask(double p, std::uint64_t seed, std::uint64_t stream, std::uint64_t step)
      : random_(seed, stream),
        step_(step),
        threshold_(static_cast<std::uint32_t>(p * 0x1p32)),
        scale_(1 / (1 - p)) {}

  /// Whether element i stays. Eight neighbours take the first words of eight blocks, the next eight the
  /// second words, ...
  bool keeps(std::int64_t i) const {
    const std::int64_t block = i / 32 * 8 + i % 8;
    return random_.block(static_cast<std::uint64_t>(block), step_)[static_cast<std::size_t>(i / 8 % 4)] >=
           threshold_;
  }
  double scale() const { return scale_; }  ///< of what stays: 1 / (1 - p)

  /// Elements per call of words.
  static constexpr std::int64_t span = 128;
  /// The random words of elements [128 chunk, 128 chunk + 128): an element stays if its word is at least the
  /// threshold.
  void words(std::int64_t chunk, std::uint32_t* to) const;
  std::uint32_t threshold() const { return threshold_; }

 private:
  Philox random_;
  std::uint64_t step_;
  std::uint32_t threshold_;
  double scale_;
};

/// y[i] = x[i] / (1 - p) where element i stays, else 0 (Srivastava et al. 2014, scaled in training). x, y
/// [n].
template <class T>
void dropout(const T* x, std::int64_t n, const DropoutMask& mask, Into<T> y);

/// dx[i] (+)= dy[i] / (1 - p) where element i stayed, else 0: the same map, with the same mask.
template <class T>
void dropout_grad(const T* dy, std::int64_t n, const DropoutMask& mask, Into<T> dx) {
  dropout(dy, n, mask, dx);
}

/// factors[j] = 1 / (1 - p) if element first + j stays, else 0, for j in [0, count): for kernels that fuse
/// dropout.
template <class T>
void dropout_factors(const DropoutMask& mask, std::int64_t first, std::int64_t count, T* factors);

}  // namespace reel::kernels
