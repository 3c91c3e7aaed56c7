#pragma once

#include <charconv>
#include <cstddef>
#include <new>
#include <stdexcept>
#include <string>

#include "autograd/place.h"

namespace reel {

/// What every error of the engine is: a message whose first line names the user's source line.
struct Error : std::runtime_error {
  Error(Place where, const std::string& message) : std::runtime_error(message), place(where) {}
  Place place;
};

/// The first line of a message in compiler style: "file:line: error: what".
inline std::string at(Place place, const std::string& what) {
  return std::string(place.file) + ":" + std::to_string(place.line) + ": error: " + what;
}

/// A number in as few digits as tell it from every other double, in any locale: 1e-09, and no 0.000000.
inline std::string short_number(double x) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, x).ptr};
}

/// One line of help under a message.
inline std::string help_line(const std::string& text) { return "\n    help     " + text; }

/// Shapes that do not fit an op or each other.
struct ShapeError : Error {
  using Error::Error;
};
/// Sizes that no shape has. Where an op computes them from what it was given, it says so itself, with the
/// same reason.
struct SizeError : ShapeError {
  SizeError(Place where, const std::string& why)
      : ShapeError(where, at(where, "shape: " + why)), reason_at_(at(where, "").size()) {}
  /// The message without its place.
  const char* reason() const { return what() + reason_at_; }

 private:
  std::size_t reason_at_;
};
/// A number that an op cannot take: a label out of range, a negative epsilon, a row without a maximum.
struct ValueError : Error {
  using Error::Error;
};
/// A handle or a tape used at the wrong time: after its step, on another thread, twice.
struct StateError : Error {
  using Error::Error;
};
/// A value or gradient that is not finite, found by anomaly detection.
struct NonFiniteError : Error {
  using Error::Error;
};

/// An op for whose result there is no memory. Like any lack of memory it is a std::bad_alloc, and no Error.
struct MemoryError : std::bad_alloc {
  MemoryError(Place where, const std::string& message) : place(where), message_(message) {}
  const char* what() const noexcept override { return message_.what(); }
  Place place;

 private:
  std::runtime_error message_;  // whose copies do not throw
};

}  // namespace reel
