#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <map>
#include <sstream>

#include "tests/examples/short_run.h"
#include "tests/support/disk.h"

// The program is killed, or its file system fails, in the middle of a run; then it goes on. Whatever
// happened, the end is the one of a run that was left alone.

namespace reel::examples {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

class Crash : public testing::Test {
 protected:
  Workplace place;
  const ShortRun what = short_classifier();

  // The run that nothing happens to, and how many calls it makes that change files.
  Result whole() {
    const std::string directory = place / "whole";
    const Result result = run(what, directory, {"--threads", "1"},
                              faults(directory, "REEL_FAULTS_JOURNAL='" + (place / "journal") + "'"));
    EXPECT_EQ(result.code, 0) << result.err;
    calls = static_cast<int>(read_journal(place / "journal").size());
    return result;
  }

  std::string fresh() { return place / ("run-" + std::to_string(++runs)); }

  int calls = 0;
  int runs = 0;
};

TEST_F(Crash, KilledBeforeAnyCallThatChangesAFileItGoesOnToTheSameEnd) {
  const Result expected = whole();
  ASSERT_GT(calls, 60) << "the calls of a run are not seen";
  int killed = 0;
  for (const int call : sample(calls, 20)) {
    const std::string directory = fresh();
    const Result cut = run(what, directory, {"--threads", "1"},
                           faults(directory, "REEL_FAULTS_DO=kill REEL_FAULTS_AT=" + std::to_string(call)));
    ASSERT_EQ(cut.code, 128 + SIGKILL) << "call " << call;
    ++killed;
    EXPECT_EQ(recover(what, directory, 1 + call % 3), expected) << "killed before call " << call;
    std::filesystem::remove_all(directory);
  }
  std::cout << "killed at " << killed << " of " << calls << " calls, all recovered\n";
}

TEST_F(Crash, KilledAgainAndAgainWhileItGoesOnItReachesTheSameEnd) {
  const Result expected = whole();
  const std::string directory = fresh();
  int killed = 0;
  for (int call = 1; call < 1000; ++call) {
    // A little further each time, so that it gets past the last save at last.
    const bool begun = std::filesystem::exists(directory + "/log.jsonl");
    std::vector<std::string> more = {"--threads", std::to_string(1 + call % 5)};
    if (begun) more.emplace_back("--resume");
    const Result cut = run(what, directory, more,
                           faults(directory, "REEL_FAULTS_DO=kill REEL_FAULTS_AT=" + std::to_string(call)));
    if (cut.code == 0) break;
    ASSERT_EQ(cut.code, 128 + SIGKILL) << cut.err;
    ++killed;
  }
  EXPECT_GT(killed, 15);
  EXPECT_EQ(recover(what, directory), expected) << "after " << killed << " kills";
}

TEST_F(Crash, AnErrorOfTheDiskIsToldAndAfterwardsItGoesOnToTheSameEnd) {
  const Result expected = whole();
  int told = 0;
  int harmless = 0;
  for (const int call : sample(calls, 15)) {
    for (const int error : {ENOSPC, EIO, EDQUOT}) {
      if (!full() && error != (call % 2 == 0 ? EIO : ENOSPC)) continue;
      for (const char* stay : {"", " REEL_FAULTS_STAY=1"}) {
        if (!full() && (call % 3 == 0) != (*stay == '\0')) continue;
        const std::string directory = fresh();
        const Result cut = run(what, directory, {"--threads", "1"},
                               faults(directory, "REEL_FAULTS_DO=" + std::to_string(error) +
                                                     " REEL_FAULTS_AT=" + std::to_string(call) + stay));
        if (cut.code == 0) {
          // Only a name that could not be removed: nothing is lost.
          ++harmless;
          EXPECT_EQ(cut, expected) << call;
        } else {
          ++told;
          EXPECT_EQ(cut.code, 5) << call << ": " << cut.err;
          EXPECT_THAT(cut.err, HasSubstr(std::strerror(error))) << call;
          EXPECT_THAT(cut.err, HasSubstr(place.path())) << call;
        }
        EXPECT_EQ(recover(what, directory, 2), expected)
            << std::strerror(error) << " at call " << call << stay;
        std::filesystem::remove_all(directory);
      }
    }
  }
  EXPECT_GT(told, 10);
  std::cout << told << " errors told, " << harmless << " did no harm, all recovered\n";
}

TEST_F(Crash, ShortWritesAndInterruptedCallsChangeNothing) {
  const Result expected = whole();
  const std::string halved = fresh();
  EXPECT_EQ(run(what, halved, {"--threads", "1"}, faults(halved, "REEL_FAULTS_SHORT=1")), expected);
  const std::string interrupted = fresh();
  EXPECT_EQ(run(what, interrupted, {"--threads", "1"}, faults(interrupted, "REEL_FAULTS_TWICE=1")), expected);
  const std::string both = fresh();
  EXPECT_EQ(run(what, both, {"--threads", "1"}, faults(both, "REEL_FAULTS_TWICE=1 REEL_FAULTS_SHORT=1")),
            expected);
}

// The system calls in a trace of strace, as it wants to be told where to act: the name, and how many calls of
// that name it is. The first call starts the program.
std::vector<std::string> system_calls(const std::string& trace) {
  std::map<std::string, int> seen;
  std::vector<std::string> calls;
  std::istringstream lines(trace);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t end = line.find('(');
    const std::size_t begin = line.find_last_of(' ', end) + 1;
    if (end == std::string::npos || line.find("+++") != std::string::npos) continue;
    const std::string name = line.substr(begin, end - begin);
    const int count = ++seen[name];
    if (name != "execve") calls.push_back(name + ":signal=KILL:when=" + std::to_string(count));
  }
  return calls;
}

// strace knows every call, not only those that change files. Under it AddressSanitizer cannot look for leaks.
const std::string strace = "ASAN_OPTIONS=\"$ASAN_OPTIONS:detect_leaks=0\" strace -qq -o ";

TEST_F(Crash, KilledAtAnySystemCallItGoesOnToTheSameEnd) {
  if (std::system("strace -o /dev/null true >/dev/null 2>&1") != 0)
    GTEST_SKIP() << "strace is missing, or may not trace here";
  const Result expected = whole();
  const std::string trace = place / "trace";
  ASSERT_EQ(run(what, fresh(), {"--threads", "1"}, strace + "'" + trace + "'").code, 0);
  const std::vector<std::string> points = system_calls(contents(trace));
  ASSERT_GT(points.size(), 150U);
  int killed = 0;
  const std::vector<int> chosen = sample(static_cast<int>(points.size()), 15);
  for (const int i : chosen) {
    const std::string& point = points[static_cast<std::size_t>(i - 1)];
    const std::string directory = fresh();
    const Result cut = run(what, directory, {"--threads", "1"}, strace + "/dev/null -e inject=" + point);
    if (cut.code == 128 + SIGKILL) ++killed;
    // The number of calls may differ a little from run to run.
    EXPECT_THAT(cut.code, AnyOf(0, 128 + SIGKILL)) << point << cut.err;
    EXPECT_EQ(recover(what, directory, 1 + i % 3), expected) << point;
    std::filesystem::remove_all(directory);
  }
  EXPECT_GE(killed, static_cast<int>(chosen.size()) * 9 / 10);
  std::cout << "killed at " << killed << " of " << points.size() << " system calls, all recovered\n";
}

}  // namespace
}  // namespace reel::examples
