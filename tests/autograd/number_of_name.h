#pragma once

#include <cstdint>
#include <string_view>

namespace reel {

/// A number that stands for an op in a test, by its name: one by its position in the registry would give
/// every card other values when another card comes before it. FNV-1a (Fowler, Noll, Vo), as nn::stream_of,
/// which tests of this layer do not see.
inline std::uint64_t number_of(std::string_view name) {
  std::uint64_t hash = 0xCBF29CE484222325U;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  return hash;
}

}  // namespace reel
