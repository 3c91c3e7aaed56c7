#pragma once

#include <charconv>
#include <concepts>
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

/// A number in as few digits as tell it from every other of its type: a small share is no 0.000000.
template <std::floating_point T>
std::string short_number(T x) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, x).ptr};
}

}  // namespace reel::data
