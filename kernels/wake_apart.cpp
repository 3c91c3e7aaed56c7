#include "kernels/wake_apart.h"

#if defined(__linux__)
#include <unistd.h>

#include <algorithm>
#endif

namespace reel::kernels {

#if defined(__linux__)

void Sleeper::fall_asleep() {
  if (thread_ == 0) {
    thread_ = ::gettid();
    process_ = ::getpid();
  }
  lies_on_.store(::sched_getcpu(), std::memory_order_release);
}

void Sleeper::wake_up() {
  int state = lies_on_.load(std::memory_order_acquire);
  do {
    // It may wake by itself while another thread moves it, which takes two system calls.
    for (; state == being_moved; state = lies_on_.load(std::memory_order_acquire)) ::sched_yield();
  } while (!lies_on_.compare_exchange_weak(state, awake, std::memory_order_acquire));
  if (state == moved) ::sched_setaffinity(0, sizeof before_, &before_);
}

void Sleeper::wake_apart(Sleeper* sleepers, int count) {
  cpu_set_t taken;
  CPU_ZERO(&taken);
  CPU_SET(std::clamp(::sched_getcpu(), 0, CPU_SETSIZE - 1), &taken);
  const int process = ::getpid();  // after a fork the sleepers are those of the parent
  for (Sleeper* s = sleepers; s < sleepers + count; ++s) {
    int processor = s->lies_on_.load(std::memory_order_acquire);
    if (processor < 0 || processor >= CPU_SETSIZE || s->process_ != process) continue;
    if (!CPU_ISSET(processor, &taken)) {
      CPU_SET(processor, &taken);
    } else if (s->lies_on_.compare_exchange_strong(processor, being_moved, std::memory_order_acquire)) {
      s->lies_on_.store(s->move_from(taken) ? moved : processor, std::memory_order_release);
    }
  }
}

bool Sleeper::move_from(const cpu_set_t& taken) {
  if (::sched_getaffinity(thread_, sizeof before_, &before_) != 0) return false;
  cpu_set_t both, elsewhere;
  CPU_AND(&both, &before_, &taken);
  CPU_XOR(&elsewhere, &before_, &both);
  return CPU_COUNT(&elsewhere) > 0 && ::sched_setaffinity(thread_, sizeof elsewhere, &elsewhere) == 0;
}

#else

void Sleeper::fall_asleep() {}
void Sleeper::wake_up() {}
void Sleeper::wake_apart(Sleeper*, int) {}

#endif

}  // namespace reel::kernels
