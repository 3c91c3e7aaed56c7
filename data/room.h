#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace reel::data {

/// How much room to have for packed data once `filled` bytes of it are there. A packed file may claim a
/// thousand times its size, so that room is made as the data comes, and not all at once.
inline std::size_t room_for(std::uint64_t claimed, std::size_t filled) {
  constexpr std::uint64_t first = 8 << 20;  // as much as most data needs
  return static_cast<std::size_t>(std::min(claimed, std::max(2 * std::uint64_t{filled}, first)));
}

}  // namespace reel::data
