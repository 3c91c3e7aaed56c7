#include "examples/allocation_count.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <new>
#include <vector>

#ifdef REEL_COUNTS_ALLOCATIONS  // where nothing else has an operator new

namespace reel::examples {
namespace {

struct alignas(64) Line {
  char bytes[64] = {};
};

TEST(AllocationCount, SeesEveryFormOfNew) {
  const auto counted = [](auto make) {
    const long before = allocations();
    make();
    return allocations() - before;
  };
  EXPECT_EQ(counted([] { operator delete(operator new(3)); }), 1);
  EXPECT_EQ(counted([] { operator delete[](operator new[](3)); }), 1);
  EXPECT_EQ(counted([] { operator delete(operator new(3, std::nothrow), std::nothrow); }), 1);
  constexpr std::align_val_t line{64};
  EXPECT_EQ(counted([] { operator delete(operator new(65, line), line); }), 1);
  EXPECT_EQ(counted([] { operator delete[](operator new[](65, line), line); }), 1);
  EXPECT_EQ(counted([] { operator delete(operator new(65, line, std::nothrow), line, std::nothrow); }), 1);
}

TEST(AllocationCount, SeesAVectorOfAlignedNodesGrow) {
  std::vector<Line> lines;
  for (std::size_t n = 1; n <= 64; n *= 2) {
    lines.reserve(n);
    const long before = allocations();
    lines.reserve(n + 1);
    EXPECT_EQ(allocations(), before + 1);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(lines.data()) % 64, 0U);
    lines.shrink_to_fit();
  }
}

TEST(AllocationCount, WhatNoMemoryHoldsIsRefused) {
  constexpr std::align_val_t line{64};
  for (const std::size_t size : {SIZE_MAX, SIZE_MAX - 62, SIZE_MAX / 2}) {
    EXPECT_EQ(operator new(size, line, std::nothrow), nullptr);
    EXPECT_THROW(operator delete(operator new(size, line), line), std::bad_alloc);
  }
  void* nothing = operator new(0, line);
  EXPECT_NE(nothing, nullptr);
  operator delete(nothing, line);
}

}  // namespace
}  // namespace reel::examples

#endif
