#include "tests/support/count_allocations.h"

#include <atomic>
#include <cstdlib>
#include <new>

#include "tests/support/sanitizer.h"

namespace {
std::atomic<std::size_t> count{0};
thread_local std::size_t until_failure = 0;  // 0: none is going to fail

// Whether this request is the one that fails.
bool fails() { return until_failure > 0 && --until_failure == 0; }
}  // namespace

namespace reel::support {
std::size_t allocations() { return count.load(); }
bool counts_allocations() { return REEL_HAS_SANITIZER == 0; }

FailingAllocation::FailingAllocation(std::size_t which) { until_failure = which; }
FailingAllocation::~FailingAllocation() { until_failure = 0; }
bool FailingAllocation::happened() const { return until_failure == 0; }
}  // namespace reel::support

#if !REEL_HAS_SANITIZER
// The C library's own functions under their internal names: operator new of libstdc++ goes through malloc as
// well.
extern "C" {
void* __libc_malloc(std::size_t);                 // NOLINT: glibc's name
void* __libc_calloc(std::size_t, std::size_t);    // NOLINT
void* __libc_realloc(void*, std::size_t);         // NOLINT
void* __libc_memalign(std::size_t, std::size_t);  // NOLINT

void* malloc(std::size_t size) {
  count.fetch_add(1, std::memory_order_relaxed);
  if (fails()) return nullptr;
  return __libc_malloc(size);
}
void* calloc(std::size_t n, std::size_t size) {
  count.fetch_add(1, std::memory_order_relaxed);
  if (fails()) return nullptr;
  return __libc_calloc(n, size);
}
void* realloc(void* old, std::size_t size) {
  count.fetch_add(1, std::memory_order_relaxed);
  if (fails()) return nullptr;
  return __libc_realloc(old, size);
}
void* memalign(std::size_t alignment, std::size_t size) {
  count.fetch_add(1, std::memory_order_relaxed);
  if (fails()) return nullptr;
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
  count.fetch_add(1, std::memory_order_relaxed);
  if (fails()) return nullptr;
  return __libc_memalign(alignment, size);
}
}
#else
// A sanitizer keeps malloc for itself; what is built on it can still be made to fail. clang's cannot be
// linked with an operator new of one's own: there only aligned_alloc fails.
#ifndef __clang__
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return fails() ? nullptr : std::malloc(size > 0 ? size : 1);
}
void* operator new(std::size_t size) {
  void* memory = operator new(size, std::nothrow);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void* operator new[](std::size_t size) { return operator new(size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
  return operator new(size, std::nothrow);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
#endif
extern "C" void* aligned_alloc(std::size_t alignment, std::size_t size) {
  void* memory = nullptr;
  return fails() || ::posix_memalign(&memory, alignment, size) != 0 ? nullptr : memory;
}
#endif
