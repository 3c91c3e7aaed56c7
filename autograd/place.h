#pragma once

namespace reel {

/// A line of the user's source code.
struct Place {
  const char* file = "";
  int line = 0;

  // Not std::source_location: clang 14 with libstdc++ 12 does not offer it, and the old libc++ of a
  // WebAssembly build does not either. As a default argument this names the line of the caller.
  static constexpr Place here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
};

}  // namespace reel
