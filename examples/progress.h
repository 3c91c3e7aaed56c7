#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace reel::examples {

/// How progress is shown: a live line on a terminal, a plain line now and then in a pipe, or nothing.
enum class ProgressStyle { automatic, bar, plain, none };

/// Shows on stderr how far a long run has come.
class Progress {
 public:
  /// `unit` names what the rate counts: "samples" or "tokens".
  Progress(ProgressStyle style, std::int64_t steps, std::int64_t first_step, std::string unit);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Shows step, per cent, loss, the note (accuracy and the like), rate and remaining time, at most ten times
  /// a second on a terminal and twenty times a run in a pipe. `units` is what was worked off since the start.
  void update(std::int64_t step, double loss, const std::string& note, std::int64_t units);
  /// Writes a line that stays, above the live one.
  void say(const std::string& line);
  /// Takes the live line away.
  void clear();

 private:
  std::string line(std::int64_t step, double loss, const std::string& note, std::int64_t units) const;

  bool live_ = false;
  bool silent_ = false;
  bool shown_ = false;
  std::int64_t steps_;
  std::int64_t first_;
  std::string unit_;
  std::chrono::steady_clock::time_point start_;
  std::chrono::steady_clock::time_point last_;
  std::int64_t next_plain_;
};

/// "1:05" or "2:03:04" for a number of seconds.
std::string clock_text(double seconds);

}  // namespace reel::examples
