#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>

// The layers look in one direction only: kernels <- autograd <- nn <- examples; data sees two headers of
// kernels. What is not of Reel is known to a layer or two, and to no public header.

namespace reel {
namespace {

namespace fs = std::filesystem;

TEST(Includes, FollowTheLayers) {
  const std::map<std::string, std::set<std::string>> may_see = {
      {"kernels", {"kernels"}},
      {"autograd", {"kernels", "autograd"}},
      {"nn", {"kernels", "autograd", "nn"}},
      {"data", {"data", "kernels/half.h", "kernels/philox.h"}},  // needed everywhere, and of nothing else
      {"examples", {"kernels", "autograd", "nn", "data", "examples"}},
  };
  const std::regex include(R"re(^\s*#\s*include\s*["<]([^">]+)[">])re");
  const std::set<std::string> layers = {"kernels", "autograd", "nn", "data", "examples", "tests"};
  const std::map<std::string, std::set<std::string>> known_to = {
      {"Eigen", {}},        {"omp.h", {"kernels"}}, {"immintrin.h", {"kernels"}},      {"openssl/", {"nn"}},
      {"zlib.h", {"data"}}, {"zip.h", {"data"}},    {"nlohmann/", {"nn", "examples"}}, {"CLI", {"examples"}},
  };
  std::size_t seen = 0;
  std::size_t of_others = 0;
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
        EXPECT_TRUE(!ours || allowed.count(first) != 0 || allowed.count(name) != 0)
            << file.path() << " includes " << name;
        for (const auto& [library, knows] : known_to) {
          if (!name.starts_with(library)) continue;
          ++of_others;
          EXPECT_TRUE(knows.count(layer) != 0) << file.path() << " includes " << name;
          const bool public_header = extension == ".h" && (layer != "examples" && layer != "kernels");
          EXPECT_FALSE(public_header) << file.path() << " includes " << name;
        }
      }
    }
  }
  EXPECT_GT(seen, 500u);
  EXPECT_GT(of_others, 10u);
}

}  // namespace
}  // namespace reel
