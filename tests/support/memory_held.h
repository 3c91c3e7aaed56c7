#pragma once

#include <unistd.h>

#include <cstdint>
#include <fstream>

namespace reel::support {

/// Bytes of memory that this process holds now, without what it has asked for but never written; 0 where
/// there is no /proc/self/statm.
inline std::int64_t memory_held() {
  std::ifstream statm("/proc/self/statm");
  std::int64_t all = 0, resident = 0;
  statm >> all >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

}  // namespace reel::support
