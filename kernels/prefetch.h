#pragma once

#include <cstdint>
#include <limits>

// Memory that a kernel will need soon, asked for beside the arithmetic of a loop, so that nobody waits for
// it.

namespace reel::kernels {

/// Lines of memory, so many bytes from each to the next.
struct Lines {
  const char* first;
  std::int64_t count;
  std::int64_t step;
};

/// Walks over lines, as many in each: those of the first, the number of walks, and the bytes from each to the
/// next.
struct Walks {
  Lines lines;
  std::int64_t count;
  std::int64_t step;
};

/// Part of a matrix as it lies in memory.
template <class T>
struct Piece {
  const T* data = nullptr;
  std::int64_t rows = 0, columns = 0, stride = 0;

  /// Share i of n equal ones: some of its rows, or none.
  Piece share(std::int64_t i, std::int64_t n) const {
    const std::int64_t first = rows * i / n;
    return {data + first * stride, rows * (i + 1) / n - first, columns, stride};
  }

  /// Its lines: along the rows or down the columns, whichever turns less often.
  Walks walks() const {
    constexpr std::int64_t size = sizeof(T), line = 64;
    const auto* const first = reinterpret_cast<const char*>(data);
    const std::int64_t row_step = stride * size;
    // Rows that begin within a line may reach into one more.
    const bool aligned =
        (reinterpret_cast<std::uintptr_t>(data) | static_cast<std::uintptr_t>(row_step)) % line == 0;
    const std::int64_t lines = (columns * size + line - 1 + (aligned ? 0 : line - size)) / line;
    if (rows == 0 || columns == 0) return {};
    if (lines > rows) return {{first, lines, line}, rows, row_step};
    return {{first, rows, row_step}, lines, line};
  }
};

/// Asks for lines of memory one at a time, as a loop goes on: more of them at once than a processor can have
/// under way keep its loads waiting. They come into the second cache.
template <int most>
class Prefetcher {
 public:
  /// Puts these behind the others, `most` at most; before the first ask().
  void add(const Walks& walks) {
    if (walks.count > 0) all_[count_++] = walks;
  }

  /// Asks for the next line, or behind the last for nothing.
  // g++ drops the call of a function that does nothing but prefetch, so it is always inlined.
  [[gnu::always_inline]] void ask() {
    if (left_ == 0) [[unlikely]]
      begin_walk();
    __builtin_prefetch(at_, 0, 2);
    at_ += step_;
    --left_;
  }

 private:
  void begin_walk() {
    if (now_ == count_) {  // something: a loop that sometimes did not ask would be slower
      static constexpr char nothing = 0;
      at_ = &nothing;
      step_ = 0;
      left_ = std::numeric_limits<std::int64_t>::max();
      return;
    }
    const Walks& walks = all_[now_];
    at_ = walks.lines.first + walk_ * walks.step;
    left_ = walks.lines.count;
    step_ = walks.lines.step;
    if (++walk_ == walks.count) {
      walk_ = 0;
      ++now_;
    }
  }

  const char* at_ = nullptr;
  std::int64_t left_ = 0, step_ = 0;
  std::int64_t walk_ = 0;
  int count_ = 0, now_ = 0;
  Walks all_[most];
};

}  // namespace reel::kernels
