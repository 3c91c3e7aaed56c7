#include "kernels/flush_subnormals.h"

#include <gtest/gtest.h>

#include <cfenv>
#include <cmath>
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
    const volatile float operand = subnormal;  // is taken as it is
    EXPECT_EQ(operand * 2, least_normal);
  }
  EXPECT_EQ(half_of(least_normal), subnormal);
}

TEST(FlushSubnormals, KeepsWhatWentWrongMeanwhile) {
  std::feclearexcept(FE_ALL_EXCEPT);
  {
    const FlushSubnormals flush;
    const volatile float zero = 0;
    const volatile float no_number = zero / zero;
    EXPECT_TRUE(std::isnan(no_number));
  }
  EXPECT_TRUE(std::fetestexcept(FE_INVALID));
}

}  // namespace
}  // namespace reel::kernels
