#include "kernels/peak.h"

#include <gtest/gtest.h>

#include "kernels/parallel.h"

namespace reel::kernels {
namespace {

TEST(Peak, TakesANumberOfThreadsAsTheSettingDoesAndLeavesThat) {
  const int before = threads();
  for (const int count : {0, -3, 1}) EXPECT_GT(measure_peak(count), 0) << count;
  EXPECT_EQ(threads(), before);
}

}  // namespace
}  // namespace reel::kernels
