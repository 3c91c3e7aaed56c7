#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>

#include "tests/examples/program.h"
#include "tests/examples/short_run.h"

// The same binary, data and flags give the same bits, whatever else differs: threads, load, one core, where
// things lie in memory. The fingerprints that came out are in tests/golden/fingerprints.txt.

namespace reel::examples {
namespace {

constexpr const char* golden_file = REEL_SOURCE_DIR "/tests/golden/fingerprints.txt";

// A text of its own, so that no edit of a file changes what is learned.
std::string write_text(const std::string& directory) {
  std::string text;
  for (int i = 0; i < 120; ++i) {
    text += std::to_string(i) +
            " green bottles, hanging on the wall, and if one should fall: " + std::to_string(i * i % 97) +
            "\n";
  }
  write(directory + "/bottles.txt", text);
  return directory + "/bottles.txt";
}

std::vector<ShortRun> tasks(const std::string& directory) {
  const auto with = [](std::vector<std::string> words) {
    words.insert(words.begin(), "train");
    words.insert(words.end(), {"--log-every", "1", "--json", "--progress", "none"});
    return words;
  };
  return {{"classifier", with({"classifier", "--epochs", "1"})},
          {"transformer", with({"transformer", "--data", write_text(directory), "--layers", "2", "--width",
                                "64", "--context", "32", "--batch", "8", "--steps", "8", "--dropout", "0.1",
                                "--accumulate", "2", "--positions", "learned"})}};
}

// The instruction sets of the same bits: a product and a sum are rounded once, or each for itself.
std::string family() {
  const Workplace place;
  const std::string version = run_reel({"--version"}, place.path()).out;
  for (const char* fused : {"(AVX-512)", "(AVX2)", "x86-64-v4", "x86-64-v3"}) {
    if (version.find(fused) != std::string::npos) return "fused";
  }
  for (const char* plain : {"(SSE)", "x86-64-v2"}) {
    if (version.find(plain) != std::string::npos) return "unfused";
  }
  return "";
}

// "FAMILY TASK FINGERPRINT" in each line.
std::map<std::string, std::string> golden() {
  std::map<std::string, std::string> rows;
  std::ifstream file(golden_file);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string key;
    std::string task;
    std::string fingerprint;
    if (line.starts_with('#') || !(words >> key >> task >> fingerprint)) continue;
    rows[key + " " + task] = fingerprint;
  }
  return rows;
}

class SameBits : public testing::Test {
 protected:
  Workplace place;
  const std::vector<ShortRun> all = tasks(place.path());
  std::map<std::string, Result> expected;

  void SetUp() override {
    for (const ShortRun& task : all) {
      expected[task.name] = train(task, "1");
      ASSERT_EQ(expected[task.name].code, 0) << expected[task.name].err;
      EXPECT_GT(expected[task.name].log.size(), 500U);
    }
  }

  Result train(const ShortRun& task, const std::string& threads, const std::string& prefix = "") {
    const std::string directory = place / "run";
    Result result = run(task, directory, {"--threads", threads}, prefix);
    std::filesystem::remove_all(directory);
    return result;
  }

  void same(const std::string& threads, const std::string& prefix = "") {
    for (const ShortRun& task : all) same(task, threads, prefix);
  }

  // One task after the other, unless both are wanted.
  void same_in_turn(const std::string& threads, const std::string& prefix) {
    if (full()) return same(threads, prefix);
    same(all[turn++ % all.size()], threads, prefix);
  }

  std::size_t turn = 0;

  void same(const ShortRun& task, const std::string& threads, const std::string& prefix) {
    EXPECT_EQ(train(task, threads, prefix), expected[task.name])
        << task.name << " " << threads << " " << prefix;
  }
};

TEST_F(SameBits, WithAnyNumberOfThreads) {
  for (const char* threads : {"2", "3", "4", "5", "8", "16"}) same(threads);
}

TEST_F(SameBits, OnOneCoreAndWithEverySettingOfOpenMp) {
  if (std::system("taskset -c 0 true >/dev/null 2>&1") == 0) {
    same("3", "taskset -c 0");
  } else {
    std::cout << "taskset is missing, or may not choose core 0\n";
  }
  for (const char* setting : {"OMP_DYNAMIC=true", "OMP_WAIT_POLICY=passive", "OMP_SCHEDULE=dynamic,1",
                              "OMP_PROC_BIND=true", "OMP_THREAD_LIMIT=2", "OMP_STACKSIZE=256K"})
    same_in_turn("3", setting);
}

TEST_F(SameBits, BesideProcessesThatTakeEveryCore) {
  std::vector<pid_t> busy;
  for (long i = 0; i < 2 * sysconf(_SC_NPROCESSORS_ONLN); ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      for (;;) asm volatile("");
    }
    busy.push_back(child);
  }
  same("2");
  same("5");
  for (const pid_t child : busy) {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
}

// Arguments and environment lie at the top of the stack and move it; the settings of malloc move blocks to
// other places, from mmap instead of the heap; the shell's limit moves where mmap begins.
TEST_F(SameBits, WhereverThingsLieInMemory) {
  for (const std::size_t more : {1U, 13U, 333U, 4095U})
    same_in_turn("2", "PADDING=" + std::string(more, 'x'));
  for (const char* setting :
       {"MALLOC_MMAP_THRESHOLD_=1024", "MALLOC_MMAP_THRESHOLD_=1000000000", "MALLOC_TOP_PAD_=777",
        "MALLOC_PERTURB_=165", "MALLOC_ARENA_MAX=1", "GLIBC_TUNABLES=glibc.malloc.tcache_count=0",
        "GLIBC_TUNABLES=glibc.malloc.hugetlb=1"})
    same_in_turn("2", setting);
  same_in_turn("2", "ulimit -s 1024;");
  if (std::system("setarch -R true >/dev/null 2>&1") == 0) same("2", "setarch -R");
}

// A change of these bits is a change of what every run gives. If it is wanted, REEL_UPDATE_GOLDEN=1 writes
// the new rows into the table.
TEST_F(SameBits, AreThoseOfTheTable) {
  const std::string key = family();
  if (key.empty()) GTEST_SKIP() << "the table has no rows for this instruction set";
  const auto rows = golden();
  std::string table = contents(golden_file);
  for (const ShortRun& task : all) {
    const std::string name = key + " " + task.name;
    const std::string& fingerprint = expected[task.name].fingerprint;
    const auto row = rows.find(name);
    if (std::getenv("REEL_UPDATE_GOLDEN") != nullptr) {
      if (row == rows.end()) {
        table += name + " " + fingerprint + "\n";
      } else {
        table.replace(table.find(row->second), row->second.size(), fingerprint);
      }
      continue;
    }
    ASSERT_NE(row, rows.end()) << "no row for " << name << "; it would be: " << name << " " << fingerprint;
    EXPECT_EQ(fingerprint, row->second)
        << name << ": if other bits are wanted, run this test with REEL_UPDATE_GOLDEN=1, for each build";
  }
  if (std::getenv("REEL_UPDATE_GOLDEN") != nullptr) write(golden_file, table);
}

}  // namespace
}  // namespace reel::examples
