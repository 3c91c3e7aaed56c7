#include "examples/interrupt.h"

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <initializer_list>

namespace reel::examples {
namespace {

volatile std::sig_atomic_t caught = 0;
volatile std::sig_atomic_t answers = 0;

extern "C" void note_signal(int signal) {
  const int error = errno;
  caught = 1;
  std::signal(signal, SIG_DFL);
  constexpr char words[] = "\nreel: finishing this step, then saving; Ctrl-C again stops at once\n";
  if (answers != 0) {
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, words, sizeof words - 1);
  }
  errno = error;
}

// Of a terminal that is closed a program may hear twice, from the system and from its shell, and of a reader
// that is gone at every line, also while it says how far it got: it may go on to its end.
extern "C" void note_lost_reader(int signal) {
  caught = 1;
  std::signal(signal, SIG_IGN);
}

// What nohup, `trap '' INT`, or the handler above, has made deaf stays so.
void listen(int signal, void (*handler)(int)) {
  struct sigaction now {};
  const bool deaf = ::sigaction(signal, nullptr, &now) == 0 && now.sa_handler == SIG_IGN;
  if (!deaf) std::signal(signal, handler);
}

}  // namespace

InterruptGuard::InterruptGuard(bool speaks) {
  caught = 0;
  answers = speaks ? 1 : 0;
  for (const int signal : {SIGINT, SIGTERM}) listen(signal, note_signal);
  for (const int signal : {SIGHUP, SIGPIPE}) listen(signal, note_lost_reader);
}

InterruptGuard::~InterruptGuard() {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) listen(signal, SIG_DFL);
}

bool InterruptGuard::interrupted() const { return caught != 0; }

}  // namespace reel::examples
