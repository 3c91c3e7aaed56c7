#pragma once

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace reel::kernels {

/// While it lives, this thread takes subnormal floats, those below 1.2e-38, as 0 and makes none: some
/// processors (Intel's) take a hundred cycles for every operation with them. On processors other than x86 it
/// does nothing. (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, 10.2.3.)
class FlushSubnormals {
 public:
#if defined(__SSE2__)
  FlushSubnormals() { _mm_setcsr(before_ | results | operands); }
  ~FlushSubnormals() { _mm_setcsr(before_); }
#else
  FlushSubnormals() {}
  ~FlushSubnormals() {}
#endif
  FlushSubnormals(const FlushSubnormals&) = delete;
  FlushSubnormals& operator=(const FlushSubnormals&) = delete;

 private:
#if defined(__SSE2__)
  static constexpr unsigned results = 0x8000, operands = 0x0040;
  const unsigned before_ = _mm_getcsr();
#endif
};

}  // namespace reel::kernels
