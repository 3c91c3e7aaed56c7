#include "examples/interrupt.h"

#include <signal.h>

#include <csignal>
#include <initializer_list>

namespace reel::examples {
namespace {

volatile std::sig_atomic_t caught = 0;

extern "C" void note_signal(int signal) {
  caught = 1;
  std::signal(signal, SIG_DFL);
}

// Of a terminal that is closed a program may hear twice, from the system and from its shell, and of a reader
// that is gone at every line, also while it says how far it got: it may go on to its end.
extern "C" void note_lost_reader(int signal) {
  caught = 1;
  std::signal(signal, SIG_IGN);
}

// What nohup, or the handler above, has made deaf stays so.
bool deaf_to(int signal) {
  struct sigaction now {};
  return ::sigaction(signal, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
}

}  // namespace

InterruptGuard::InterruptGuard() {
  caught = 0;
  std::signal(SIGINT, note_signal);
  std::signal(SIGTERM, note_signal);
  for (const int signal : {SIGHUP, SIGPIPE}) {
    if (!deaf_to(signal)) std::signal(signal, note_lost_reader);
  }
}

InterruptGuard::~InterruptGuard() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
  for (const int signal : {SIGHUP, SIGPIPE}) {
    if (!deaf_to(signal)) std::signal(signal, SIG_DFL);
  }
}

bool InterruptGuard::interrupted() const { return caught != 0; }

}  // namespace reel::examples
