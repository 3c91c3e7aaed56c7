#pragma once

#include <atomic>

#if defined(__linux__)
#include <sched.h>
#endif

namespace reel::kernels {

/// A thread that sleeps between loops, and where it will wake.
///
/// Linux may wake a thread where it ran last although the thread that wakes it runs there now, and leave both
/// to share that processor for 20 milliseconds and more while another is idle: seen with Linux 6.18 on a
/// virtual machine with two processors, at every second waking.
class Sleeper {
 public:
  /// By the thread itself, before it sleeps.
  void fall_asleep();
  /// By the thread itself, when it is awake: it may run wherever it could before.
  void wake_up();

  /// By the thread that is about to wake them: those of `count` sleepers that would wake on its own
  /// processor, or where one of the others does, have to wake elsewhere, if they may run elsewhere. Does
  /// nothing on other systems, and where the system does not let it.
  static void wake_apart(Sleeper* sleepers, int count);

 private:
  // Where the thread lies, or one of these.
  static constexpr int awake = -1, being_moved = -2, moved = -3;

  std::atomic<int> lies_on_{awake};
#if defined(__linux__)
  bool move_from(const cpu_set_t& taken);

  int thread_ = 0, process_ = 0;
  cpu_set_t before_{};  // where a thread that was moved may run
#endif
};

}  // namespace reel::kernels
