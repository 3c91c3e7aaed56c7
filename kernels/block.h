#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace reel::kernels {

namespace detail {
struct Allocation {
  void* memory;  // on a boundary of 64 bytes
  void* start;   // what is given back
};
Allocation allocate_block(std::size_t bytes);
Allocation allocate_zeros(std::size_t bytes, int stagger);
void free_block(void* start);
}  // namespace detail

struct FreeBlock {
  void* start = nullptr;
  void operator()(void* /*memory*/) const { detail::free_block(start); }
};
/// Memory for numbers.
template <class T>
using Block = std::unique_ptr<T, FreeBlock>;

/// What `count` elements occupy. Throws std::bad_alloc if that is more than can be counted.
template <class T>
std::size_t bytes_of(std::int64_t count) {
  std::size_t bytes = 0;
  if (__builtin_mul_overflow(static_cast<std::size_t>(count), sizeof(T), &bytes)) throw std::bad_alloc();
  return bytes;
}

/// `count` elements without first values, on a boundary of 64 bytes. Large blocks ask for huge pages: they
/// are there sooner when they are first written. Throws std::bad_alloc.
template <class T>
Block<T> make_block(std::int64_t count) {
  const detail::Allocation a = detail::allocate_block(bytes_of<T>(count));
  return Block<T>(static_cast<T*>(a.memory), FreeBlock{a.start});
}

/// The same, of zeros. Pages of a large block that are never written take no memory. Blocks that a loop goes
/// through side by side want a `stagger` each, 0, 1, 2 ...: then they do not begin at the same place of a
/// page, where a load from one would wait for stores to another.
template <class T>
Block<T> make_zero_block(std::int64_t count, int stagger = 0) {
  const detail::Allocation a = detail::allocate_zeros(bytes_of<T>(count), stagger);
  return Block<T>(static_cast<T*>(a.memory), FreeBlock{a.start});
}

}  // namespace reel::kernels
