#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>

#include "tests/examples/short_run.h"
#include "tests/support/disk.h"

// `reel train TASK --out DIR --resume` needs no other flag: those of the run stand in its directory.

namespace reel::examples {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using Json = nlohmann::ordered_json;

// The task, and what no run records.
ShortRun bare(const ShortRun& what) {
  ShortRun result = what;
  result.words = {"train", what.name};
  for (std::size_t i = 2; i < what.words.size(); ++i) {
    if (what.words[i] == "--json") result.words.push_back(what.words[i]);
    if (what.words[i] == "--progress")
      result.words.insert(result.words.end(), {what.words[i], what.words[i + 1]});
  }
  return result;
}

class RecordedFlagsOf : public testing::TestWithParam<ShortRun> {
 protected:
  Workplace place;
};

TEST_P(RecordedFlagsOf, AreAllThatARunNeedsWhereverItWasKilled) {
  ShortRun what = GetParam();
  what.words.insert(what.words.end(), {"--seed", "18446744073709551615", "--weight-decay", "0.003"});
  const std::string journal = place / "journal";
  const Result expected =
      run(what, place / "whole", {}, faults(place / "whole", "REEL_FAULTS_JOURNAL='" + journal + "'"));
  ASSERT_EQ(expected.code, 0) << expected.err;
  int resumed = 0;
  for (const int at : sample(static_cast<int>(read_journal(journal).size()), 12)) {
    const std::string directory = place / std::to_string(at);
    const Result cut = run(what, directory, {},
                           faults(directory, "REEL_FAULTS_DO=kill REEL_FAULTS_AT=" + std::to_string(at)));
    ASSERT_EQ(cut.code, 128 + SIGKILL);
    if (!std::filesystem::exists(directory + "/config.json")) continue;
    EXPECT_EQ(run(bare(what), directory, {"--resume", "--threads", "2"}), expected)
        << "killed at call " << at;
    EXPECT_EQ(run(bare(what), directory, {"--resume"}), expected) << "finished";
    ++resumed;
  }
  EXPECT_GE(resumed, 5);
}

INSTANTIATE_TEST_SUITE_P(Short, RecordedFlagsOf, testing::Values(short_classifier(), short_transformer()),
                         [](const auto& i) { return i.param.name; });

class RecordedFlags : public testing::Test {
 protected:
  Workplace place;
  Ran reel(const std::vector<std::string>& words) { return run_reel(words, place.path()); }
  Json config() { return Json::parse(contents(place / "run/config.json")); }

  // A Transformer of 40 steps, with these flags more.
  void start(const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = {"train", "--layers", "1", "--heads", "2",  "--width",
                                      "8",     "--batch",  "4", "--out",   "run"};
    if (std::find(more.begin(), more.end(), "--steps") == more.end())
      words.insert(words.end(), {"--steps", "40"});
    words.insert(words.end(), more.begin(), more.end());
    const Ran ran = reel(words);
    ASSERT_EQ(ran.code, 0) << ran.err;
  }
  Ran resume(const std::vector<std::string>& more = {}) {
    std::vector<std::string> words = {"train", "--out", "run", "--resume", "--json", "--progress", "none"};
    words.insert(words.end(), more.begin(), more.end());
    return reel(words);
  }
  void refused(const std::vector<std::string>& more, int code, const std::string& message) {
    const std::string before = contents(place / "run/config.json");
    const Ran ran = resume(more);
    EXPECT_EQ(ran.code, code) << ran.err;
    EXPECT_EQ(ran.out, "");
    EXPECT_EQ(ran.err, "reel: " + message + "\n");
    EXPECT_EQ(contents(place / "run/config.json"), before);
  }
};

TEST_F(RecordedFlags, AFlagThatIsGivenAndDiffersIsRefusedByItsOwnName) {
  start({"--lr", "3e-3", "--warmup", "10"});
  const auto other = [&](const std::string& flag, const std::string& was, const std::string& now) {
    refused({flag, now}, 2,
            "--resume: the run was started with " + flag + " " + was + ", now it is " + now + "; leave " +
                flag + " out to go on with the run in run");
  };
  other("--lr", "0.003", "0.1");
  other("--lr", "0.003", "1e-5");  // less than the recorded --min-lr, which was not given
  other("--width", "8", "7");      // which the recorded --heads do not divide
  other("--context", "11", "3");   // too small for a sum
  other("--warmup", "10", "9");
  other("--data", "\"addition\"", "book.txt");
  other("--positions", "\"learned\"", "rotary");
  other("--seed", "1", "2");
  // Not in the name of --warmup, of which it would leave none.
  refused({"--steps", "5"}, 2, "--resume: the run has --steps 40, now it is 5; it can only grow");
  EXPECT_EQ(resume({"--lr", "0.003", "--width", "8", "--steps", "40", "--threads", "2"}).code, 0);
}

TEST_F(RecordedFlags, MoreStepsLeaveTheWarmUpAsItWas) {
  start();
  EXPECT_EQ(config()["warmup"], 2);
  const std::vector<std::string> all = {"--layers", "1", "--heads", "2", "--width", "8", "--batch", "4"};
  auto further = all;
  further.insert(further.end(), {"--steps", "80"});
  const Ran ran = resume(further);
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.json()["steps"], 80);
  EXPECT_EQ(config()["warmup"], 2);
  EXPECT_EQ(resume({"--steps", "100"}).json()["steps"], 100);
  EXPECT_EQ(resume().json()["steps"], 100);
  EXPECT_EQ(config()["warmup"], 2);
}

// 0.0017853 / 10 is a double whose shortest decimal stands so near to the middle between two that a reader of
// long double rounds it to the other.
TEST_F(RecordedFlags, TheRunKeepsItsIntervalsUnlessOthersAreGiven) {
  start({"--eval-every", "7", "--log-every", "3"});
  EXPECT_EQ(config()["eval_every"], 7);
  EXPECT_EQ(config()["log_every"], 3);
  EXPECT_FALSE(config().contains("checkpoint_every"));
  EXPECT_EQ(resume({"--steps", "50", "--log-every", "2", "--checkpoint-every", "5"}).code, 0);
  EXPECT_EQ(config()["eval_every"], 7);
  EXPECT_EQ(config()["log_every"], 2);
  EXPECT_EQ(config()["checkpoint_every"], 5);
  const std::string log = contents(place / "run/log.jsonl");
  EXPECT_THAT(log, HasSubstr("{\"step\":49,"));  // an evaluation
  EXPECT_THAT(log, HasSubstr("{\"step\":44,"));
  EXPECT_THAT(log, testing::Not(HasSubstr("{\"step\":43,")));
}

TEST_F(RecordedFlags, WhatNoRunRecordsIsNotTaken) {
  start();
  Json more = config();
  more.update({{"out", "x"},
               {"threads", 1000000},
               {"progress", "bar"},
               {"resume", 0},
               {"json", "x"},
               {"allow_non_finite", "true"},
               {"detect_anomaly", 1},
               {"mood", "good"}});
  write(place / "run/config.json", more.dump());
  const Ran ran = resume();
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.err, "");
}

TEST_F(RecordedFlags, NumbersComeBackToTheLastBit) {
  start({"--lr", "0.0017853"});
  EXPECT_EQ(resume().code, 0);
  EXPECT_EQ(resume({"--lr", "17853e-7"}).code, 0);
}

TEST_F(RecordedFlags, ARunOfTheOtherTaskIsNamed) {
  start();
  const Ran ran = reel({"train", "classifier", "--out", "run", "--resume"});
  EXPECT_EQ(ran.code, 2);
  EXPECT_EQ(ran.err,
            "reel: --resume: the run in run trains a transformer, not a classifier; go on with it by ./reel "
            "train transformer --out run --resume\n");
}

TEST_F(RecordedFlags, ACommandToPasteNamesTheDirectoryForAShell) {
  struct Name {
    std::string name, begin, end;  // as a shell reads it; a path goes on before the end
  };
  for (const Name& n :
       {Name{"-_.=+:,@%", "./-_.=+:,@%", ""}, Name{"a b", "'./a b", "'"}, Name{"it's", "'./it'\\''s", "'"},
        Name{"$HOME;~", "'./$HOME;~", "'"}, Name{"a\n\\b", "$'./a\\012\\\\b", "'"}}) {
    const std::string out = "./" + n.name;
    const Ran made = reel({"train", "--layers", "1", "--heads", "2", "--width", "8", "--batch", "4",
                           "--steps", "2", "--out", out});
    ASSERT_EQ(made.code, 0) << made.err;
    EXPECT_THAT(made.out, EndsWith("Try: ./reel generate --model " + n.begin + "/checkpoint.safetensors" +
                                   n.end + " --prompt 47+385=\n"));
    EXPECT_THAT(
        reel({"train", "classifier", "--out", out, "--resume"}).err,
        EndsWith("; go on with it by ./reel train transformer --out " + n.begin + n.end + " --resume\n"));
  }
}

TEST_F(RecordedFlags, WhereThereIsNoRunNothingIsTakenAndNothingIsMade) {
  EXPECT_EQ(reel({"train", "transformer", "--out", "none", "--resume"}).err,
            "reel: none: there is no run to resume; leave --resume out to start one\n");
  EXPECT_EQ(reel({"train", "transformer", "--resume"}).err,
            "reel: --resume needs --out, the directory of the run to go on with\n");
  EXPECT_FALSE(std::filesystem::exists(place / "none"));
}

TEST_F(RecordedFlags, DataIsThatOfTheRunAndStillCompared) {
  std::string csv = "class,x,y\n";
  for (int i = 0; i < 60; ++i)
    csv += std::string(i % 2 == 0 ? "a," : "b,") + std::to_string(i % 7) + "," + std::to_string(i) + "\n";
  write(place / "points.csv", csv);
  const Ran first = reel({"train", "classifier", "--data", "points.csv", "--label-column", "class",
                          "--hidden", "5,4", "--batch", "8", "--epochs", "2", "--out", "run", "--json"});
  ASSERT_EQ(first.code, 0) << first.err;
  const std::vector<std::string> again = {"train", "classifier", "--out", "run", "--resume", "--json"};
  EXPECT_EQ(reel(again).json()["fingerprint"], first.json()["fingerprint"]);
  auto further = again;
  further.insert(further.end(), {"--epochs", "3"});
  EXPECT_EQ(reel(further).json()["epochs"], 3);
  write(place / "points.csv", csv + "a,1,2\nb,2,3\n");
  EXPECT_EQ(reel(again).code, 2);
  EXPECT_EQ(reel(again).err,
            "reel: --resume: points.csv is not the data that the run in run was started with: it has changed "
            "since (its data_digest); put it back as it was, or start another run with another --out\n");
  std::filesystem::rename(place / "points.csv", place / "moved.csv");
  EXPECT_EQ(reel(again).code, 5);
  EXPECT_EQ(reel(again).err,
            "reel: points.csv: No such file or directory, but the run in run was started with it as --data; "
            "put it back, or give its new place with --data\n");
}

TEST_F(RecordedFlags, IgnoredColumnsAreThoseOfTheRun) {
  std::string csv = "id,x,y,class\n";
  for (int i = 0; i < 60; ++i)
    csv += "n" + std::to_string(i) + "," + std::to_string(i % 7) + "," + std::to_string(i % 5) +
           (i % 2 == 0 ? ",a\n" : ",b\n");
  write(place / "points.csv", csv);
  const std::vector<std::string> ignoring = {
      "train",    "classifier", "--data", "points.csv",       "--out",   "run",
      "--epochs", "2",          "--json", "--ignore-columns", "id,\"y\""};
  const Ran first = reel(ignoring);
  ASSERT_EQ(first.code, 0) << first.err;
  const std::vector<std::string> again = {"train", "classifier", "--out", "run", "--resume", "--json"};
  EXPECT_EQ(reel(again).json()["fingerprint"], first.json()["fingerprint"]);
  auto fewer = again;
  fewer.insert(fewer.end(), {"--ignore-columns", "id"});
  EXPECT_THAT(reel(fewer).err, HasSubstr("--resume: the run was started with --ignore-columns"));
}

TEST_F(RecordedFlags, IgnoredColumnsMayBeMany) {
  std::string names, zeros;
  for (int i = 0; i < 700; ++i) names += "column_" + std::to_string(10000 + i) + ",", zeros += "0,";
  std::string csv = names + "a,b,kind\n";
  for (int i = 0; i < 12; ++i)
    csv += zeros + std::to_string(i * 7 % 5) + ",1," + (i % 2 == 0 ? "x\n" : "y\n");
  write(place / "wide.csv", csv);
  names.pop_back();
  const Ran first = reel({"train", "classifier", "--data", "wide.csv", "--out", "run", "--epochs", "1",
                          "--json", "--ignore-columns", names});
  ASSERT_EQ(first.code, 0) << first.err;
  const Ran again = reel({"train", "classifier", "--out", "run", "--resume", "--json"});
  EXPECT_EQ(again.json()["fingerprint"], first.json()["fingerprint"]) << again.err;
  EXPECT_EQ(reel({"evaluate", "--model", "run/best.safetensors"}).code, 0);
}

TEST_F(RecordedFlags, TheSameDataMayLieElsewhere) {
  const auto refuses = [&](const std::vector<std::string>& words, int code, const std::string& message) {
    const Ran ran = reel(words);
    EXPECT_EQ(ran.code, code);
    EXPECT_EQ(ran.err, "reel: " + message + "\n");
  };
  const auto with = [](std::vector<std::string> words, const std::vector<std::string>& more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  std::filesystem::create_directory(place / "new");
  const std::string text = "one for sorrow, two for joy, three for a girl, four for a boy; ";
  write(place / "book.txt", text + text);
  start({"--data", "book.txt", "--context", "8", "--steps", "4"});
  const std::string fingerprint = resume().json()["fingerprint"];
  std::filesystem::rename(place / "book.txt", place / "new/book.txt");
  const std::string model = "run/checkpoint.safetensors";
  const std::vector<std::string> evaluate = {"evaluate", "--model", model, "--json"};
  refuses(evaluate, 5,
          "book.txt: No such file or directory, but " + model +
              " was trained on it; give its new place with --data");
  const Ran moved = resume({"--data", "new/book.txt"});
  EXPECT_EQ(moved.code, 0) << moved.err;
  EXPECT_EQ(moved.json()["fingerprint"], fingerprint);
  EXPECT_EQ(config()["data"], "new/book.txt");
  EXPECT_EQ(resume({"--steps", "6"}).code, 0);
  EXPECT_EQ(reel(evaluate).json()["data"], "new/book.txt");  // the checkpoint says so, too

  write(place / "other.txt", text + text + text);
  const std::string give = "; give it the data that it began with, or start another run";
  refused(
      {"--data", "other.txt"}, 2,
      "--resume: other.txt is not the data that the run in run was started with (its data_digest)" + give);
  refused(
      {"--data", "addition"}, 2,
      "--resume: the run was started with --data \"new/book.txt\", now it is addition; leave --data out to "
      "go on with the run in run");
  refused({"--data", "no/book.txt"}, 5, "no/book.txt: cannot be opened: No such file or directory");
  // Before there is a checkpoint, too: the run would start again with other data under the flags of this.
  for (const char* name : {"checkpoint.safetensors", "checkpoint.previous.safetensors"})
    std::filesystem::remove(place / (std::string("run/") + name));
  refused(
      {"--data", "other.txt"}, 2,
      "--resume: other.txt is not the data that the run in run was started with (its data_digest)" + give);

  const auto idx = [](const std::string& type_and_rank, const std::string& sizes, const std::string& bytes) {
    return std::string("\0\0\x08", 3) + type_and_rank + sizes + bytes;
  };
  const std::string twenty("\0\0\0\x14", 4), two("\0\0\0\x02", 4);
  std::string pixels, labels;
  for (int i = 0; i < 20; ++i) {
    for (int k = 0; k < 4; ++k) pixels += static_cast<char>(i % 2 == 0 ? 10 * k : 200 - k);
    labels += static_cast<char>(i % 2);
  }
  write(place / "images.idx", idx("\x03", twenty + two + two, pixels));
  write(place / "labels.idx", idx("\x01", twenty, labels));
  ASSERT_EQ(reel({"train", "classifier", "--data", "images.idx", "--labels", "labels.idx", "--epochs", "2",
                  "--out", "pair"})
                .code,
            0);
  std::filesystem::rename(place / "labels.idx", place / "new/labels.idx");
  refuses({"evaluate", "--model", "pair/best.safetensors"}, 5,
          "labels.idx: No such file or directory, but pair/best.safetensors was trained on it; give its new "
          "place with --data and --labels");
  std::filesystem::rename(place / "images.idx", place / "new/images.idx");
  refuses({"evaluate", "--model", "pair/best.safetensors"}, 5,
          "images.idx: No such file or directory, but pair/best.safetensors was trained on it; give its new "
          "place with --data");
  const std::vector<std::string> again = {"train", "classifier", "--out", "pair", "--resume", "--json"};
  refuses(with(again, {"--data", "new/images.idx"}), 5,
          "labels.idx: No such file or directory, but the run in pair was started with it as --labels; put "
          "it back, or give its new place with --labels");
  EXPECT_EQ(reel(with(again, {"--data", "new/images.idx", "--labels", "new/labels.idx"})).code, 0);
  EXPECT_EQ(reel(again).code, 0);
}

TEST_F(RecordedFlags, ComeFromTheCheckpointIfConfigJsonIsLostOrDamaged) {
  start({"--seed", "7"});
  const std::string config = contents(place / "run/config.json");
  const std::string fingerprint = resume().json()["fingerprint"];
  Json shortened = Json::parse(config);
  shortened.erase("steps");  // whose default would go on far beyond the end
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("[]"), std::string("{}"), std::string("{\"task\": 7}"),
        std::string("{\"task\": \"poetry\"}"), shortened.dump()}) {
    write(place / "run/config.json", text);
    const Ran ran = resume();
    EXPECT_EQ(ran.code, 0) << ran.err;
    EXPECT_EQ(ran.err, "");
    EXPECT_EQ(ran.json()["fingerprint"], fingerprint);
    EXPECT_EQ(contents(place / "run/config.json"), config);
  }
  std::filesystem::remove(place / "run/config.json");
  std::filesystem::remove(place / "run/checkpoint.safetensors");
  EXPECT_EQ(resume().json()["fingerprint"], fingerprint);
  // As of a run that was killed before it had written anything but an empty log.
  for (const char* name :
       {"config.json", "checkpoint.safetensors", "checkpoint.previous.safetensors", "report.html"})
    std::filesystem::remove(place / (std::string("run/") + name));
  write(place / "run/log.jsonl", "");
  const Ran ran = resume({"--layers", "1", "--heads", "2", "--width", "8", "--batch", "4", "--steps", "40"});
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_THAT(ran.err, HasSubstr("reel: note: run does not say with which flags its run was started; those "
                                 "that are not given have their defaults\n"));
}

TEST_F(RecordedFlags, AreNotTrusted) {
  start();
  const Json good = config();
  const auto with = [&](const std::string& key, const Json& value, const std::string& reason) {
    Json bad = good;
    bad[key] = value;
    write(place / "run/config.json", bad.dump());
    refused({}, 4,
            "run/config.json: its configuration is damaged: " + reason +
                "; put it back as it was, or train again with another --out");
  };
  with("layers", nullptr, "\"layers\" is of type null, which no run writes there");
  with("layers", Json::array({1.5}), "\"layers\" is of type array, which no run writes there");
  with("steps", "", "\"steps\" is empty");
  with("steps", Json::array(), "\"steps\" is empty");
  with("layers", 1.5, "--layers: must be a whole number from 1 to 1024, not 1.5");
  with("layers", -1, "--layers: must be a whole number from 1 to 1024, not -1");
  with("lr", "x\x1b", "--lr: must be a positive number, not x\\x1b");
  with("positions", "up", "--positions: up not in {learned,rotary}");
  const std::string endless(100000, 'x');
  for (const char* key : {"lr", "data", "positions"})
    with(key, endless,
         "\"" + std::string(key) + "\" is " + endless.substr(0, 200) +
             "... (100000 bytes), which no run writes there");
  with("data", std::string("a\0b", 3), "\"data\" is a\\x00b, which no run writes there");
  std::string ones = "1";
  for (int i = 0; i < 100; ++i) ones += ",1";
  with(
      "layers", Json(std::vector<int>(100000, 1)),
      ("--layers: must be a whole number from 1 to 1024, not " + ones).substr(0, 200) + "... (200052 bytes)");
  // A value that a run may have, but not this one.
  Json changed = good;
  changed["lr"] = 0.5;
  write(place / "run/config.json", changed.dump());
  const Ran ran = resume();
  EXPECT_EQ(ran.code, 2);
  EXPECT_THAT(ran.err, HasSubstr("the checkpoint in run is of a run with --lr 0.002, now it is 0.5"));
  std::filesystem::remove(place / "run/config.json");
  EXPECT_EQ(resume().code, 0);
  EXPECT_EQ(config(), good);
}

}  // namespace
}  // namespace reel::examples
