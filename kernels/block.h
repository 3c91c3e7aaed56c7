#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace reel::kernels {

namespace detail {
void* allocate_block(std::size_t bytes);
void free_block(void* memory);
}  // namespace detail

struct FreeBlock {
  void operator()(void* memory) const { detail::free_block(memory); }
};
/// Memory for numbers, without first values.
template <class T>
using Block = std::unique_ptr<T, FreeBlock>;

/// What `count` elements occupy. Throws std::bad_alloc if that is more than can be counted.
template <class T>
std::size_t bytes_of(std::int64_t count) {
  std::size_t bytes = 0;
  if (__builtin_mul_overflow(static_cast<std::size_t>(count), sizeof(T), &bytes)) throw std::bad_alloc();
  return bytes;
}

/// `count` elements on a boundary of 64 bytes. Large blocks ask for huge pages: they are there sooner when
/// they are first written. Throws std::bad_alloc.
template <class T>
Block<T> make_block(std::int64_t count) {
  return Block<T>(static_cast<T*>(detail::allocate_block(bytes_of<T>(count))));
}

}  // namespace reel::kernels
