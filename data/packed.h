#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

// How far to trust what a packed file says of its size.

namespace reel::data {

/// Real data packs 5 to 1, a blank picture 100 to 1; what a few kilobytes unpack to by the thousand is made
/// to fill somebody's memory.
inline bool is_bomb(std::uint64_t unpacked, std::uint64_t packed) {
  constexpr std::uint64_t harmless = 8 << 20;
  return unpacked > harmless && unpacked / 256 > packed;
}
inline const std::string bomb_refused =
    "more than 256 times as many are refused; unpack the file first if you trust it";

/// How much room to have for packed data once `filled` bytes of it are there: it is made as the data comes,
/// and not all at once for what is only claimed.
inline std::size_t room_for(std::uint64_t claimed, std::size_t filled) {
  constexpr std::uint64_t first = 8 << 20;  // as much as most data needs
  return static_cast<std::size_t>(std::min(claimed, std::max(2 * std::uint64_t{filled}, first)));
}

}  // namespace reel::data
