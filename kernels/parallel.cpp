#include "kernels/parallel.h"

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <system_error>
#include <thread>

#include "kernels/wake_apart.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace reel::kernels {
namespace {

// An awake thread takes part about 1.5 microseconds after it was called, in which one core does some 100,000
// simple operations.
constexpr double parallel_threshold = 1.0e5;
constexpr int most_threads = 64;
// How often an idle thread looks for work before it sleeps: for some 100 microseconds, longer than most gaps
// between the loops of a training step.
constexpr int patience = 6000;

std::atomic<int>& thread_setting() {
  static std::atomic<int> count{std::clamp(omp_get_max_threads(), 1, most_threads)};
  return count;
}

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

// True on the helpers, and on a caller while its loop runs: a loop inside a loop is not split again.
thread_local bool inside = false;

// Threads that help with loops. OpenMP's would do, but at the end of a loop OpenMP waits for all of them,
// also for one that has not even started because another program has its core; that takes milliseconds for a
// loop of microseconds. Here the caller does whatever nobody else has begun, and waits only for helpers that
// are in the middle of a task.
class Pool {
 public:
  static constexpr std::int64_t most_tasks = 0xffffffff;  // of a loop: their numbers go in pairs

  void run(std::int64_t tasks, int count, detail::Task task, void* context) {
    const std::unique_lock lock(callers_, std::try_to_lock);
    if (!lock.owns_lock()) {  // another thread's loop has the helpers
      for (std::int64_t i = 0; i < tasks; ++i) task(context, i, 0);
      return;
    }
    try {
      while (helpers_ + 1 < count) {
        std::thread([this, self = helpers_ + 1] { help(self); }).detach();
        ++helpers_;
      }
    } catch (const std::system_error&) {  // no thread to be had: the others do its work
    }
    task_ = task;
    context_ = context;
    count_ = count;
    for (int t = 0; t < count; ++t) stretches_[t].set(tasks * t / count, tasks * (t + 1) / count);
    generation_ += generation_step;
    state_.store(generation_ | open, std::memory_order_seq_cst);
    if (asleep_.load(std::memory_order_seq_cst) > 0) {
      Sleeper::wake_apart(sleepers_, helpers_);
      state_.notify_all();
    }
    inside = true;
    work(0);
    inside = false;
    state_.fetch_and(~open, std::memory_order_acq_rel);
    for (int i = 0; (state_.load(std::memory_order_acquire) & busy) != 0; ++i) {
      if (i < patience) {
        pause();
      } else {
        std::this_thread::yield();  // the helper may need this very core
      }
    }
  }

 private:
  // The state is one word: how many helpers are at work, whether more may join, and the number of the loop.
  static constexpr std::uint32_t busy = 0xff;
  static constexpr std::uint32_t open = 0x100;
  static constexpr std::uint32_t generation_step = 0x200;

  // Tasks that nobody has begun.
  class alignas(64) Stretch {
   public:
    void set(std::int64_t first, std::int64_t end) {
      left_.store(packed(first, end), std::memory_order_relaxed);
    }
    // The first of them, or the last; -1 if there is none.
    std::int64_t take(bool last) {
      std::uint64_t left = left_.load(std::memory_order_relaxed);
      for (;;) {
        const auto first = static_cast<std::int64_t>(left >> 32),
                   end = static_cast<std::int64_t>(left & most_tasks);
        if (first == end) return -1;
        const std::uint64_t others = last ? packed(first, end - 1) : packed(first + 1, end);
        if (left_.compare_exchange_weak(left, others, std::memory_order_relaxed))
          return last ? end - 1 : first;
      }
    }

   private:
    static std::uint64_t packed(std::int64_t first, std::int64_t end) {
      return static_cast<std::uint64_t>(first) << 32 | static_cast<std::uint64_t>(end);
    }
    std::atomic<std::uint64_t> left_{0};
  };

  // Every thread starts on a stretch of its own, the same one in each loop of that size, for the sake of its
  // cache; then it goes on with what the others have left, from behind: so they stay in their own, too, and
  // what is taken from one that is always late is the same each time.
  void work(int self) {
    for (int offset = 0; offset < count_; ++offset) {
      Stretch& stretch = stretches_[(self + offset) % count_];
      for (std::int64_t i; (i = stretch.take(offset > 0)) >= 0;) task_(context_, i, self);
    }
  }

  void help(int self) {
    Sleeper& sleeper = sleepers_[self - 1];
    inside = true;
    std::uint32_t done = 0;  // the loop this thread has helped with last
    for (;;) {
      std::uint32_t state = state_.load(std::memory_order_acquire);
      for (int i = 0; !news(state, done) && i < patience; ++i) {
        pause();
        state = state_.load(std::memory_order_acquire);
      }
      if (!news(state, done)) {
        sleeper.fall_asleep();
        asleep_.fetch_add(1, std::memory_order_seq_cst);
        state = state_.load(std::memory_order_seq_cst);
        if (!news(state, done)) state_.wait(state, std::memory_order_acquire);
        asleep_.fetch_sub(1, std::memory_order_relaxed);
        sleeper.wake_up();
        continue;
      }
      if (!state_.compare_exchange_weak(state, state + 1, std::memory_order_acq_rel)) continue;
      done = state & ~(busy | open);
      if (self < count_) work(self);
      state_.fetch_sub(1, std::memory_order_release);
    }
  }

  static bool news(std::uint32_t state, std::uint32_t done) {
    return (state & open) != 0 && (state & ~(busy | open)) != done;
  }

  std::mutex callers_;
  int helpers_ = 0;
  std::uint32_t generation_ = 0;
  alignas(64) std::atomic<std::uint32_t> state_{0};
  std::atomic<int> asleep_{0};
  Sleeper sleepers_[most_threads - 1];
  detail::Task task_ = nullptr;
  void* context_ = nullptr;
  int count_ = 0;
  Stretch stretches_[most_threads];
};

// Never destroyed: helpers may still look at it while the program ends.
Pool& pool() {
  static Pool& instance = *new Pool;
  return instance;
}

}  // namespace

void set_threads(int count) {
  thread_setting().store(std::clamp(count, 1, most_threads), std::memory_order_relaxed);
}
int threads() { return thread_setting().load(std::memory_order_relaxed); }

void detail::run_tasks(std::int64_t tasks, double cost, int workers, Task task, void* context) {
  const int count = static_cast<int>(std::min<std::int64_t>(workers, tasks));
  if (count <= 1 || cost < parallel_threshold || inside || tasks > Pool::most_tasks) {
    for (std::int64_t i = 0; i < tasks; ++i) task(context, i, 0);
    return;
  }
  pool().run(tasks, count, task, context);
}

}  // namespace reel::kernels
