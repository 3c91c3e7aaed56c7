#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "tests/examples/program.h"

// Runs that are stopped from outside: what they save, what they say, and that they go on from there.

namespace reel::examples {
namespace {

using testing::HasSubstr;

// In front of the program: a shell has what it starts with & ignore SIGINT, and whoever runs this test may
// ignore SIGHUP.
const std::string hearing = "env --default-signal=INT,HUP ";
std::string ignoring(const std::string& signal) { return "trap '' " + signal + "; "; }

class StoppedRun : public testing::Test {
 protected:
  Workplace place;
  Ran reel(const std::vector<std::string>& words) { return run_reel(words, place.path()); }

  // Starts the program, does `kill` to its $pid when the log in `directory` has so many lines, and gives its
  // exit code, as a line. What it says is in out.txt and err.txt.
  std::string stopped(const std::vector<std::string>& words, const std::string& directory, int lines,
                      const std::string& kill, const std::string& before = hearing) {
    std::string script = "cd '" + place.path() + "'; " + before + "'" REEL_PROGRAM "'";
    for (const std::string& word : words) script += " " + word;
    script += " >out.txt 2>err.txt & pid=$!; while kill -0 $pid && [ \"$(cat " + directory +
              "/log.jsonl | wc -l)\" -lt " + std::to_string(lines) + " ]; do :; done; " + kill +
              "; wait $pid; echo $? >code.txt";
    write(place / "run.sh", script);
    EXPECT_EQ(std::system(("bash '" + (place / "run.sh") + "' 2>/dev/null").c_str()), 0);
    return contents(place / "code.txt");
  }
};

TEST_F(StoppedRun, ResumesToTheSameBytesHoweverItWasStopped) {
  const std::vector<std::string> flags = {
      "train", "--width", "16",         "--heads",      "2",           "--batch",
      "8",     "--steps", "150",        "--eval-every", "50",          "--checkpoint-every",
      "7",     "--json",  "--progress", "none",         "--log-every", "1"};
  const auto with = [&](std::vector<std::string> more) {
    std::vector<std::string> words = flags;
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  const Ran whole = reel(with({"--out", "whole"}));
  ASSERT_EQ(whole.code, 0) << whole.err;
  EXPECT_EQ(keys(whole.json()),
            (std::set<std::string>{"task", "data", "steps", "parameters", "threads", "train_loss",
                                   "validation_loss", "exact_match", "skipped_steps", "seconds",
                                   "tokens_per_second", "fingerprint", "checkpoint", "report"}));
  const std::string directory = place / "cut";
  int lines = 20;
  std::vector<std::string> resume;
  for (const char* signal : {"KILL", "INT", "KILL", "TERM"}) {
    // Stops the run when its log has so many lines, and goes on with it on another number of threads.
    std::vector<std::string> words = with({"--out", "cut", "--threads", std::to_string(1 + lines % 3)});
    words.insert(words.end(), resume.begin(), resume.end());
    const int code = std::stoi(stopped(words, "cut", lines, std::string("kill -") + signal + " $pid"));
    // Before the first step and after the last there is nothing to save, and the signal just ends it.
    const bool ended = std::string(signal) == "TERM" && code == 128 + SIGTERM;
    EXPECT_TRUE(code == 0 || ended || code == (std::string(signal) == "KILL" ? 137 : 130))
        << code << contents(place / "out.txt");
    resume = {"--resume"};
    lines += 30;
  }
  const Ran resumed = reel(with({"--out", "cut", "--resume"}));
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_EQ(resumed.json()["fingerprint"], whole.json()["fingerprint"]);
  EXPECT_TRUE(contents(directory + "/checkpoint.safetensors") ==
              contents(place / "whole/checkpoint.safetensors"));
  EXPECT_EQ(contents(directory + "/log.jsonl"), contents(place / "whole/log.jsonl"));
  const std::string report = contents(place / "whole/report.html");
  EXPECT_THAT(report, HasSubstr("held out"));
  EXPECT_TRUE(contents(directory + "/report.html") == report);

  const Ran other = reel(with({"--out", "cut", "--resume", "--lr", "0.1"}));
  EXPECT_EQ(other.code, 2);
  EXPECT_THAT(other.err, HasSubstr("--lr"));
  const Ran again = reel(with({"--out", "cut"}));
  EXPECT_EQ(again.code, 2);
  EXPECT_THAT(again.err, HasSubstr("--resume"));
  const Ran complete = reel(with({"--out", "cut", "--resume"}));
  EXPECT_EQ(complete.code, 0) << complete.err;
  EXPECT_EQ(complete.json()["fingerprint"], whole.json()["fingerprint"]);
  EXPECT_TRUE(contents(directory + "/report.html") == report);
}

// A step of thousands of batches would keep whoever pressed Ctrl-C waiting.
TEST_F(StoppedRun, DropsTheStepThatItIsStoppedInBetweenTwoOfItsBatches) {
  const std::vector<std::string> flags = {"train", "--layers",   "1",   "--heads",     "1", "--width",
                                          "8",     "--batch",    "1",   "--steps",     "4", "--accumulate",
                                          "20000", "--dropout",  "0.1", "--log-every", "1", "--eval-every",
                                          "100",   "--progress", "none"};
  const auto lines_of = [&] {
    const std::string log = contents(place / "cut/log.jsonl");
    return std::count(log.begin(), log.end(), '\n');
  };
  std::string start = "cd '" + place.path() + "'; '" REEL_PROGRAM "'";
  for (const std::string& word : flags) start += " " + word;
  for (int lines = 0; lines < 3; ++lines) {
    // Waits until so many steps are done, and a little, until the next one has surely begun.
    write(
        place / "run.sh",
        start + " --out cut " + (lines > 0 ? "--resume" : "") + " >out.txt 2>&1 & pid=$!; cd '" +
            place.path() +
            "'; while kill -0 $pid && { [ ! -s cut/config.json ] || [ \"$(cat cut/log.jsonl | wc -l)\" -lt " +
            std::to_string(lines) +
            " ]; }; do :; done; sleep 0.05; cat cut/log.jsonl | wc -l >lines.txt; kill -TERM $pid; wait "
            "$pid; echo $? >code.txt");
    ASSERT_EQ(std::system(("bash '" + (place / "run.sh") + "' 2>/dev/null").c_str()), 0);
    const int done = std::stoi(contents(place / "lines.txt"));
    EXPECT_EQ(contents(place / "code.txt"), "130\n") << contents(place / "out.txt");
    EXPECT_THAT(contents(place / "out.txt"),
                HasSubstr("Interrupted after step " + std::to_string(done) + "."));
    EXPECT_EQ(lines_of(), done);
    EXPECT_EQ(std::filesystem::exists(place / "cut/checkpoint.safetensors"), done > 0);
  }
  const auto with = [&](const std::vector<std::string>& more) {
    std::vector<std::string> words = flags;
    words.insert(words.end(), more.begin(), more.end());
    const Ran ran = reel(words);
    EXPECT_EQ(ran.code, 0) << ran.err;
  };
  with({"--out", "whole"});
  with({"--out", "cut", "--resume"});
  for (const char* name : {"/checkpoint.safetensors", "/log.jsonl", "/report.html"})
    EXPECT_TRUE(contents(place / ("cut" + std::string(name))) ==
                contents(place / ("whole" + std::string(name))))
        << name;
}

TEST_F(StoppedRun, AnswersTheFirstCtrlC) {
  for (const std::string progress : {"plain", "none"}) {
    const std::string code =
        stopped({"train", "classifier", "--data", "iris", "--epochs", "1000000", "--log-every", "1",
                 "--checkpoint-every", "1000000", "--out", progress, "--progress", progress},
                progress, 1, "kill -INT $pid");
    EXPECT_EQ(code, "130\n");
    const bool answers =
        contents(place / "err.txt").find("finishing this step, then saving") != std::string::npos;
    EXPECT_EQ(answers, progress == "plain");
  }
}

TEST_F(StoppedRun, DoesNotHearASignalThatItWasStartedToIgnore) {
  for (const std::string signal : {"INT", "TERM", "HUP"}) {
    const std::string code = stopped({"train", "classifier", "--data", "iris", "--epochs", "1000",
                                      "--log-every", "1", "--progress", "none", "--out", signal},
                                     signal, 1, "kill -" + signal + " $pid", ignoring(signal));
    EXPECT_EQ(code, "0\n") << signal;
  }
}

TEST_F(StoppedRun, SavesWhenItsTerminalIsClosedAndGoesOnUnderNohup) {
  for (const bool nohup : {false, true}) {
    const std::string out = nohup ? "deaf" : "run";
    // The signal comes twice: from the system, and from the shell of the terminal.
    const std::string code =
        stopped({"train", "--layers", "1", "--heads", "1", "--width", "8", "--batch", "4", "--steps",
                 nohup ? "3000" : "1000000", "--eval-every", "1000000", "--log-every", "1", "--out", out},
                out, 5, "kill -HUP $pid; kill -HUP $pid", nohup ? ignoring("HUP") : hearing);
    EXPECT_EQ(code, nohup ? "0\n" : "130\n") << contents(place / "out.txt");
    EXPECT_TRUE(std::filesystem::exists(place / (out + "/checkpoint.safetensors")));
  }
}

TEST_F(StoppedRun, SavesWhenWhoeverReadItsOutputIsGone) {
  const std::string command =
      "cd '" + place.path() +
      "' && { '" REEL_PROGRAM
      "' train classifier --data spirals --epochs 1000000 --checkpoint-every 1000000 "
      "--progress plain --log-every 1 --out run; echo $? >code.txt; } 2>&1 | head -n 1 >/dev/null";
  ASSERT_EQ(std::system(command.c_str()), 0);
  EXPECT_EQ(contents(place / "code.txt"), "130\n");
  EXPECT_TRUE(std::filesystem::exists(place / "run/checkpoint.safetensors"));
}

}  // namespace
}  // namespace reel::examples
