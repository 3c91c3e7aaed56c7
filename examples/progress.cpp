#include "examples/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string_view>

namespace reel::examples {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

std::size_t terminal_width() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col : 100;
}

std::string rate_text(double rate) {
  char text[32];
  if (rate >= 1e6) {
    std::snprintf(text, sizeof text, "%.1f M", rate / 1e6);
  } else if (rate >= 1e3) {
    std::snprintf(text, sizeof text, "%.1f k", rate / 1e3);
  } else {
    std::snprintf(text, sizeof text, "%.0f ", rate);
  }
  return text;
}

}  // namespace

std::string clock_text(double seconds) {
  const auto s = static_cast<long>(std::max(0.0, std::ceil(seconds)));
  char text[32];
  if (s >= 3600) {
    std::snprintf(text, sizeof text, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
  } else {
    std::snprintf(text, sizeof text, "%ld:%02ld", s / 60, s % 60);
  }
  return text;
}

Progress::Progress(ProgressStyle style, std::int64_t steps, std::int64_t first_step, std::string unit)
    : live_(style == ProgressStyle::bar || (style == ProgressStyle::automatic && isatty(STDERR_FILENO) != 0)),
      silent_(style == ProgressStyle::none),
      steps_(steps),
      first_(first_step),
      unit_(std::move(unit)),
      start_(Clock::now()),
      last_(),
      next_plain_(first_step) {}

Progress::~Progress() { clear(); }

std::string Progress::line(std::int64_t step, double loss, const std::string& note,
                           std::int64_t units) const {
  const double elapsed = seconds_between(start_, Clock::now());
  const double fraction = steps_ > 0 ? static_cast<double>(step) / static_cast<double>(steps_) : 1;
  const double pace = step > first_ ? elapsed / static_cast<double>(step - first_) : 0;
  char text[256];
  std::snprintf(text, sizeof text, "step %ld/%ld  %3.0f %%  loss %.4f%s%s  %s%s/s  ETA %s",
                static_cast<long>(step), static_cast<long>(steps_), 100 * fraction, loss,
                note.empty() ? "" : "  ", note.c_str(),
                rate_text(elapsed > 0 ? static_cast<double>(units) / elapsed : 0).c_str(), unit_.c_str(),
                clock_text(pace * static_cast<double>(steps_ - step)).c_str());
  return text;
}

void Progress::update(std::int64_t step, double loss, const std::string& note, std::int64_t units) {
  if (silent_) return;
  if (!live_) {
    if (step < next_plain_ && step < steps_) return;
    next_plain_ = step + std::max<std::int64_t>(1, (steps_ - first_) / 20);
    std::fprintf(stderr, "%s\n", line(step, loss, note, units).c_str());
    return;
  }
  const auto now = Clock::now();
  if (seconds_between(last_, now) < 0.1 && step < steps_) return;
  last_ = now;
  std::string text = line(step, loss, note, units);
  constexpr std::size_t bar_width = 20;
  const auto filled = static_cast<std::size_t>(static_cast<double>(bar_width) * static_cast<double>(step) /
                                               static_cast<double>(std::max<std::int64_t>(steps_, 1)));
  text = "[" + std::string(std::min(filled, bar_width), '=') +
         std::string(bar_width - std::min(filled, bar_width), ' ') + "] " + text;
  if (text.size() >= terminal_width()) text.resize(terminal_width() - 1);
  std::fprintf(stderr, "\r\033[K%s", text.c_str());
  std::fflush(stderr);
  shown_ = true;
}

void Progress::say(const std::string& text) {
  if (silent_) return;
  clear();
  std::fprintf(stderr, "%s\n", text.c_str());
}

void Progress::clear() {
  if (shown_) std::fprintf(stderr, "\r\033[K");
  shown_ = false;
}

}  // namespace reel::examples
