#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <iostream>

#include "kernels/matmul_bf16.h"
#include "nn/checkpoint.h"
#include "nn/mlp.h"
#include "nn/optimizer.h"
#include "tests/examples/short_run.h"
#include "tests/support/disk.h"

// A run that is stopped after any step, or whose files are damaged, and goes on with another number of
// threads ends with the bytes of one that was left alone.

namespace reel::examples {
namespace {

using testing::HasSubstr;

class Resume : public testing::TestWithParam<ShortRun> {
 protected:
  Workplace place;
  const ShortRun& what = GetParam();

  std::string fresh() { return place / ("run-" + std::to_string(++runs)); }
  int runs = 0;
};

// The same run with a checkpoint after every step.
ShortRun saving_always(const ShortRun& what) {
  ShortRun result = what;
  const auto flag = std::find(result.words.begin(), result.words.end(), "--checkpoint-every");
  *std::next(flag) = "1";
  result.checkpoint_every = 1;
  return result;
}

// The files after every step, as a kill would leave them.
std::vector<Files> files_after_steps(const ShortRun& what, const std::string& directory,
                                     const std::string& journal) {
  const Result whole =
      run(what, directory, {"--threads", "1"}, faults(directory, "REEL_FAULTS_JOURNAL='" + journal + "'"));
  EXPECT_EQ(whole.code, 0) << whole.err;
  std::vector<int> ends;
  int calls = 0;
  for (const FileCall& call : read_journal(journal)) {
    ++calls;
    if (call.fields[0] == "rename" && call.fields[2].ends_with("/checkpoint.safetensors"))
      ends.push_back(calls);
  }
  std::vector<Files> states;
  for (const int end : ends) {
    std::filesystem::remove_all(directory);
    const Result cut =
        run(what, directory, {"--threads", "1"},
            faults(directory, "REEL_FAULTS_DO=kill REEL_FAULTS_AT=" + std::to_string(end + 1)));
    EXPECT_EQ(cut.code, 128 + SIGKILL);
    states.push_back(files_of(directory));
  }
  return states;
}

TEST_P(Resume, AfterEveryStepAndWithAnyNumberOfThreads) {
  const ShortRun always = saving_always(what);
  const Result expected = run(always, fresh());
  const std::vector<Files> states = files_after_steps(always, fresh(), place / "journal");
  ASSERT_EQ(states.size(), static_cast<std::size_t>(what.steps));
  int threads = 0;
  for (const Files& files : states) {
    const std::string directory = fresh();
    put_files(files, directory);
    EXPECT_EQ(recover(always, directory, 1 + ++threads % 5), expected) << "after step " << threads;
  }
}

TEST_P(Resume, StoppedAfterEveryStepInTurn) {
  const ShortRun always = saving_always(what);
  const Result expected = run(always, fresh());
  const std::string directory = fresh();
  int stops = 0;
  for (; stops < 50; ++stops) {
    // Each process makes one step, saves it, and is killed when it writes the next line of the log.
    std::vector<std::string> more = {"--threads", std::to_string(1 + stops % 4)};
    if (stops > 0) more.emplace_back("--resume");
    const std::string journal = place / ("journal-" + std::to_string(stops));
    const Workplace probe;
    if (stops > 0) std::filesystem::copy(directory, probe / "run");
    run(always, probe / "run", more, faults(probe / "run", "REEL_FAULTS_JOURNAL='" + journal + "'"));
    int at = 0;
    int calls = 0;
    for (const FileCall& call : read_journal(journal)) {
      ++calls;
      if (at == 0 && call.fields[0] == "rename" && call.fields[2].ends_with("/checkpoint.safetensors"))
        at = calls + 1;
    }
    if (at == 0) break;  // no step is left
    const Result cut = run(always, directory, more,
                           faults(directory, "REEL_FAULTS_DO=kill REEL_FAULTS_AT=" + std::to_string(at)));
    ASSERT_EQ(cut.code, 128 + SIGKILL) << cut.err;
  }
  EXPECT_EQ(stops, what.steps);
  EXPECT_EQ(recover(always, directory), expected);
}

TEST_P(Resume, FromThePreviousGenerationIfAnyByteOfTheNewestIsDamagedAndSaysSo) {
  const Result expected = run(what, fresh());
  const std::string whole = fresh();
  ASSERT_EQ(run(what, whole), expected);
  const Files good = files_of(whole);
  const std::string& newest = good.at("checkpoint.safetensors");
  const auto check = [&](std::string damaged, const std::string& how) {
    Files files = good;
    files["checkpoint.safetensors"] = std::move(damaged);
    const std::string directory = fresh();
    put_files(files, directory);
    const Result result = recover(what, directory, 2);
    EXPECT_EQ(result, expected) << how;
    EXPECT_THAT(result.err, HasSubstr("skipped a checkpoint: " + directory + "/checkpoint.safetensors: "))
        << how;
    std::filesystem::remove_all(directory);
  };
  const int size = static_cast<int>(newest.size());
  // tests/nn/checkpoint_test.cpp takes every byte of a file; here each costs a run.
  const std::vector<int> chosen = sample(size, 12, 1500);
  for (const int i : chosen) {
    const auto at = static_cast<std::size_t>(i - 1);
    std::string flipped = newest;
    flipped[at] = static_cast<char>(flipped[at] ^ (1 << (i % 8)));
    check(flipped, "a bit of byte " + std::to_string(at));
    check(newest.substr(0, at), "cut to " + std::to_string(at) + " bytes");
  }
  std::cout << chosen.size() << " of " << size << " bytes flipped, and as many cuts\n";
}

TEST_P(Resume, SaysWhatIsWrongIfBothGenerationsAreDamaged) {
  const std::string directory = fresh();
  run(what, directory);
  for (const char* name : {"/checkpoint.safetensors", "/checkpoint.previous.safetensors"}) {
    std::string bytes = contents(directory + name);
    bytes.back() = static_cast<char>(bytes.back() ^ 1);
    write(directory + name, bytes);
  }
  const Result result = run(what, directory, {"--resume"});
  EXPECT_EQ(result.code, 4);
  EXPECT_THAT(result.err, HasSubstr("checkpoint.safetensors: the checksum does not match"));
  EXPECT_THAT(result.err, HasSubstr("checkpoint.previous.safetensors: the checksum does not match"));
  EXPECT_THAT(result.err, HasSubstr("best.safetensors may still be whole"));
}

TEST(ResumeOfAnotherBuild, GoesOnAndSaysSo) {
  const Workplace place;
  const std::string directory = place / "run";
  const ShortRun what = short_classifier();
  ASSERT_EQ(run(what, directory).code, 0);
  const auto config = nlohmann::json::parse(contents(directory + "/config.json"));
  const std::string build = config.at("build");
  EXPECT_THAT(build, HasSubstr("++ "));
  EXPECT_EQ(run(what, directory, {"--resume"}).err, "");

  const std::vector<std::int64_t> sizes = {4, 8, 3};
  nn::Mlp model(nn::Seed{0}, sizes);
  nn::AdamW adam(model);
  nn::Checkpoint checkpoint(directory, model.parameters(), adam);
  const std::int64_t step = checkpoint.load();
  EXPECT_EQ(checkpoint.notes().at("build"), build);
  const auto resumed = [&] {
    checkpoint.save(step);
    const Result result = run(what, directory, {"--resume"});
    EXPECT_EQ(result.code, 0);
    return result.err;
  };
  checkpoint.notes()["build"] = "x86-64-v0, another compiler";
  EXPECT_THAT(resumed(),
              HasSubstr("made by another build: x86-64-v0, another compiler; this one is " + build));
  checkpoint.notes().erase("build");
  EXPECT_THAT(resumed(), HasSubstr("made by another build: a build that did not say"));
  checkpoint.notes()["build"] = build;
  EXPECT_EQ(resumed(), "");
}

// Which columns are no features is recorded since there is a flag for it.
TEST(ResumeOfAnOlderVersion, GoesOnWithoutTheColumnsThatItDidNotRecord) {
  const Workplace place;
  const std::string directory = place / "run";
  const ShortRun what = short_classifier();
  const Result expected = run(what, directory);
  ASSERT_EQ(expected.code, 0);
  const auto without = [](const std::string& text) {
    auto config = nlohmann::ordered_json::parse(text);
    EXPECT_EQ(config.erase("ignore_columns"), 1U);
    return config.dump();
  };
  const std::vector<std::int64_t> sizes = {4, 8, 3};
  nn::Mlp model(nn::Seed{0}, sizes);
  nn::AdamW adam(model);
  nn::Checkpoint checkpoint(directory, model.parameters(), adam);
  const std::int64_t step = checkpoint.load();
  checkpoint.notes()["config"] = without(checkpoint.notes().at("config"));
  checkpoint.save(step);
  write(directory + "/config.json", without(contents(directory + "/config.json")));

  const Result again = run(what, directory, {"--resume"});
  EXPECT_EQ(again.code, 0);
  EXPECT_EQ(again.err, "");
  EXPECT_EQ(again.fingerprint, expected.fingerprint);
  EXPECT_EQ(run(what, directory, {"--resume", "--ignore-columns", "0"}).err,
            "reel: --resume: the run was started with --ignore-columns \"\", now it is 0; leave "
            "--ignore-columns out to go on with the run in " +
                directory + "\n");
  const Ran measured = run_reel({"evaluate", "--model", directory + "/checkpoint.safetensors"}, place.path());
  EXPECT_EQ(measured.code, 0) << measured.err;
}

// With bfloat16 the bits depend on the matrix unit, too.
TEST(ResumeOfAnotherBuild, OfBf16IsAlsoOneOfAnotherProcessor) {
  const bool tiles = kernels::fastest_way() == kernels::Bf16Way::tiles;
  for (const char* const precision : {"f32", "bf16x6", "bf16"}) {
    const Workplace place;
    const std::string directory = place / "run";
    const ShortRun what = short_classifier();
    ASSERT_EQ(run(what, directory, {"--precision", precision}).code, 0);
    const std::string build = nlohmann::json::parse(contents(directory + "/config.json")).at("build");
    EXPECT_EQ(build.find(" and AMX, ") != std::string::npos, tiles && precision != std::string("f32"))
        << build;
    EXPECT_EQ(run(what, directory, {"--resume"}).err, "");
  }
}

INSTANTIATE_TEST_SUITE_P(Short, Resume, testing::Values(short_classifier(), short_transformer()),
                         [](const auto& i) { return i.param.name; });

}  // namespace
}  // namespace reel::examples
