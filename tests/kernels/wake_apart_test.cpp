#include "kernels/wake_apart.h"

#include <gtest/gtest.h>

#if defined(__linux__)
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <latch>
#include <set>
#include <thread>
#include <vector>

#include "kernels/parallel.h"

namespace reel::kernels {
namespace {

using Processors = std::set<int>;

Processors may_use(int thread) {
  cpu_set_t set;
  if (::sched_getaffinity(thread, sizeof set, &set) != 0) return {};
  Processors result;
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &set)) result.insert(i);
  }
  return result;
}

void let_use(int thread, const Processors& processors) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int i : processors) CPU_SET(i, &set);
  ASSERT_EQ(::sched_setaffinity(thread, sizeof set, &set), 0);
}

// A thread that lies down on one processor and may wake on any of some. It wakes when this ends.
class Lying {
 public:
  Lying(Sleeper& sleeper, int on, const Processors& allowed)
      : thread_([this, &sleeper, on, allowed] {
          let_use(0, {on});
          sleeper.fall_asleep();
          let_use(0, allowed);
          id_ = ::gettid();
          lies_.count_down();
          wakes_.wait();
          sleeper.wake_up();
          after_ = may_use(0);
        }) {
    lies_.wait();
  }
  ~Lying() {
    if (thread_.joinable()) wake();
  }
  Processors may_wake_on() const { return may_use(id_); }
  /// Where it may run once it is awake.
  Processors wake() {
    wakes_.count_down();
    thread_.join();
    return after_;
  }

 private:
  int id_ = 0;
  Processors after_;
  std::latch lies_{1}, wakes_{1};
  std::thread thread_;
};

// The test runs on the first of the processors that it may use.
class WakeApart : public testing::Test {
 protected:
  void SetUp() override {
    if (all.size() < 2) GTEST_SKIP() << "needs two processors";
    here = *all.begin();
    there = *all.rbegin();
    let_use(0, {here});
  }
  void TearDown() override {
    if (all.size() >= 2) let_use(0, all);
  }
  Processors without(const Processors& some) const {
    Processors result = all;
    for (const int i : some) result.erase(i);
    return result;
  }

  Processors all = may_use(0);
  int here = 0, there = 0;
};

TEST_F(WakeApart, OneThatLiesWhereItsWakerRunsWakesElsewhereAndMayRunThereAgain) {
  Sleeper sleeper;
  Lying thread(sleeper, here, all);
  Sleeper::wake_apart(&sleeper, 1);
  EXPECT_EQ(thread.may_wake_on(), without({here}));
  EXPECT_EQ(thread.wake(), all);
}

TEST_F(WakeApart, OneThatLiesElsewhereIsLeftAlone) {
  Sleeper sleeper;
  Lying thread(sleeper, there, all);
  Sleeper::wake_apart(&sleeper, 1);
  EXPECT_EQ(thread.may_wake_on(), all);
  EXPECT_EQ(thread.wake(), all);
}

TEST_F(WakeApart, OneThatMayRunNowhereElseIsLeftAlone) {
  Sleeper sleeper;
  Lying thread(sleeper, here, {here});
  Sleeper::wake_apart(&sleeper, 1);
  EXPECT_EQ(thread.may_wake_on(), Processors{here});
  EXPECT_EQ(thread.wake(), Processors{here});
}

TEST_F(WakeApart, OfTwoThatLieOnOneProcessorTheSecondWakesElsewhere) {
  Sleeper sleepers[2];
  Lying first(sleepers[0], there, all), second(sleepers[1], there, all);
  Sleeper::wake_apart(sleepers, 2);
  EXPECT_EQ(first.may_wake_on(), all);
  const Processors elsewhere = without({here, there});
  EXPECT_EQ(second.may_wake_on(), elsewhere.empty() ? all : elsewhere);
  EXPECT_EQ(second.wake(), all);
}

TEST_F(WakeApart, NoneIsMovedToWhereItMayNotRun) {
  Sleeper sleepers[2];
  Lying first(sleepers[0], there, all), second(sleepers[1], there, {there});
  Sleeper::wake_apart(sleepers, 2);
  EXPECT_EQ(second.may_wake_on(), Processors{there});
}

TEST_F(WakeApart, WokenTwiceItStillGetsBackWhatItHad) {
  Sleeper sleeper;
  Lying thread(sleeper, here, all);
  Sleeper::wake_apart(&sleeper, 1);
  Sleeper::wake_apart(&sleeper, 1);
  EXPECT_EQ(thread.may_wake_on(), without({here}));
  EXPECT_EQ(thread.wake(), all);
}

TEST_F(WakeApart, OneThatIsAwakeIsLeftAlone) {
  Sleeper sleepers[2];
  Lying thread(sleepers[0], here, all);
  EXPECT_EQ(thread.wake(), all);
  sleepers[1].fall_asleep();  // this thread, which has woken again
  let_use(0, all);
  sleepers[1].wake_up();
  Sleeper::wake_apart(sleepers, 2);
  EXPECT_EQ(may_use(0), all);
}

TEST_F(WakeApart, AForkedProcessLeavesTheThreadsOfItsParentAlone) {
  Sleeper sleeper;
  Lying thread(sleeper, here, all);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    Sleeper::wake_apart(&sleeper, 1);
    ::_exit(0);
  }
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_EQ(thread.may_wake_on(), all);
}

TEST_F(WakeApart, ThreadsOfALoopMayRunWhereTheyCouldBefore) {
  let_use(0, all);
  const int threads_before = threads();
  set_threads(2);
  for (int loop = 0; loop < 30; ++loop) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    std::vector<Processors> seen(8);
    parallel_for(8, 1e12, [&](std::int64_t i) { seen[static_cast<std::size_t>(i)] = may_use(0); });
    for (const Processors& processors : seen) ASSERT_EQ(processors, all);
  }
  set_threads(threads_before);
}

}  // namespace
}  // namespace reel::kernels
#endif
