#include "examples/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

namespace reel::examples {
namespace {

std::string with_losses(const std::vector<double>& losses) {
  Report report;
  report.curves = {{"training", {}}};
  for (std::size_t i = 0; i < losses.size(); ++i)
    report.curves[0].points.emplace_back(static_cast<double>(i + 1), losses[i]);
  return html_of(report);
}

// What stands at the lines of the loss axis.
std::vector<std::string> labels_of(const std::string& html) {
  std::vector<std::string> labels;
  for (std::size_t at = html.find("<text class=\"y\""); at != std::string::npos;
       at = html.find("<text class=\"y\"", at + 1)) {
    const std::size_t first = html.find('>', at) + 1;
    labels.push_back(html.substr(first, html.find('<', first) - first));
  }
  return labels;
}

TEST(ReportChart, HasRoundNumbersAtItsLossAxis) {
  using Labels = std::vector<std::string>;
  EXPECT_EQ(labels_of(with_losses({2.41, 0.5, 0.000926})), (Labels{"0.001", "0.01", "0.1", "1"}));
  EXPECT_EQ(labels_of(with_losses({2.3, 0.09})), (Labels{"0.1", "0.3", "1"}));
  EXPECT_EQ(labels_of(with_losses({0.7, 0.15})), (Labels{"0.15", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7"}));
  EXPECT_EQ(labels_of(with_losses({1e-20, 1e20})),
            (Labels{"1e-20", "1e-14", "1e-08", "0.01", "1e+04", "1e+10", "1e+16"}));
}

TEST(ReportChart, NamesTheEndsWhereNoRoundNumbersLieBetween) {
  EXPECT_EQ(labels_of(with_losses({0.741, 0.729})), (std::vector<std::string>{"0.729", "0.747", "0.765"}));
  EXPECT_EQ(labels_of(with_losses({0.5})).size(), 3U);
}

TEST(ReportChart, LeavesOutWhatHasNoPlaceOnALogarithmicAxis) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(with_losses({nan, 0, -1}), testing::Not(testing::HasSubstr("<svg")));
  const std::string html = with_losses({nan, 0.2, std::numeric_limits<double>::infinity(), 2});
  EXPECT_THAT(html, testing::Not(testing::HasSubstr("nan")));
  EXPECT_THAT(html, testing::Not(testing::HasSubstr("inf")));
}

}  // namespace
}  // namespace reel::examples
