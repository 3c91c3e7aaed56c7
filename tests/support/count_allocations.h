#pragma once

#include <cstddef>

namespace reel::support {

/// How often this process asked the heap for memory so far: operator new, malloc, calloc, realloc and the
/// aligned ones. Always 0 under a sanitizer, which brings its own allocator; ask counts_allocations() first.
std::size_t allocations();
bool counts_allocations();

/// While it lives, the `which`-th request of this thread for memory (the first is 1) fails, once. Under a
/// sanitizer only operator new (not with clang's) and aligned_alloc fail; malloc and calloc do not.
class FailingAllocation {
 public:
  explicit FailingAllocation(std::size_t which);
  ~FailingAllocation();
  FailingAllocation(const FailingAllocation&) = delete;
  FailingAllocation& operator=(const FailingAllocation&) = delete;
  bool happened() const;
};

}  // namespace reel::support
