#include "kernels/block.h"

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
  // Whole lines only: the end of the last huge page would be memory that nobody uses.
  const std::size_t size = bytes + (line - bytes % line) % line;
  void* memory = size < bytes ? nullptr : std::aligned_alloc(alignment, size > 0 ? size : line);
  if (memory == nullptr) throw std::bad_alloc();
#if defined(__linux__)
  // Advice: where it is not taken, nothing is lost.
  if (bytes >= huge_page) ::madvise(memory, size / huge_page * huge_page, MADV_HUGEPAGE);
#endif
  return memory;
}

void free_block(void* memory) { std::free(memory); }

}  // namespace reel::kernels::detail
