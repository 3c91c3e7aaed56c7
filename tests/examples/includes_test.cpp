#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>

// The layers look in one direction only: kernels <- autograd <- nn <- examples, data stands alone.

namespace reel {
namespace {

namespace fs = std::filesystem;

TEST(Includes, FollowTheLayers) {
  const std::map<std::string, std::set<std::string>> may_see = {
      {"kernels", {"kernels"}},
      {"autograd", {"kernels", "autograd"}},
      {"nn", {"kernels", "autograd", "nn"}},
      {"data", {"data", "kernels/philox.h"}},  // random numbers by index are needed everywhere
      {"examples", {"kernels", "autograd", "nn", "data", "examples"}},
  };
  const std::regex include(R"re(^\s*#\s*include\s*["<]([^">]+)[">])re");
  const std::set<std::string> layers = {"kernels", "autograd", "nn", "data", "examples", "tests"};
  std::size_t seen = 0;
  for (const auto& [layer, allowed] : may_see) {
    for (const auto& file : fs::recursive_directory_iterator(fs::path(REEL_SOURCE_DIR) / layer)) {
      const std::string extension = file.path().extension();
      if (extension != ".h" && extension != ".cpp") continue;
      std::ifstream text(file.path());
      for (std::string line; std::getline(text, line);) {
        std::smatch match;
        if (!std::regex_search(line, match, include)) continue;
        ++seen;
        const std::string name = match[1];
        const std::string first = name.substr(0, name.find('/'));
        const bool ours = layers.count(first) != 0 && name.find('/') != std::string::npos;
        const bool fast = name.starts_with("Eigen") || name == "omp.h";
        EXPECT_TRUE(!ours || allowed.count(first) != 0 || allowed.count(name) != 0)
            << file.path() << " includes " << name;
        EXPECT_TRUE(!fast || layer == "kernels") << file.path();
        EXPECT_TRUE(!name.starts_with("CLI") || layer == "examples") << file.path();
        const bool public_header = extension == ".h" && layer != "examples";
        EXPECT_FALSE(public_header && (fast || name.starts_with("nlohmann"))) << file.path();
      }
    }
  }
  EXPECT_GT(seen, 500u);
}

}  // namespace
}  // namespace reel
