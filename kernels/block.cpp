#include "kernels/block.h"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace reel::kernels::detail {
namespace {

constexpr std::size_t line = 64;
constexpr std::size_t page = 4096;
constexpr std::size_t huge_page = std::size_t{2} << 20;

// Blocks whose numbers follow one another lie far apart in a page, and no two of the first 64 in one place.
constexpr std::size_t stagger_step = 17 * line;

void* check(void* memory) {
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

// For the huge pages that lie in it as a whole. It is advice: if it is not taken, nothing is lost.
void ask_for_huge_pages([[maybe_unused]] void* memory, [[maybe_unused]] std::size_t bytes) {
#if defined(__linux__)
  if (std::align(huge_page, huge_page, memory, bytes) == nullptr) return;
  ::madvise(memory, bytes / huge_page * huge_page, MADV_HUGEPAGE);
#endif
}

}  // namespace

Allocation allocate_block(std::size_t bytes) {
  const std::size_t alignment = bytes >= huge_page ? huge_page : line;
  // aligned_alloc wants a multiple of the alignment.
  const std::size_t size = std::max((bytes + alignment - 1) / alignment * alignment, line);
  void* const memory = check(size < bytes ? nullptr : std::aligned_alloc(alignment, size));
  ask_for_huge_pages(memory, size);
  return {memory, memory};
}

// calloc knows which memory comes as zeros from the system and leaves that alone, but aligns to 16 bytes
// only. Processors that compare the low 12 bits of addresses first take a load for one of what a store before
// it is about to write, if these are the same, and wait. Blocks of less than a few pages, which lie anywhere,
// are not worth another page.
Allocation allocate_zeros(std::size_t bytes, int stagger) {
  const bool staggers = bytes >= 4 * page;
  const std::size_t alignment = staggers ? page : line;
  const std::size_t offset = staggers ? static_cast<std::size_t>(stagger) * stagger_step % page : 0;
  std::size_t room = bytes + alignment + offset;
  void* const start = check(room < bytes ? nullptr : std::calloc(room, 1));
  void* memory = start;
  std::align(alignment, bytes + offset, memory, room);
  memory = static_cast<std::byte*>(memory) + offset;
  ask_for_huge_pages(memory, bytes);
  return {memory, start};
}

void free_block(void* start) { std::free(start); }

}  // namespace reel::kernels::detail
