#pragma once

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace reel::kernels {

/// While it lives, what this thread computes and would be a subnormal float, below 1.2e-38, becomes 0: some
/// processors (Intel's) take a hundred cycles for every operation with one. On processors other than x86 it
/// does nothing. (Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, 10.2.3.)
///
/// Compilers do not know that arithmetic depends on it. They leave loads and stores of memory that others can
/// see on their side of its beginning and its end, and with these what is computed between them.
class FlushSubnormals {
 public:
#if defined(__SSE2__)
  FlushSubnormals() { _mm_setcsr(before_ | flush); }
  // The flags of what went wrong meanwhile stand in the same register, and stay.
  ~FlushSubnormals() { _mm_setcsr((_mm_getcsr() & ~flush) | (before_ & flush)); }
#else
  FlushSubnormals() {}
  ~FlushSubnormals() {}
#endif
  FlushSubnormals(const FlushSubnormals&) = delete;
  FlushSubnormals& operator=(const FlushSubnormals&) = delete;

 private:
#if defined(__SSE2__)
  static constexpr unsigned flush = 0x8000;
  const unsigned before_ = _mm_getcsr();
#endif
};

}  // namespace reel::kernels
