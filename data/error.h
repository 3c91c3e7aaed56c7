#pragma once

#include <charconv>
#include <stdexcept>
#include <string>

namespace reel::data {

/// The content of a data file is wrong, or does not fit the use (exit code 3).
struct DataError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The operating system refused to open or read a file (exit code 5).
struct IoError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A number for a message, in as few digits as tell it from every other double: a small share is no 0.000000.
inline std::string short_number(double x) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, x).ptr};
}

}  // namespace reel::data
