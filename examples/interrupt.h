#pragma once

namespace reel::examples {

/// While it lives, the first Ctrl-C (or SIGTERM) only sets a flag, so that a training step, or the part of it
/// that is at work, can finish and what is done be saved; the second one ends the program at once. SIGHUP,
/// when the terminal is closed, and SIGPIPE, when whoever read the output is gone, only set the flag, and are
/// ignored from then on. A signal that the program was told to ignore when it was started stays ignored.
class InterruptGuard {
 public:
  /// `speaks`: whether the first Ctrl-C is answered on stderr.
  explicit InterruptGuard(bool speaks);
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  bool interrupted() const;
};

}  // namespace reel::examples
