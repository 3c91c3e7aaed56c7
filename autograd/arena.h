#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

#include "kernels/block.h"

namespace reel {

/// Memory that is handed out by moving a mark forward and taken back by moving it to where it was.
///
/// Blocks are 64-byte aligned. While it grows, the arena chains chunks, so that nothing it gave out ever
/// moves; when it is empty again it merges them into one chunk of the high-water size. From then on it never
/// asks the heap.
class Arena {
 public:
  struct Mark {
    std::size_t chunk = 0;
    std::size_t used = 0;
  };

  void* allocate(std::size_t bytes) {
    const std::size_t wanted = (bytes + (bytes == 0) + alignment - 1) / alignment * alignment;
    if (wanted > static_cast<std::size_t>(end_ - next_) || wanted < bytes) make_room(bytes);
    std::byte* result = next_;
    next_ += wanted;
    if (poison_) std::memset(result, 0xFF, wanted);
    return result;
  }
  template <class T>
  T* allocate(std::int64_t count) {
    return static_cast<T*>(allocate(kernels::bytes_of<T>(count)));
  }

  Mark mark() const { return {current_, static_cast<std::size_t>(next_ - begin_)}; }
  void rewind(Mark mark) {
    high_water_ = high_water();
    if (chunks_.size() <= 1) {
      next_ = begin_ + mark.used;
    } else {
      rewind_chunks(mark);
    }
  }

  /// Whether this memory is the arena's own.
  bool owns(const void* memory) const {
    const std::less<> before;
    return std::any_of(chunks_.begin(), chunks_.end(), [&](const Chunk& chunk) {
      return !before(memory, chunk.memory.get()) && before(memory, chunk.memory.get() + chunk.size);
    });
  }

  std::size_t bytes_used() const { return before_ + static_cast<std::size_t>(next_ - begin_); }
  std::size_t bytes_reserved() const;  ///< asked from the heap
  std::size_t high_water() const { return std::max(high_water_, bytes_used()); }

  /// Fills what is handed out from now on with NaN bit patterns, so that a read before a write shows.
  void poison(bool on) { poison_ = on; }
  bool poisons() const { return poison_; }

 private:
  struct Chunk {
    kernels::Block<std::byte> memory;
    std::size_t size = 0;
    std::size_t used = 0;  // of a chunk before the current one
  };
  static constexpr std::size_t alignment = 64;
  static Chunk make_chunk(std::size_t bytes);
  void make_room(std::size_t bytes);
  void rewind_chunks(Mark mark);
  void enter(std::size_t chunk, std::size_t used);

  std::vector<Chunk> chunks_;
  std::size_t current_ = 0;
  std::byte* begin_ = nullptr;  // of the current chunk
  std::byte* next_ = nullptr;   // the mark
  std::byte* end_ = nullptr;
  std::size_t before_ = 0;      // used in the chunks before the current one
  std::size_t high_water_ = 0;  // when it was rewound last
  bool poison_ = false;
};

/// Gives back what a scope took of an arena, however the scope ends.
class ArenaScope {
 public:
  explicit ArenaScope(Arena& arena) : arena_(arena), mark_(arena.mark()) {}
  ~ArenaScope() { arena_.rewind(mark_); }
  ArenaScope(const ArenaScope&) = delete;
  ArenaScope& operator=(const ArenaScope&) = delete;

 private:
  Arena& arena_;
  Arena::Mark mark_;
};

}  // namespace reel
