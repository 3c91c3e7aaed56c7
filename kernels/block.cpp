#include "kernels/block.h"

#include <algorithm>
#include <cstdlib>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace reel::kernels::detail {

void* allocate_block(std::size_t bytes) {
  constexpr std::size_t line = 64;
  constexpr std::size_t huge_page = std::size_t{2} << 20;
  const std::size_t alignment = bytes >= huge_page ? huge_page : line;
  // aligned_alloc wants a multiple of the alignment.
  const std::size_t size = std::max((bytes + alignment - 1) / alignment * alignment, line);
  void* memory = size < bytes ? nullptr : std::aligned_alloc(alignment, size);
  if (memory == nullptr) throw std::bad_alloc();
#if defined(__linux__)
  if (alignment == huge_page) ::madvise(memory, size, MADV_HUGEPAGE);  // advice: not taken, nothing is lost
#endif
  return memory;
}

void free_block(void* memory) { std::free(memory); }

}  // namespace reel::kernels::detail
