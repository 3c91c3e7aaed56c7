#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "autograd/autopsy.h"

namespace reel {

/// What a watched tape notes while it plays backwards, before gradients give up their memory.
struct Watch {
  struct Note {
    std::uint64_t step;  // that recorded the node
    Range gradient;
  };
  std::vector<std::optional<Note>> gradients;  // by node

  // The first gradient that was not finite: the node whose derivative wrote it, the step it was in, and
  // words.
  std::uint32_t guilty = 0;
  std::uint64_t guilty_step = 0;  // 0: none yet
  std::string what;
};

}  // namespace reel
