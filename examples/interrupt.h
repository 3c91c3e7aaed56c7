#pragma once

namespace reel::examples {

/// While it lives, the first Ctrl-C (or SIGTERM) only sets a flag, so that a training step, or the part of it
/// that is at work, can finish and what is done be saved; the second one ends the program at once. SIGHUP,
/// when the terminal is closed, and SIGPIPE, when whoever read the output is gone, only set the flag, and are
/// ignored from then on.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  bool interrupted() const;
};

}  // namespace reel::examples
