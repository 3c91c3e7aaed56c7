#include "kernels/flush_subnormals.h"

#include <gtest/gtest.h>

#include <limits>

namespace reel::kernels {
namespace {

// Through a volatile, so that the processor divides and not the compiler.
float half_of(float x) {
  const volatile float value = x;
  return value / 2;
}

constexpr float least_normal = std::numeric_limits<float>::min();
constexpr float subnormal = least_normal / 2;

TEST(FlushSubnormals, HoldsWhileItLives) {
#if !defined(__SSE2__)
  GTEST_SKIP() << "this processor is left as it is";
#endif
  EXPECT_EQ(half_of(least_normal), subnormal);
  {
    const FlushSubnormals outer;
    EXPECT_EQ(half_of(least_normal), 0);
    EXPECT_EQ(half_of(2 * least_normal), least_normal);
    { const FlushSubnormals inner; }
    EXPECT_EQ(half_of(least_normal), 0);
    const volatile float operand = subnormal;
    EXPECT_EQ(operand * 0x1p100F, 0);
  }
  EXPECT_EQ(half_of(least_normal), subnormal);
}

}  // namespace
}  // namespace reel::kernels
