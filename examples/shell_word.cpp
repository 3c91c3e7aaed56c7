#include "examples/shell_word.h"

#include <algorithm>
#include <cstdio>

#include "data/file.h"

namespace reel::examples {
namespace {

bool is_harmless(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string("-_./=+:,@%").find(c) != std::string::npos;
}

}  // namespace

std::string shell_word(const std::string& word) {
  if (!word.empty() && std::all_of(word.begin(), word.end(), is_harmless)) return word;
  const bool plain = data::printable(word) == word;
  std::string text = plain ? "'" : "$'";
  for (const char c : word) {
    const auto byte = static_cast<unsigned char>(c);
    if (plain) {
      text += c == '\'' ? std::string("'\\''") : std::string(1, c);
    } else if (c == '\'' || c == '\\') {
      text += std::string("\\") + c;
    } else if (byte < 0x20 || byte >= 0x7F) {
      char octal[8];
      std::snprintf(octal, sizeof octal, "\\%03o", static_cast<unsigned>(byte));
      text += octal;
    } else {
      text += c;
    }
  }
  return text + "'";
}

}  // namespace reel::examples
