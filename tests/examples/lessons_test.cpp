#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <sstream>

#include "tests/examples/program.h"

// The lessons run, and say what examples/README.md shows.

namespace reel::examples {
namespace {

std::string without_trailing_space(const std::string& text) {
  std::istringstream lines(text);
  std::string result;
  for (std::string line; std::getline(lines, line);) {
    line.erase(line.find_last_not_of(' ') + 1);
    result += line + "\n";
  }
  return result;
}

std::string shown_in_readme(const std::string& lesson) {
  const std::string page = contents(REEL_SOURCE_DIR "/examples/README.md");
  const std::size_t heading = page.find("## " + lesson + "\n");
  if (heading == std::string::npos) return "no such heading";
  const std::string fence = "```text\n";
  const std::size_t first = page.find(fence, heading) + fence.size();
  return page.substr(first, page.find("```", first) - first);
}

std::string output_of(const std::string& lesson) {
  const Workplace place;
  const std::string command = std::string(REEL_LESSONS) + "/lesson_" + lesson + " >'" + (place / "out") + "'";
  EXPECT_EQ(std::system(command.c_str()), 0) << lesson;
  return without_trailing_space(contents(place / "out"));
}

class Lesson : public testing::TestWithParam<const char*> {};

TEST_P(Lesson, SaysWhatItsPageShows) { EXPECT_EQ(output_of(GetParam()), shown_in_readme(GetParam())); }

INSTANTIATE_TEST_SUITE_P(Exact, Lesson,
                         testing::Values("01_scalar_gradients", "04_softmax_jacobian", "05_custom_op",
                                         "06_hessian_vector", "07_attention_by_hand", "10_checkpoint"));

// Training ends in the same place on every machine, but not with the same digits.
TEST(TrainedLessons, ArriveWhereTheyShould) {
  EXPECT_THAT(output_of("02_regression"), testing::HasSubstr("y = 1.98 x -1.03"));
  EXPECT_THAT(output_of("03_spirals"), testing::HasSubstr("epoch 60  loss 0.0"));
  EXPECT_THAT(output_of("08_sorting_transformer"), testing::HasSubstr("-> 2 2 3 3 4 7"));
  EXPECT_THAT(output_of("09_character_model"), testing::HasSubstr("three for a girl, four for a boy,"));
  EXPECT_THAT(output_of("11_curvature"),
              testing::ContainsRegex("step 3000 .* curvature +(9\\.[6-9]|10\\.[0-4])"));
  EXPECT_THAT(output_of("12_gradient_penalty"),
              testing::ContainsRegex("weight +10: scores 2\\.[12]. apart, slope 1\\.1"));
  EXPECT_THAT(output_of("13_own_optimizer"), testing::ContainsRegex("no backward +0\\.0"));
  EXPECT_THAT(output_of("14_two_optimizers"),
              testing::AllOf(testing::ContainsRegex("step 5000  radius (0\\.[89]|1\\.[01])"),
                             testing::HasSubstr("the same, bit for bit: yes")));
  EXPECT_THAT(output_of("15_differential_equation"),
              testing::ContainsRegex("step 2000  at most 0\\.00[0-2]. from sin"));
}

}  // namespace
}  // namespace reel::examples
