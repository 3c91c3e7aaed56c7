#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstring>

#include "autograd/arena.h"

namespace reel {

/// Gradient buffers that are used again as soon as they were consumed.
///
/// Sizes are rounded up to one of four steps per power of two; a free buffer links to the next of its size
/// inside its own memory, so that the pool itself owns nothing.
class GradientPool {
 public:
  void* take(Arena& arena, std::size_t bytes) {
    const std::size_t k = kind(bytes);
    if (Free* first = free_[k]) {
      free_[k] = first->next;
      if (arena.poisons()) std::memset(first, 0xFF, sizeof(Free));  // the rest of it is NaN already
      return first;
    }
    return arena.allocate(rounded(k));
  }
  void give_back(void* buffer, std::size_t bytes) {
    const std::size_t k = kind(bytes);
    free_[k] = ::new (buffer) Free{free_[k]};
  }
  /// Forgets all free buffers: their arena was rewound, or must not be used by what comes now.
  void clear() { free_.fill(nullptr); }

 private:
  struct Free {
    Free* next;
  };

  // Counted in lines of 64 bytes: 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, ...
  static std::size_t kind(std::size_t bytes) {
    const std::size_t lines = bytes == 0 ? 1 : (bytes + 63) / 64;
    if (lines <= 4) return lines;
    const auto log = static_cast<std::size_t>(std::bit_width(lines - 1)) - 1;  // 2^log < lines <= 2^(log+1)
    const std::size_t quarter = (lines - 1) >> (log - 2);                      // 4..7
    return log * 4 + quarter - 7;                                              // 5 -> 5
  }
  static std::size_t rounded(std::size_t k) {
    if (k <= 4) return k * 64;
    const std::size_t log = (k + 3) / 4;
    const std::size_t quarter = k + 7 - log * 4;
    return ((quarter + 1) << (log - 2)) * 64;
  }

  std::array<Free*, 256> free_{};
};

}  // namespace reel
