#pragma once

#include <cstddef>

namespace reel::support {

/// How often this process asked the heap for memory so far: operator new, malloc, calloc, realloc and the
/// aligned ones. Always 0 under a sanitizer, which brings its own allocator; ask counts_allocations() first.
std::size_t allocations();
bool counts_allocations();

}  // namespace reel::support
