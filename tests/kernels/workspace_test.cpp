#include "kernels/workspace.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <new>
#include <thread>
#include <vector>

#include "kernels/parallel.h"
#include "tests/kernels/attention_problem.h"
#include "tests/support/count_allocations.h"

namespace reel::kernels {
namespace {

class Workspaces : public testing::Test {
 protected:
  ~Workspaces() override { set_threads(before); }
  int before = threads();
};

TEST_F(Workspaces, GiveEveryThreadAPieceOfItsOwn) {
  set_threads(3);
  for (const std::int64_t count : {1, 15, 16, 17, 1000}) {
    const Workspace<float> memory(count);
    for (int worker = 0; worker < 3; ++worker) {
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory.of(worker)) % 64, 0U);
      std::fill_n(memory.of(worker), count, static_cast<float>(worker));
    }
    for (int worker = 0; worker < 3; ++worker) {
      EXPECT_EQ(std::vector<float>(memory.of(worker), memory.of(worker) + count),
                std::vector<float>(static_cast<std::size_t>(count), static_cast<float>(worker)));
    }
  }
}

TEST_F(Workspaces, NoTwoTasksAtOnceHaveOneWorker) {
  set_threads(4);
  std::vector<std::atomic<int>> busy(4);
  std::atomic<int> clashes{0};
  for (int loop = 0; loop < 200; ++loop) {
    parallel_for(16, 1e12, 4, [&](std::int64_t, int worker) {
      if (busy.at(static_cast<std::size_t>(worker))++ != 0) ++clashes;
      for (int i = 0; i < 200; ++i) busy[static_cast<std::size_t>(worker)].load();
      --busy[static_cast<std::size_t>(worker)];
    });
  }
  EXPECT_EQ(clashes, 0);
}

TEST_F(Workspaces, HaveAPieceForEveryWorkerAlsoIfTheNumberOfThreadsChanges) {
  set_threads(2);
  const Workspace<float> memory(10);
  set_threads(8);
  EXPECT_EQ(memory.workers(), 2);
  std::atomic<int> highest{0};
  parallel_for(64, 1e12, memory.workers(), [&](std::int64_t, int worker) {
    int seen = highest.load();
    while (seen < worker && !highest.compare_exchange_weak(seen, worker)) {
    }
    // Long enough for every thread that is called to come.
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  });
  EXPECT_LT(highest, memory.workers());
}

// Under ThreadSanitizer this would show a number that is read while it is written.
TEST_F(Workspaces, ServeAttentionWhileAnotherThreadChangesTheNumberOfThreads) {
  Problem<float> p{.batch = 4, .heads = 4, .queries = 60, .keys = 70, .channels = 8, .value_channels = 8};
  p.fill(1);
  p.run();
  const std::vector<float> y = p.y;
  const std::vector<float> dk = p.dk;
  std::atomic<bool> done{false};
  std::thread other([&] {
    for (int i = 0; !done; ++i) set_threads(1 + i % 8);
  });
  for (int loop = 0; loop < 20; ++loop) {
    p.fill(1);
    p.run();
    EXPECT_EQ(p.y, y);
    EXPECT_EQ(p.dk, dk);
  }
  done = true;
  other.join();
}

TEST_F(Workspaces, InsideOneAnotherAreApart) {
  set_threads(1);
  const Workspace<double> outer(100);
  const Workspace<double> inner(100);
  std::fill_n(outer.of(0), 100, 1.0);
  std::fill_n(inner.of(0), 100, 2.0);
  EXPECT_EQ(outer.of(0)[99], 1.0);
  EXPECT_EQ(inner.of(0)[0], 2.0);
}

TEST_F(Workspaces, AskTheHeapOnlyWhenTheyGrow) {
  if (!support::counts_allocations()) GTEST_SKIP() << "a sanitizer brings its own allocator";
  set_threads(2);
  { const Workspace<float> largest(1 << 20); }
  const std::size_t asked = support::allocations();
  for (const std::int64_t count : {1 << 20, 1, 1000}) {
    const Workspace<float> memory(count);
    ASSERT_NE(memory.of(1), nullptr);
  }
  EXPECT_EQ(support::allocations(), asked);
  { const Workspace<float> larger(1 << 21); }
  EXPECT_GT(support::allocations(), asked);
}

// Attention that runs out of memory must not take the program with it, as it would if a task asked.
void attention_without_memory() {
  Problem<float> p{.batch = 4, .heads = 4, .queries = 200, .keys = 300, .channels = 40, .value_channels = 24};
  p.fill(1);
  p.run();
  const std::vector<float> y = p.y;
  const std::vector<float> dk = p.dk;
  p.channels = 300;
  p.fill(1);
  bool failed = false;
  {
    const support::FailingAllocation failing(1);
    try {
      attention(p.attention_of(), {p.y.data(), 4 * 200 * 24, 200 * 24, 24}, p.kept.data());
    } catch (const std::bad_alloc&) {
      failed = failing.happened();
    }
  }
  EXPECT_TRUE(failed);
  p.channels = 40;
  p.fill(1);
  p.run();
  EXPECT_EQ(p.y, y);
  EXPECT_EQ(p.dk, dk);
}

TEST_F(Workspaces, AttentionWithoutMemoryIsAnErrorOfItsCaller) {
  set_threads(3);
  std::thread(attention_without_memory).join();  // a thread that has no memory left over from other loops
}

}  // namespace
}  // namespace reel::kernels
