#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "tests/examples/program.h"

// The page that `reel attention --html` writes, run in a real browser: its own arithmetic against the
// engine's.

namespace reel::examples {
namespace {

std::string attribute(const std::string& page, const std::string& name) {
  const std::size_t at = page.find(name + "=\"");
  if (at == std::string::npos) return "";
  const std::size_t first = at + name.size() + 2;
  return page.substr(first, page.find('"', first) - first);
}

TEST(Attention, ShowsWeightsThatSumToOneAndTheirGradients) {
  const Workplace place;
  const auto json = run_reel({"attention", "--json"}, place.path()).json();
  for (const auto& row : json["weights"]) {
    double sum = 0;
    for (const auto& w : row) sum += w.get<double>();
    EXPECT_NEAR(sum, 1, 1e-15);
  }
  // The gradient of the chosen output in a value is the weight it has.
  for (std::size_t j = 0; j < 4; ++j) EXPECT_EQ(json["dv"][j][1], json["weights"][3][j]);
  const Ran text = run_reel({"attention", "--token", "0"}, place.path());
  EXPECT_EQ(text.code, 0);
  EXPECT_THAT(text.out, testing::HasSubstr("gradients of output (the, 1)"));
  EXPECT_EQ(run_reel({"attention", "--token", "4"}, place.path()).code, 2);
}

TEST(Attention, PageComputesWhatTheEngineComputes) {
  if (std::system("command -v chromium >/dev/null 2>&1") != 0) GTEST_SKIP() << "there is no chromium";
  const Workplace place;
  ASSERT_EQ(run_reel({"attention", "--html", "page.html"}, place.path()).code, 0);
  const std::string command = "chromium --headless --no-sandbox --disable-gpu --user-data-dir='" +
                              (place / "profile") + "' --dump-dom 'file://" + (place / "page.html") + "' >'" +
                              (place / "dom.html") + "' 2>/dev/null";
  ASSERT_EQ(std::system(command.c_str()), 0);
  const std::string page = contents(place / "dom.html");
  ASSERT_EQ(attribute(page, "data-checks"), "8");
  EXPECT_LT(std::stod(attribute(page, "data-difference")), 1e-12);
}

}  // namespace
}  // namespace reel::examples
