#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace reel {

/// Memory that is handed out by moving a mark forward and taken back by moving it to where it was.
///
/// Blocks are 64-byte aligned. While it grows, the arena chains chunks, so that nothing it gave out ever moves; when it
/// is empty again it merges them into one chunk of the high-water size. From then on it never asks the heap.
class Arena {
 public:
  struct Mark {
    std::size_t chunk = 0;
    std::size_t used = 0;
  };

  void* allocate(std::size_t bytes);
  template <class T>
  T* allocate(std::int64_t count) {
    return static_cast<T*>(allocate(static_cast<std::size_t>(count) * sizeof(T)));
  }

  Mark mark() const { return {current_, chunks_.empty() ? 0 : chunks_[current_].used}; }
  void rewind(Mark mark);

  std::size_t bytes_used() const;      ///< between the start and the mark
  std::size_t bytes_reserved() const;  ///< asked from the heap
  std::size_t high_water() const { return high_water_; }

  /// Fills what is handed out from now on with NaN bit patterns, so that a read before a write shows.
  void poison(bool on) { poison_ = on; }
  bool poisons() const { return poison_; }

 private:
  struct Release {
    void operator()(std::byte* memory) const;
  };
  struct Chunk {
    std::unique_ptr<std::byte, Release> memory;
    std::size_t size = 0;
    std::size_t used = 0;
  };
  static Chunk make_chunk(std::size_t bytes);

  std::vector<Chunk> chunks_;
  std::size_t current_ = 0;
  std::size_t high_water_ = 0;
  bool poison_ = false;
};

}  // namespace reel
