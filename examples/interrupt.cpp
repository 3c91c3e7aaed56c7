#include "examples/interrupt.h"

#include <csignal>

namespace reel::examples {
namespace {

volatile std::sig_atomic_t caught = 0;

extern "C" void note_signal(int signal) {
  caught = 1;
  std::signal(signal, SIG_DFL);
}

// Of a terminal that is closed a program may hear twice, from the system and from its shell: both times the
// step may finish.
extern "C" void note_hangup(int) { caught = 1; }

}  // namespace

InterruptGuard::InterruptGuard() {
  caught = 0;
  std::signal(SIGINT, note_signal);
  std::signal(SIGTERM, note_signal);
  // What nohup has made deaf stays so.
  if (std::signal(SIGHUP, note_hangup) == SIG_IGN) std::signal(SIGHUP, SIG_IGN);
}

InterruptGuard::~InterruptGuard() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  if (std::signal(SIGHUP, SIG_DFL) == SIG_IGN) std::signal(SIGHUP, SIG_IGN);
}

bool InterruptGuard::interrupted() const { return caught != 0; }

}  // namespace reel::examples
