#include "data/utf8.h"

namespace reel::data {
namespace {

struct Lead {
  std::size_t length;         // of the sequence; 0 if none starts with this byte
  unsigned char least, most;  // what the second byte may be
};

// Table 3-7 of the Unicode standard.
Lead lead_of(unsigned char byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

}  // namespace

std::size_t valid_utf8(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  std::size_t at = 0;
  while (at < text.size()) {
    const Lead lead = lead_of(byte(at));
    if (lead.length == 0 || lead.length > text.size() - at) return at;
    for (std::size_t i = 1; i < lead.length; ++i) {
      const unsigned char next = byte(at + i);
      if (next < (i == 1 ? lead.least : 0x80) || next > (i == 1 ? lead.most : 0xBF)) return at;
    }
    at += lead.length;
  }
  return at;
}

std::string_view cut_utf8(std::string_view text, std::size_t most) {
  if (text.size() <= most) return text;
  constexpr std::size_t longest = 4;
  for (std::size_t end = most; end > 0 && most - end < longest; --end) {
    const bool starts_here = (static_cast<unsigned char>(text[end]) & 0xC0) != 0x80;
    if (starts_here) return text.substr(0, end);
  }
  return text.substr(0, most);  // no UTF-8
}

}  // namespace reel::data
