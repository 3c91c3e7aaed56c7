#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "kernels/block.h"
#include "kernels/parallel.h"

namespace reel::kernels {

/// Memory for the tasks of one loop: a piece for each thread that may run them. The caller asks for it before
/// the loop, because a task must not throw. It grows to what its thread ever needed and is then used again.
/// Throws std::bad_alloc.
template <class T>
class Workspace {
 public:
  /// `count` elements for each thread; every piece starts on a boundary of 64 bytes.
  explicit Workspace(std::int64_t count)
      : piece_((count * static_cast<std::int64_t>(sizeof(T)) + line - 1) / line * line), workers_(threads()) {
    std::swap(memory_, idle());
    const std::int64_t wanted = piece_ * workers_;
    if (wanted <= memory_.bytes) return;
    memory_ = {};  // first, so that the two are never there at once
    memory_ = {make_block<std::byte>(wanted), wanted};
  }
  ~Workspace() {
    if (memory_.bytes > idle().bytes) std::swap(memory_, idle());
  }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  /// How many pieces there are: a loop with this memory must have no more workers, also if set_threads was
  /// called since.
  int workers() const { return workers_; }
  /// The piece of a thread: `worker` is what parallel_for gives to a task.
  T* of(int worker) const { return reinterpret_cast<T*>(memory_.data.get() + worker * piece_); }

 private:
  static constexpr std::int64_t line = 64;
  struct Memory {
    Block<std::byte> data;
    std::int64_t bytes = 0;
  };
  // What no loop of this thread uses. A loop takes it along, so that a loop inside it gets memory of its own.
  static Memory& idle() {
    thread_local Memory memory;
    return memory;
  }

  std::int64_t piece_;  // bytes
  int workers_;
  Memory memory_;
};

}  // namespace reel::kernels
