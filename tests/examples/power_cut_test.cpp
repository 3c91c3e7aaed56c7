#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <map>

#include "nn/checkpoint.h"
#include "nn/error.h"
#include "tests/examples/short_run.h"
#include "tests/support/disk.h"

// The power is cut in the middle of a run: what was not synced is gone, in part or out of order. Every state
// of the disk that this can leave is made, and the run goes on from it.

namespace reel::examples {
namespace {

// What a power cut may leave, and the step that must not be lost in it.
using States = std::map<Files, std::int64_t>;

// The step of the newest checkpoint that verifies.
std::int64_t step_in(const std::string& directory) {
  for (const char* name : {"/checkpoint.safetensors", "/checkpoint.previous.safetensors"}) {
    try {
      return nn::step_of(nn::read_checkpoint(directory + name));
    } catch (const std::exception&) {
    }
  }
  return 0;
}

class PowerCut : public testing::TestWithParam<ShortRun> {
 protected:
  Workplace place;
  const ShortRun& what = GetParam();

  std::string fresh() { return place / ("run-" + std::to_string(++runs)); }

  // Runs in the directory and collects the states after every call.
  States states_of(const std::string& directory, const std::vector<std::string>& more) {
    const std::string journal = place / ("journal-" + std::to_string(++runs));
    Disk disk(directory);
    std::int64_t safe = step_in(directory);
    const Result result =
        run(what, directory, more, faults(directory, "REEL_FAULTS_JOURNAL='" + journal + "'"));
    EXPECT_EQ(result.code, 0) << result.err;
    States states;
    bool saved = false;
    for (const FileCall& call : read_journal(journal)) {
      disk.apply(call);
      if (call.fields[0] == "rename") saved = saved || call.fields[2].ends_with("/checkpoint.safetensors");
      if (call.fields[0] == "sync directory" && saved) {
        // From now on this checkpoint was promised.
        safe = std::min<std::int64_t>(
            safe / what.checkpoint_every * what.checkpoint_every + what.checkpoint_every, what.steps);
        saved = false;
      }
      for (Files& files : disk.after_power_cut()) {
        auto [state, is_new] = states.try_emplace(std::move(files), safe);
        if (!is_new) state->second = std::max(state->second, safe);
      }
    }
    EXPECT_EQ(safe, what.steps) << "not every checkpoint was synced";
    return states;
  }

  // Goes on from about `most` of the states.
  void recover_all(const States& states, const Result& expected, int most) {
    const std::vector<int> chosen = sample(static_cast<int>(states.size()), most);
    int i = 0;
    for (const auto& [files, safe] : states) {
      ++i;
      const std::string directory = fresh();
      if (!files.empty()) put_files(files, directory);
      ASSERT_GE(step_in(directory), safe) << "a promised checkpoint is lost";
      if (std::binary_search(chosen.begin(), chosen.end(), i)) {
        std::string names;
        for (const auto& [name, bytes] : files)
          names += " " + name + " (" + std::to_string(bytes.size()) + ")";
        ASSERT_EQ(recover(what, directory, 1 + i % 3), expected) << "state " << i << ":" << names;
      }
      std::filesystem::remove_all(directory);
    }
    std::cout << chosen.size() << " of " << states.size() << " states of the disk, all recovered\n";
  }

  int runs = 0;
};

TEST_P(PowerCut, WhateverItLeavesTheRunEndsTheSame) {
  const Result expected = run(what, fresh());
  ASSERT_EQ(expected.code, 0) << expected.err;
  const States states = states_of(fresh(), {"--threads", "1"});
  EXPECT_GT(states.size(), 80U);
  recover_all(states, expected, 25);
}

TEST_P(PowerCut, AlsoInARunThatGoesOnAfterOne) {
  const Result expected = run(what, fresh());
  // Cut after the first save, with a torn log and a second save that did not get far.
  const std::string directory = fresh();
  EXPECT_EQ(
      run(what, directory, {"--threads", "1"}, faults(directory, "REEL_FAULTS_DO=kill REEL_FAULTS_AT=40"))
          .code,
      128 + SIGKILL);
  const States states = states_of(directory, {"--threads", "2", "--resume"});
  EXPECT_GT(states.size(), 30U);
  recover_all(states, expected, 10);
}

INSTANTIATE_TEST_SUITE_P(Short, PowerCut, testing::Values(short_classifier(), short_transformer()),
                         [](const auto& i) { return i.param.name; });

}  // namespace
}  // namespace reel::examples
