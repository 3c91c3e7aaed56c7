#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "data/npy.h"
#include "data/npz.h"
#include "tests/examples/program.h"
#include "tests/examples/short_run.h"
#include "tests/support/disk.h"

namespace reel::examples {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::StartsWith;

class Autopsy : public ::testing::Test {
 protected:
  Workplace place;
  Ran reel(const std::vector<std::string>& words) { return run_reel(words, place.path()); }

  // Training that skips a step now and then and gets to its end: one row is twenty deviations away from all
  // others, and with weights of this size only its batch is not finite.
  std::vector<std::string> with_an_outlier(const char* epochs, const std::vector<std::string>& more) {
    std::string csv = "x,y,class\n";
    for (int i = 0; i < 400; ++i) {
      csv += std::to_string(i == 7 ? 1 : 0) + "," + std::to_string(i * 37 % 11) + "," +
             std::to_string(i % 2) + "\n";
    }
    write(place / "t.csv", csv);
    std::vector<std::string> words = {"train",          "classifier", "--data", "t.csv", "--batch",  "8",
                                      "--lr",           "1.5e18",     "--seed", "2",     "--hidden", "4",
                                      "--weight-decay", "0",          "--out",  "run",   "--epochs", epochs};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }

  // Every file of the run and of its autopsies, with its bytes.
  std::map<std::string, std::string> files() {
    std::map<std::string, std::string> result;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(place / "run")) {
      if (entry.is_regular_file()) result[entry.path().string()] = contents(entry.path());
    }
    return result;
  }
};

std::vector<std::string> names(const std::map<std::string, std::string>& files) {
  std::vector<std::string> result;
  for (const auto& [name, bytes] : files) result.push_back(name);
  return result;
}

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t found = 0;
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; ++at) ++found;
  return found;
}

std::string between(const std::string& text, const std::string& before, const std::string& after) {
  const std::size_t begin = text.find(before);
  if (begin == std::string::npos) return "";
  const std::size_t from = begin + before.size();
  return text.substr(from, text.find(after, from) - from);
}

// Without the tape, which comes first, and without the lines that name the directory.
std::string finding(const std::string& text) {
  const std::size_t begin = text.find("error: ");
  return text.substr(begin, text.find("    files ", begin) - begin);
}

TEST_F(Autopsy, ARunThatBlowsUpNamesOpLayerAndStepAndStops) {
  const Ran ran =
      reel({"train", "classifier", "--data", "moons", "--lr", "1e20", "--epochs", "3", "--out", "run"});
  EXPECT_EQ(ran.code, 6);
  EXPECT_THAT(ran.err, HasSubstr("5 steps in a row"));
  // Where the sums overflow depends on whether the build fuses multiply and add, so that the element is not
  // the same in all builds; the table has to name the one of the message.
  const std::string element = between(ran.err, "error: linear_relu: ", "\n");
  EXPECT_THAT(element, MatchesRegex("value [0-9]+ is (inf|nan)"));
  EXPECT_THAT(ran.err, HasSubstr("layer    layer1\n"));
  EXPECT_THAT(ran.err, HasSubstr("autopsy run/autopsy-step-2"));
  const std::string log = contents(place / "run/log.jsonl");
  EXPECT_THAT(log, HasSubstr("\"step\":1,\"loss\":"));
  EXPECT_THAT(log, HasSubstr("\"step\":2,\"skipped\":"));

  const std::string report = contents(place / "run/autopsy-step-2/report.txt");
  EXPECT_THAT(report, HasSubstr("step     2 (the first is 1)"));
  EXPECT_THAT(report, HasSubstr("weight   [64, 128]  parameter \"layer1.weight\"  in [-1.0"));
  EXPECT_THAT(report, HasSubstr("./reel autopsy run/autopsy-step-2\n"));
  const std::string table = contents(place / "run/autopsy-step-2/tape.txt");
  EXPECT_THAT(table, HasSubstr("parameter layer2.weight"));
  EXPECT_THAT(table, HasSubstr("cross_entropy"));
  EXPECT_THAT(table, HasSubstr("<- " + element + "\n"));
  const auto batch = data::read_npz(place / "run/autopsy-step-2/batch.npz");
  EXPECT_EQ(batch.at("inputs").shape, (std::vector<std::int64_t>{64, 2}));
  EXPECT_EQ(batch.at("labels").count(), 64U);
  std::string rows = "batch    rows ";
  for (const std::int64_t row : batch.at("rows").to_integers()) {
    if (!rows.ends_with(" ")) rows += ", ";
    rows += std::to_string(row);
  }
  EXPECT_THAT(report, HasSubstr(rows + " of the training part\n"));
}

TEST_F(Autopsy, TheStepHasTheSameNumberEverywhere) {
  const Ran ran =
      reel({"train", "classifier", "--data", "moons", "--lr", "1e20", "--epochs", "3", "--out", "run"});
  EXPECT_THAT(ran.err, HasSubstr("step 2 skipped: "));
  EXPECT_THAT(ran.err, Not(HasSubstr("step 1 skipped: ")));
  EXPECT_THAT(contents(place / "run/log.jsonl"), HasSubstr("{\"step\":2,\"skipped\":"));
  EXPECT_THAT(contents(place / "run/autopsy-step-2/report.txt"), HasSubstr("step     2 (the first is 1)"));
  EXPECT_EQ(reel({"autopsy", "run/autopsy-step-2", "--json"}).json()["step"], 2);
}

TEST_F(Autopsy, SkippedStepsAreCountedOverTheWholeRun) {
  const auto train = [&](const char* epochs, const std::vector<std::string>& more) {
    return reel(with_an_outlier(epochs, more));
  };
  const auto in_the_log = [&] { return count(contents(place / "run/log.jsonl"), "\"skipped\":"); };
  const Ran first = train("1", {"--json"});
  ASSERT_EQ(first.code, 0) << first.err;
  const std::size_t in_one_epoch = in_the_log();
  EXPECT_GT(in_one_epoch, 0U);
  EXPECT_EQ(first.json()["skipped_steps"], in_one_epoch);
  const Ran second = train("2", {"--resume"});
  ASSERT_EQ(second.code, 0) << second.err;
  EXPECT_GT(in_the_log(), in_one_epoch);
  EXPECT_THAT(second.out, HasSubstr("skipped        " + std::to_string(in_the_log()) +
                                    " of 80 steps, whose numbers were not finite\n"));
  EXPECT_EQ(train("2", {"--resume", "--json"}).json()["skipped_steps"], in_the_log());  // complete already
}

// What a step that was skipped leaves in the log must not depend on which process did the step before it.
TEST_F(Autopsy, ARunThatGoesOnAmongSkippedStepsEndsAsIfItHadNotStopped) {
  const std::vector<std::string> train = {
      "train", "classifier",         "--data", "moons",       "--lr", "1e20",  "--epochs",
      "3",     "--checkpoint-every", "1",      "--log-every", "1",    "--out", "run"};
  const Ran whole = reel(train);
  EXPECT_EQ(whole.code, 6);
  const std::string log = contents(place / "run/log.jsonl");
  EXPECT_THAT(log, HasSubstr("{\"step\":2,\"loss\":null,"));
  EXPECT_THAT(log, HasSubstr("\"gradient_norm\":null}"));
  auto resume = train;
  resume.emplace_back("--resume");
  for (const char* lost : {"run/nothing", "run/checkpoint.safetensors"}) {
    std::filesystem::remove(place / lost);
    const Ran again = reel(resume);
    EXPECT_EQ(again.code, 6);
    EXPECT_EQ(contents(place / "run/log.jsonl"), log);
    const auto end = [](const Ran& ran) { return ran.err.substr(ran.err.find("reel: training stopped")); };
    EXPECT_EQ(end(again), end(whole));
  }
}

TEST_F(Autopsy, ARunKeepsItsFirstThreeAndNamesTheCulpritOfEveryStep) {
  const Ran ran = reel(with_an_outlier("8", {"--progress", "none"}));
  ASSERT_EQ(ran.code, 0) << ran.err;
  std::vector<std::string> first_steps;  // of those that are skipped in a row
  std::int64_t before = -1;
  std::istringstream log(contents(place / "run/log.jsonl"));
  for (std::string line; std::getline(log, line);) {
    const auto entry = nlohmann::json::parse(line);
    if (!entry.contains("skipped")) continue;
    EXPECT_THAT(entry["skipped"].get<std::string>(), HasSubstr("error: linear: value "));
    const std::int64_t step = entry["step"];
    if (step != before + 1) first_steps.push_back("autopsy-step-" + std::to_string(step));
    EXPECT_EQ(entry.contains("autopsy"), step != before + 1 && first_steps.size() <= 3) << line;
    before = step;
  }
  ASSERT_GT(first_steps.size(), 4U);
  std::set<std::string> kept;
  for (const auto& entry : std::filesystem::directory_iterator(place / "run")) {
    if (entry.is_directory()) kept.insert(entry.path().filename());
  }
  EXPECT_EQ(kept, std::set<std::string>(first_steps.begin(), first_steps.begin() + 3));
  EXPECT_EQ(count(ran.err, "reel: the run keeps its first 3 autopsies and no more"), 1U) << ran.err;
}

// The autopsies that are kept, too, must not depend on which process did the steps before, and nothing may be
// left of a file that was not finished.
TEST_F(Autopsy, ARunThatIsKilledWhileItKeepsOneEndsWithTheSameFiles) {
  const std::vector<std::string> train =
      with_an_outlier("6", {"--checkpoint-every", "7", "--eval-every", "20"});
  auto resume = train;
  resume.emplace_back("--resume");
  const Ran whole = run_reel(train, place.path(),
                             faults(place / "run", "REEL_FAULTS_JOURNAL='" + (place / "journal") + "'"));
  ASSERT_EQ(whole.code, 0) << whole.err;
  const auto expected = files();
  std::vector<int> points;  // a file is about to get its name
  int call = 0;
  for (const FileCall& made : read_journal(place / "journal")) {
    ++call;
    if (made.fields[0] == "rename" && made.fields[2].find("/autopsy-step-") != std::string::npos)
      points.push_back(call);
  }
  ASSERT_EQ(points.size(), 12U);
  points.push_back(call * 2 / 3);  // all are kept by then
  points.push_back(call);
  for (const int i : sample(static_cast<int>(points.size()), 7)) {
    const int point = points[static_cast<std::size_t>(i - 1)];
    std::filesystem::remove_all(place / "run");
    const Ran cut =
        run_reel(train, place.path(),
                 faults(place / "run", "REEL_FAULTS_DO=kill REEL_FAULTS_AT=" + std::to_string(point)));
    ASSERT_EQ(cut.code, 128 + SIGKILL) << point;
    const Ran again = reel(resume);
    EXPECT_EQ(again.code, 0) << again.err;
    const auto found = files();
    EXPECT_EQ(names(found), names(expected)) << "killed before call " << point;
    EXPECT_TRUE(found == expected) << "killed before call " << point;
  }
}

TEST_F(Autopsy, DoesTheStepAgainWithoutTheRun) {
  reel({"train", "classifier", "--data", "moons", "--lr", "1e20", "--epochs", "3", "--out", "run"});
  const std::string report = contents(place / "run/autopsy-step-2/report.txt");
  std::filesystem::rename(place / "run/autopsy-step-2", place / "kept");
  std::filesystem::remove_all(place / "run");
  const Ran ran = reel({"autopsy", "kept"});
  EXPECT_EQ(ran.code, 6);
  EXPECT_EQ(finding(ran.out + "\n"), finding(report));
  const auto json = reel({"autopsy", "kept", "--json"}).json();
  EXPECT_EQ(json["reproduced"], true);
  EXPECT_EQ(json["op"], "linear_relu");
  EXPECT_EQ(json["pass"], "forward");
  EXPECT_EQ(json["layer"], "layer1");
  EXPECT_EQ(json["step"], 2);
  EXPECT_EQ(json["tape"], contents(place / "kept/tape.txt"));
}

TEST_F(Autopsy, DropoutDropsTheSameAgain) {
  const Ran trained = reel({"train", "transformer", "--width", "16", "--steps", "30", "--lr", "1e30",
                            "--warmup", "0", "--dropout", "0.3", "--accumulate", "2", "--out", "run"});
  EXPECT_EQ(trained.code, 6) << trained.err;
  const std::string report = contents(place / "run/autopsy-step-2/report.txt");
  const Ran ran = reel({"autopsy", "run/autopsy-step-2"});
  EXPECT_EQ(ran.code, 6);
  EXPECT_EQ(finding(ran.out + "\n"), finding(report));
  EXPECT_THAT(report, HasSubstr("layer    transformer.h.0.attn.c_attn\n"));
  EXPECT_THAT(report, HasSubstr("part 1 of 2"));
  EXPECT_THAT(report, HasSubstr("batch    sums 256, 257, "));
  // The masks of dropout are in the ranges of what it made.
  EXPECT_THAT(ran.out, StartsWith(contents(place / "run/autopsy-step-2/tape.txt")));
}

TEST_F(Autopsy, DoneWhereItWasItGivesTheSameReport) {
  reel({"train", "classifier", "--data", "moons", "--lr", "1e20", "--epochs", "3", "--out", "run"});
  const std::string kept = place / "run/autopsy-step-2/";
  EXPECT_EQ(reel({"autopsy", "run/autopsy-step-2"}).out,
            contents(kept + "tape.txt") + "\n" + contents(kept + "report.txt"));
}

TEST_F(Autopsy, DetectAnomalyStopsAtTheFirstStep) {
  const Ran ran = reel({"train", "classifier", "--data", "moons", "--lr", "1e20", "--epochs", "3", "--out",
                        "run", "--detect-anomaly"});
  EXPECT_EQ(ran.code, 6);
  EXPECT_THAT(ran.err, HasSubstr("step 2: "));
  EXPECT_THAT(ran.err, HasSubstr("layer    layer1\n"));
  EXPECT_THAT(ran.err, Not(HasSubstr("in a row")));
  EXPECT_EQ(reel({"autopsy", "run/autopsy-step-2"}).code, 6);
}

// 2^32 more is the same number in 32 bits.
TEST_F(Autopsy, ABatchWithNumbersThatAreNoClassOrTokenIsRefused) {
  const auto refused = [&](const std::string& directory, const std::string& array, std::size_t element,
                           std::int64_t number) {
    const std::string path = place / (directory + "/batch.npz");
    const std::string before = contents(path);
    data::NpzWriter writer;
    for (const auto& [name, values] : data::read_npz(path)) {
      if (name == "inputs") {
        writer.add(name, values.shape, values.to_floats());
        continue;
      }
      std::vector<std::int64_t> numbers = values.to_integers();
      if (name == array) numbers.at(element) = number;
      writer.add(name, values.shape, numbers);
    }
    writer.write(path);
    const Ran ran = reel({"autopsy", directory});
    EXPECT_EQ(ran.code, 3) << ran.err;
    EXPECT_THAT(ran.err, HasSubstr(directory + "/batch.npz"));
    EXPECT_THAT(ran.err, HasSubstr(array));
    EXPECT_THAT(ran.err, HasSubstr("element " + std::to_string(element) + " is " + std::to_string(number) +
                                   ", which is no "));
    write(path, before);
  };
  constexpr std::int64_t around = std::int64_t{1} << 32;
  reel({"train", "classifier", "--data", "moons", "--lr", "1e20", "--epochs", "3", "--out", "run"});
  refused("run/autopsy-step-2", "labels", 3, around);
  refused("run/autopsy-step-2", "labels", 0, 2);
  refused("run/autopsy-step-2", "labels", 0, -100);
  EXPECT_EQ(reel({"autopsy", "run/autopsy-step-2"}).code, 6);
  reel({"train", "transformer", "--width", "16", "--steps", "30", "--lr", "1e30", "--warmup", "0", "--out",
        "text"});
  refused("text/autopsy-step-2", "tokens", 5, around + 1);
  refused("text/autopsy-step-2", "targets", 20, around + 1);
  refused("text/autopsy-step-2", "targets", 20, -1);
  refused("text/autopsy-step-2", "tokens", 5, -100);
  EXPECT_EQ(reel({"autopsy", "text/autopsy-step-2"}).code, 6);
}

TEST_F(Autopsy, WhatIsNoAutopsyIsRefused) {
  reel({"train", "classifier", "--data", "iris", "--epochs", "2", "--out", "run"});
  for (const char* directory : {"nowhere", "run"}) {
    const Ran ran = reel({"autopsy", directory});
    EXPECT_EQ(ran.code, 5);
    EXPECT_THAT(ran.err, HasSubstr(std::string(directory) + ": there is no autopsy in it"));
    EXPECT_THAT(ran.err, HasSubstr("as autopsy-step-N, when a number of step N is not finite"));
  }
  std::filesystem::create_directory(place / "none");
  std::filesystem::copy_file(place / "run/best.safetensors", place / "none/model.safetensors");
  const Ran without_batch = reel({"autopsy", "none"});
  EXPECT_EQ(without_batch.code, 5);
  EXPECT_THAT(without_batch.err, HasSubstr("batch.npz"));
  data::NpzWriter writer;
  writer.add("something", std::vector<std::int64_t>{1}, std::vector<float>{1});
  writer.write(place / "none/batch.npz");
  EXPECT_EQ(reel({"autopsy", "none"}).code, 4);
}

}  // namespace
}  // namespace reel::examples
