#include "examples/interrupt.h"

#include <signal.h>

#include <csignal>

namespace reel::examples {
namespace {

volatile std::sig_atomic_t caught = 0;

extern "C" void note_signal(int signal) {
  caught = 1;
  std::signal(signal, SIG_DFL);
}

volatile std::sig_atomic_t hung_up = 0;

// Of a terminal that is closed a program may hear twice, from the system and from its shell, and once more
// while it says how far it got: each time it may go on to its end.
extern "C" void note_hangup(int) {
  caught = 1;
  hung_up = 1;
}

// What nohup has made deaf stays so.
bool deaf_to(int signal) {
  struct sigaction now {};
  return ::sigaction(signal, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

}  // namespace

InterruptGuard::InterruptGuard() {
  caught = 0;
  std::signal(SIGINT, note_signal);
  std::signal(SIGTERM, note_signal);
  if (!deaf_to(SIGHUP)) std::signal(SIGHUP, note_hangup);
}

InterruptGuard::~InterruptGuard() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  if (!deaf_to(SIGHUP)) std::signal(SIGHUP, hung_up != 0 ? SIG_IGN : SIG_DFL);
}

bool InterruptGuard::interrupted() const { return caught != 0; }

}  // namespace reel::examples
