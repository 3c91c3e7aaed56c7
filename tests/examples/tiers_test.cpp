#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <sstream>

#include "kernels/matmul_bf16.h"
#include "tests/examples/program.h"

// The instruction sets that the program is built for. A portable build holds one library for each, of which
// the loader takes the best; here the processor is made to look smaller, as glibc's tunables can.

namespace reel::examples {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

// What follows the comma in "reel 0.1.0, x86-64-v3".
std::string instruction_set(const Ran& version) {
  const std::size_t comma = version.out.find(", ");
  if (version.code != 0 || comma == std::string::npos) return "no version: " + version.out + version.err;
  return version.out.substr(comma + 2, version.out.size() - comma - 3);
}

TEST(InstructionSet, IsInTheVersionAndInTheBenchmark) {
  const Workplace place;
  const Ran version = run_reel({"--version"}, place.path());
  EXPECT_EQ(version.code, 0) << version.err;
  EXPECT_THAT(version.out, StartsWith("reel "));
  const std::string set = instruction_set(version);
  EXPECT_FALSE(set.empty());
#ifdef REEL_TIERS
  EXPECT_THAT(set, StartsWith("x86-64-v"));
#endif
  const Ran bench =
      run_reel({"bench", "--case", "mlp-2-16-16-3-b32", "--threads", "1", "--json"}, place.path());
  ASSERT_EQ(bench.code, 0) << bench.err;
  EXPECT_EQ(bench.json()["instruction_set"], set);
}

bool emulator_is_there() { return std::system("command -v qemu-x86_64 >/dev/null 2>&1") == 0; }
constexpr const char* no_emulator = "qemu-x86_64 (package qemu-user) is not installed";

TEST(InstructionSet, ThatTheProcessorDoesNotHaveIsNamed) {
  if (!emulator_is_there()) GTEST_SKIP() << no_emulator;
  const Workplace place;
  const std::string set = instruction_set(run_reel({"--version"}, place.path()));
  if (!set.starts_with("native") && !set.starts_with("x86-64-v")) GTEST_SKIP() << set << " is everywhere";
  const Ran ran = run_reel({"--version"}, place.path(), "qemu-x86_64 -cpu core2duo");
  EXPECT_EQ(ran.code, 1);
  EXPECT_THAT(ran.err, HasSubstr("reel: this build is for processors with "));
}

#ifdef REEL_TIERS

struct Tier {
  std::string name;
  std::string environment;  // makes the processor look as if this were its best
};

// Those that this processor runs, the best first.
std::vector<Tier> tiers() {
  const std::vector<Tier> all = {{"x86-64-v4", ""},
                                 {"x86-64-v3", "GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX512F"},
                                 {"x86-64-v2", "GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX2"}};
  const Workplace place;
  const std::string best = instruction_set(run_reel({"--version"}, place.path()));
  auto first = std::find_if(all.begin(), all.end(), [&](const Tier& t) { return t.name == best; });
  return {first, all.end()};
}

struct Training {
  std::string fingerprint;
  std::vector<double> losses;
};

Training train(const std::vector<std::string>& task, const Tier& tier, const char* threads) {
  const Workplace place;
  std::vector<std::string> words = {"train"};
  words.insert(words.end(), task.begin(), task.end());
  for (const char* word :
       {"--threads", threads, "--log-every", "1", "--out", "run", "--json", "--progress", "none"})
    words.emplace_back(word);
  const Ran ran = run_reel(words, place.path(), tier.environment);
  EXPECT_EQ(ran.code, 0) << tier.name << ": " << ran.err;
  if (ran.code != 0) return {};
  Training run{ran.json()["fingerprint"], {}};
  std::istringstream log(contents(place / "run/log.jsonl"));
  for (std::string line; std::getline(log, line);) {
    const auto entry = nlohmann::json::parse(line);
    if (entry.contains("loss")) run.losses.push_back(entry["loss"]);
  }
  return run;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = a.size() == b.size() ? 0 : INFINITY;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    largest = std::max(largest, std::fabs(a[i] - b[i]) / std::fabs(a[i]));
  return largest;
}

TEST(Tiers, AreWhatTheLoaderTakesWhenTheProcessorLooksSmaller) {
  const std::vector<Tier> supported = tiers();
  ASSERT_FALSE(supported.empty());
  for (const Tier& tier : supported) {
    const Workplace place;
    EXPECT_EQ(instruction_set(run_reel({"--version"}, place.path(), tier.environment)), tier.name);
  }
}

// With fused multiply-add the order of all sums is the same in registers of any width, so the bits are, too.
// Without it every product is rounded before it is added.
TEST(Tiers, TrainToTheSameBitsWithFusedMultiplyAddAndAlikeWithout) {
  const std::vector<std::vector<std::string>> tasks = {
      {"transformer", "--width", "32", "--heads", "2", "--batch", "16", "--steps", "60"},
      {"transformer", "--width", "36", "--heads", "3", "--layers", "1", "--batch", "12", "--steps", "40",
       "--positions", "rotary", "--dropout", "0.1", "--accumulate", "2"},
      {"transformer", "--width", "40", "--heads", "2", "--batch", "12", "--steps", "40", "--precision",
       "bf16"},
      {"transformer", "--width", "40", "--heads", "2", "--batch", "12", "--steps", "40", "--precision",
       "bf16x6"},
      // Sums so long that they are cut.
      {"classifier", "--data", "iris", "--hidden", "784,40", "--epochs", "10"},
      {"classifier", "--hidden", "64,32", "--epochs", "2"}};
  const std::vector<Tier> supported = tiers();
  ASSERT_FALSE(supported.empty());
  for (const auto& task : tasks) {
    // Rounding to bfloat16 makes much of a small difference.
    const bool bf16 = task.back() == "bf16";
    const double tolerance = bf16 ? 1e-3 : 1e-5;
    const bool own_order = (bf16 || task.back() == "bf16x6") &&
                           kernels::has_way(kernels::Bf16Way::tiles);  // of sums, on x86-64-v4
    std::vector<Training> runs;
    for (const Tier& tier : supported) {
      runs.push_back(train(task, tier, "1"));
      EXPECT_EQ(train(task, tier, "3").fingerprint, runs.back().fingerprint) << tier.name;
      const double difference = largest_difference(runs.front().losses, runs.back().losses);
      std::cout << task.front() << " on " << tier.name << ": fingerprint "
                << runs.back().fingerprint.substr(0, 16) << ", losses differ by at most " << difference
                << " from those on " << supported.front().name << "\n";
      EXPECT_GE(runs.back().losses.size(), 20u);
      EXPECT_LE(difference, tolerance) << tier.name;
      if (tier.name != "x86-64-v2" && !own_order) {
        EXPECT_EQ(runs.back().fingerprint, runs.front().fingerprint) << tier.name;
      }
    }
  }
}

TEST(Tiers, AreWhatTheLoaderTakesOnEmulatedProcessors) {
  if (!emulator_is_there()) GTEST_SKIP() << no_emulator;
  const std::vector<std::string> task = {"transformer", "--data",   REEL_SOURCE_DIR "/LICENSE",
                                         "--width",     "16",       "--heads",
                                         "1",           "--layers", "1",
                                         "--batch",     "4",        "--context",
                                         "8",           "--steps",  "3"};
  for (const Tier& tier : tiers()) {
    if (tier.name == "x86-64-v4") continue;  // no processor with it is emulated
    const Tier emulated{
        tier.name, std::string("qemu-x86_64 -cpu ") + (tier.name == "x86-64-v3" ? "Haswell" : "Nehalem")};
    const Workplace place;
    EXPECT_EQ(instruction_set(run_reel({"--version"}, place.path(), emulated.environment)), tier.name);
    EXPECT_EQ(train(task, emulated, "1").fingerprint, train(task, tier, "1").fingerprint) << tier.name;
  }
}

TEST(Tiers, FallToTheNextWhereALibraryIsMissing) {
  namespace fs = std::filesystem;
  const Workplace place;
  const fs::path program = REEL_PROGRAM;
  const fs::path library = REEL_TIERS;
  fs::create_directory(place / "bin");
  fs::copy_file(program, place / "bin/reel");
  fs::create_directory(place / "lib");
  fs::copy_file(library / "libreel.so", place / "lib/libreel.so");
  const auto version = [&] {
    const std::string command = "'" + (place / "bin/reel") + "' --version >'" + (place / "out") + "'";
    EXPECT_EQ(std::system(command.c_str()), 0);
    return contents(place / "out");
  };
  // From the lowest up: each that is put there and that the processor runs is taken.
  std::vector<Tier> supported = tiers();
  std::reverse(supported.begin(), supported.end());
  for (const Tier& tier : supported) {
    if (tier.name != "x86-64-v2") {
      const std::string folder = "glibc-hwcaps/" + tier.name;
      fs::create_directories(place / ("lib/" + folder));
      fs::copy_file(library / folder / "libreel.so", place / ("lib/" + folder + "/libreel.so"));
    }
    EXPECT_THAT(version(), EndsWith(", " + tier.name + "\n"));
  }
}

#endif

}  // namespace
}  // namespace reel::examples
