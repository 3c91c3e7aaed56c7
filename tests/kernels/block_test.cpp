#include "kernels/block.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <vector>

namespace reel::kernels {
namespace {

constexpr std::uintptr_t line = 64, page = 4096;

std::uintptr_t address(const Block<float>& block) { return reinterpret_cast<std::uintptr_t>(block.get()); }

TEST(Block, OfZerosHoldsZerosOnALine) {
  for (const int stagger : {0, 1, 5, 63, 64, 1000}) {
    for (const std::int64_t count : {1, 15, 1024, 4095, 4096, 5000, 1 << 20}) {
      const Block<float> block = make_zero_block<float>(count, stagger);
      EXPECT_EQ(address(block) % line, 0U);
      EXPECT_TRUE(std::all_of(block.get(), block.get() + count, [](float x) { return x == 0; })) << count;
      std::fill_n(block.get(), count, 1.0F);  // all of it is memory: a sanitizer says so
    }
  }
}

TEST(Block, OfZerosBeginsWhereNoOtherDoesInAPage) {
  std::vector<Block<float>> blocks;
  std::set<std::uintptr_t> places;
  for (int stagger = 0; stagger < 64; ++stagger) {
    blocks.push_back(make_zero_block<float>(5000, stagger));
    places.insert(address(blocks.back()) % page);
  }
  EXPECT_EQ(places.size(), 64U);
}

// Neighbours are what a loop goes through side by side, some loads ahead of its stores.
TEST(Block, OfZerosLiesFarFromThatOfTheNextStagger) {
  for (const std::int64_t count : {5000, 100000, 1 << 20}) {
    std::vector<Block<float>> blocks;
    for (int stagger = 1; stagger <= 5; ++stagger) blocks.push_back(make_zero_block<float>(count, stagger));
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      for (std::size_t k = 0; k < i; ++k) {
        const std::uintptr_t apart = (address(blocks[i]) - address(blocks[k])) % page;
        EXPECT_GE(std::min(apart, page - apart), 4 * line) << i << " " << k;
      }
    }
  }
}

}  // namespace
}  // namespace reel::kernels
