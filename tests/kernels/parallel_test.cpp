#include "kernels/parallel.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

namespace reel::kernels {
namespace {

constexpr double much = 1e12;  // a cost that is always worth threads

class Parallel : public testing::Test {
 protected:
  int before = threads();
  ~Parallel() override { set_threads(before); }
};

std::vector<int> times_run(std::int64_t tasks) {
  std::vector<std::atomic<int>> times(static_cast<std::size_t>(tasks));
  parallel_for(tasks, much, [&](std::int64_t i) { ++times[static_cast<std::size_t>(i)]; });
  return {times.begin(), times.end()};
}

TEST_F(Parallel, RunsEveryTaskOnce) {
  for (const int count : {1, 2, 3, 5, 1000}) {
    set_threads(count);
    for (const std::int64_t tasks : {0, 1, 2, 3, 7, 64, 1000}) {
      ASSERT_EQ(times_run(tasks), std::vector<int>(static_cast<std::size_t>(tasks), 1))
          << count << " threads, " << tasks << " tasks";
    }
  }
}

TEST_F(Parallel, TheSettingIsFrom1To64) {
  for (const auto& [wanted, taken] : {std::pair{-1, 1}, {0, 1}, {1, 1}, {64, 64}, {65, 64}, {100, 64}}) {
    set_threads(wanted);
    EXPECT_EQ(threads(), taken) << wanted;
  }
}

TEST_F(Parallel, RunsEveryTaskOnceInManyShortLoops) {
  set_threads(3);
  for (int loop = 0; loop < 20000; ++loop) {
    std::int64_t sum = 0;
    std::int64_t part[4] = {};
    parallel_for(4, much, [&](std::int64_t i) { part[i] += i + loop; });
    for (const std::int64_t p : part) sum += p;
    ASSERT_EQ(sum, 6 + 4 * loop);
  }
}

TEST_F(Parallel, WakesThreadsThatFellAsleep) {
  set_threads(2);
  for (int loop = 0; loop < 20; ++loop) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    ASSERT_EQ(times_run(10), std::vector<int>(10, 1));
  }
}

TEST_F(Parallel, UsesMoreThanOneThread) {
  set_threads(2);
  // Both tasks wait for each other, so one thread alone would never come back.
  std::atomic<int> arrived{0};
  parallel_for(2, much, [&](std::int64_t) {
    ++arrived;
    while (arrived < 2) std::this_thread::yield();
  });
  EXPECT_EQ(arrived, 2);
}

TEST_F(Parallel, WaitsForTheTasksOfOthers) {
  set_threads(2);
  const auto self = std::this_thread::get_id();
  std::atomic<int> arrived{0};
  std::atomic<int> done{0};
  parallel_for(2, much, [&](std::int64_t) {
    ++arrived;
    while (arrived < 2) std::this_thread::yield();
    if (std::this_thread::get_id() != self) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    ++done;
  });
  EXPECT_EQ(done, 2);
}

TEST_F(Parallel, RunsEveryTaskOnceWhereThreadsMeet) {
  set_threads(2);
  for (int loop = 0; loop < 20000; ++loop)  // each ends with two threads at the same few tasks
    ASSERT_EQ(times_run(16), std::vector<int>(16, 1)) << loop;
}

TEST_F(Parallel, TakesTasksOfOthersFromBehind) {
  set_threads(2);
  std::atomic<int> done{0};
  std::vector<std::int64_t> of_helper;
  parallel_for(8, much, 2, [&](std::int64_t i, int worker) {
    while (i == 0 && done.load() < 7) std::this_thread::yield();  // so that the other does all the rest
    if (worker == 1) of_helper.push_back(i);
    ++done;
  });
  of_helper.resize(7);
  EXPECT_EQ(of_helper, (std::vector<std::int64_t>{4, 5, 6, 7, 3, 2, 1}));
}

TEST_F(Parallel, RunsAloneBelowTheThreshold) {
  set_threads(4);
  const auto self = std::this_thread::get_id();
  parallel_for(100, 10, [&](std::int64_t) { ASSERT_EQ(std::this_thread::get_id(), self); });
}

TEST_F(Parallel, ALoopInsideALoopRunsOnItsOwnThread) {
  set_threads(3);
  std::atomic<int> runs{0};
  parallel_for(6, much, [&](std::int64_t) {
    const auto self = std::this_thread::get_id();
    parallel_for(5, much, [&](std::int64_t) {
      ASSERT_EQ(std::this_thread::get_id(), self);
      ++runs;
    });
  });
  EXPECT_EQ(runs, 30);
}

TEST_F(Parallel, ServesSeveralCallersAtOnce) {
  set_threads(3);
  std::atomic<int> failures{0};
  std::vector<std::thread> callers;
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([&] {
      for (int loop = 0; loop < 300; ++loop) {
        if (times_run(20) != std::vector<int>(20, 1)) ++failures;
      }
    });
  }
  for (std::thread& t : callers) t.join();
  EXPECT_EQ(failures, 0);
}

TEST_F(Parallel, WorksInAForkedProcess) {
  set_threads(3);
  ASSERT_EQ(times_run(30), std::vector<int>(30, 1));
  const pid_t child = fork();
  if (child == 0) _exit(times_run(30) == std::vector<int>(30, 1) ? 0 : 1);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace reel::kernels
