#pragma once

namespace reel::examples {

/// How often this program has asked for memory with operator new.
long allocations();

}  // namespace reel::examples
