#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/examples/program.h"
#include "tests/examples/refusals.h"
#include "tests/support/sanitizer.h"

// A run is not passed off as good, or as another, if it is not.

namespace reel::examples {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using Json = nlohmann::ordered_json;

TEST_F(Refusals, ARunGoesOnWithItsOwnLogAndSettings) {
  const auto train = [](const char* steps) {
    return std::vector<std::string>{"train", "--layers", "1",   "--heads", "1",   "--width",
                                    "8",     "--out",    "run", "--steps", steps, "--json"};
  };
  ASSERT_EQ(reel(train("2")).code, 0);
  const std::string log = contents(place / "run/log.jsonl");
  std::string other = log;
  other[0] = '#';
  std::string of_later_steps = log;
  of_later_steps.replace(of_later_steps.find("\"step\":1"), 8, "\"step\":9");
  const auto resume = [&] {
    auto words = train("4");
    words.push_back("--resume");
    return reel(words);
  };
  for (const std::string& wrong : {other, of_later_steps, std::string(log.size(), 'x')}) {
    write(place / "run/log.jsonl", wrong);
    const Ran ran = resume();
    EXPECT_EQ(ran.code, 4) << ran.err;
    EXPECT_THAT(ran.err, HasSubstr("run/log.jsonl:1: this line is not of the run of the checkpoint"));
    EXPECT_EQ(contents(place / "run/log.jsonl"), wrong);
  }
  write(place / "run/log.jsonl", log);
  write(place / "run/config.json", "of another program");
  EXPECT_EQ(resume().code, 0);
  EXPECT_EQ(Json::parse(contents(place / "run/config.json"))["steps"], 4);
  std::filesystem::remove(place / "run/checkpoint.safetensors");
  std::filesystem::remove(place / "run/checkpoint.previous.safetensors");
  // As a run leaves it that is killed before its first checkpoint.
  std::filesystem::remove(place / "run/report.html");
  Json config = Json::parse(contents(place / "run/config.json"));
  config.erase("checkpoint_saved");
  write(place / "run/config.json", config.dump());
  const Ran again = resume();
  EXPECT_EQ(again.code, 0);
  EXPECT_THAT(again.err, HasSubstr("run holds no checkpoint yet: the run starts again from its beginning"));
}

TEST_F(Refusals, ARunWhoseCheckpointsAreLostDoesNotStartAgain) {
  const std::vector<std::string> train = {"train", "--layers", "1", "--heads", "1",  "--width",
                                          "8",     "--steps",  "4", "--out",   "run"};
  ASSERT_EQ(reel(train).code, 0);
  for (const char* name : {"run/checkpoint.safetensors", "run/checkpoint.previous.safetensors"})
    std::filesystem::remove(place / name);
  const std::string log = contents(place / "run/log.jsonl");
  const std::string best = contents(place / "run/best.safetensors");
  const auto refused = [&](const std::string& reason) {
    const std::string before = contents(place / "run/log.jsonl");
    auto words = train;
    words.push_back("--resume");
    const Ran ran = reel(words);
    EXPECT_EQ(ran.code, 4) << ran.err;
    EXPECT_THAT(ran.err, HasSubstr("reel: run" + reason));
    EXPECT_THAT(ran.err, HasSubstr("or train again with another --out\n"));
    EXPECT_EQ(contents(place / "run/log.jsonl"), before);
    EXPECT_EQ(contents(place / "run/best.safetensors"), best);
  };
  const std::string lost = ": its run has saved checkpoints, but checkpoint.safetensors and ";
  refused(lost);
  // Of a version that did not say so in config.json, the report tells.
  Json config = Json::parse(contents(place / "run/config.json"));
  EXPECT_EQ(config["checkpoint_saved"], true);
  config.erase("checkpoint_saved");
  write(place / "run/config.json", config.dump());
  refused(lost);
  std::filesystem::remove(place / "run/report.html");
  const std::string foreign = ": this line is not of a run, and there is no checkpoint beside it";
  for (const std::string& notes : {std::string("my notes"), std::string("my notes\n"), std::string("[]\n")}) {
    write(place / "run/log.jsonl", notes + log);
    refused("/log.jsonl:1" + foreign);
    write(place / "run/log.jsonl", log + notes);
    refused("/log.jsonl:" + std::to_string(std::count(log.begin(), log.end(), '\n') + 1) + foreign);
  }
  std::filesystem::remove(place / "run/config.json");
  refused(": it holds a log.jsonl that is not empty, but neither a checkpoint nor the config.json of a run");
}

// A header of 200,000 names takes more memory than the limits leave, each at another place.
TEST_F(Refusals, WithoutMemoryItEndsInWords) {
#if REEL_HAS_SANITIZER
  GTEST_SKIP() << "a sanitizer needs more address space than the limits leave";
#endif
  std::string header = "{";
  for (int i = 0; i < 200'000; ++i) {
    header += (i == 0 ? "\"t" : ",\"t") + std::to_string(i) +
              "\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}";
  }
  header += "}";
  std::string length(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) length[i] = static_cast<char>(header.size() >> (8 * i) & 0xFF);
  write(place / "m.safetensors", length + header);
  int without = 0;
  for (const int mebibytes : {60, 100, 110, 120, 130, 140, 160}) {
    const Ran ran = run_reel({"inspect", "m.safetensors"}, place.path(),
                             "prlimit --as=" + std::to_string(mebibytes << 20));
    EXPECT_TRUE(ran.code == 0 || ran.code == 1) << mebibytes << ": " << ran.code << ran.err;
    if (ran.code == 1) {
      EXPECT_THAT(ran.err, HasSubstr("reel: not enough memory")) << mebibytes;
    }
    without += ran.code;
  }
  EXPECT_GT(without, 0);
  const auto advice = [&](const std::vector<std::string>& words) {
    const Ran ran = run_reel(words, place.path(), "prlimit --as=1000000000");
    EXPECT_EQ(ran.code, 1) << ran.err;
    return ran.err;
  };
  EXPECT_EQ(advice({"train", "classifier", "--data", "iris", "--hidden", "100000,100000"}),
            "reel: not enough memory; a smaller --batch or --hidden needs less\n");
  EXPECT_EQ(advice({"train", "--width", "100000"}),
            "reel: not enough memory; a smaller --batch, --width, --context or --layers needs less\n");
}

TEST_F(Refusals, ARunWithoutMemoryForItsFirstStepLeavesNothingThatItMade) {
#if REEL_HAS_SANITIZER
  GTEST_SKIP() << "a sanitizer needs more address space than the limits leave";
#endif
  const auto fails = [&](const std::vector<std::string>& more) {
    std::vector<std::string> words = {"train", "--progress", "none"};
    words.insert(words.end(), more.begin(), more.end());
    const Ran ran = run_reel(words, place.path(), "prlimit --as=1000000000");
    EXPECT_EQ(ran.code, 1) << ran.err;
    EXPECT_THAT(ran.err, EndsWith("reel: not enough memory; a smaller --batch, --width, --context or "
                                  "--layers needs less\n"));
  };
  fails({"--batch", "200000"});
  EXPECT_FALSE(std::filesystem::exists(place / "runs"));
  fails({"--batch", "200000", "--out", "deep/down/"});
  EXPECT_FALSE(std::filesystem::exists(place / "deep"));

  std::filesystem::create_directories(place / "deep/there");
  write(place / "deep/there/notes.txt", "mine");
  fails({"--batch", "200000", "--out", "deep/there"});
  EXPECT_EQ(contents(place / "deep/there/notes.txt"), "mine");
  fails({"--batch", "200000", "--out", "deep/new"});
  EXPECT_FALSE(std::filesystem::exists(place / "deep/new"));
  const std::vector<std::string> small = {"train",   "--layers", "1",       "--heads", "1",
                                          "--width", "8",        "--steps", "2",       "--out"};
  auto there = small;
  there.push_back("deep/there");
  EXPECT_EQ(reel(there).code, 0);

  // A run that was begun is there to go on with, though nothing is saved yet.
  Json config = Json::parse(contents(place / "deep/there/config.json"));
  config["batch"] = 200000;
  config["width"] = 128;
  config.erase("checkpoint_saved");
  std::filesystem::create_directory(place / "begun");
  write(place / "begun/config.json", config.dump());
  write(place / "begun/log.jsonl", "");
  fails({"--out", "begun", "--resume"});
  EXPECT_TRUE(std::filesystem::exists(place / "begun/config.json"));
  EXPECT_TRUE(std::filesystem::exists(place / "begun/log.jsonl"));
}

TEST_F(Refusals, ARunWhoseLogIsLostSaysWhatToDo) {
  const std::vector<std::string> train = {"train", "--layers", "1", "--heads", "1",  "--width",
                                          "8",     "--steps",  "2", "--out",   "run"};
  ASSERT_EQ(reel(train).code, 0);
  std::filesystem::remove(place / "run/log.jsonl");
  auto again = train;
  again.push_back("--resume");
  const Ran ran = reel(again);
  EXPECT_EQ(ran.code, 4);
  EXPECT_THAT(ran.err, HasSubstr("run/log.jsonl: it has 0 bytes, the checkpoint was made at"));
  EXPECT_THAT(ran.err, HasSubstr("put the log of this run back, or train again with another --out"));
}

TEST_F(Refusals, ARunThatWentWrongSaysSoAndPromisesNoCheckpointThatIsNotThere) {
  const Ran classifier = reel(
      {"train", "classifier", "--data", "iris", "--epochs", "1", "--lr", "1e30", "--out", "a", "--json"});
  EXPECT_EQ(classifier.code, 6) << classifier.out;
  EXPECT_EQ(classifier.out, "");
  const Ran early = reel({"train", "--layers", "1", "--heads", "1", "--width", "8", "--steps", "100", "--lr",
                          "1e38", "--out", "b"});
  EXPECT_EQ(early.code, 6);
  EXPECT_THAT(early.err, HasSubstr("no checkpoint had been saved"));
  EXPECT_FALSE(std::filesystem::exists(place / "b/checkpoint.safetensors"));
  EXPECT_THAT(early.err, HasSubstr("a smaller --lr usually helps"));
  const Ran decay = reel({"train", "classifier", "--data", "iris", "--epochs", "100", "--weight-decay",
                          "2147483648", "--out", "c"});
  EXPECT_EQ(decay.code, 6);
  EXPECT_THAT(decay.err, HasSubstr("a smaller --weight-decay helps: times --lr it takes more than a whole "
                                   "weight away per step; "));
  EXPECT_THAT(decay.err, Not(HasSubstr("a smaller --lr")));
}

// Such decay makes logits of -inf alone, of which there is no softmax.
TEST_F(Refusals, NumbersThatAnOpRefusesAreNumbersThatAreNotFinite) {
  const std::vector<std::string> train = {"train",  "classifier", "--data", "iris",           "--hidden",
                                          "1",      "--lr",       "1",      "--weight-decay", "1e38",
                                          "--seed", "5",          "--out"};
  auto steps = train;
  steps.insert(steps.end(), {"a", "--progress", "plain"});
  const Ran stepping = reel(steps);
  EXPECT_EQ(stepping.code, 6) << stepping.err;
  EXPECT_THAT(stepping.err, HasSubstr(" skipped: "));
  EXPECT_THAT(stepping.err, HasSubstr("steps in a row had numbers that are not finite"));
  EXPECT_THAT(stepping.err, HasSubstr("; that is another run, with another --out: --resume goes on with the "
                                      "flags of this one; "));
  EXPECT_THAT(stepping.err, Not(HasSubstr("attention handles masked rows")));
  auto evaluating = train;
  evaluating.insert(evaluating.end(), {"b", "--epochs", "1", "--batch", "120"});
  const Ran measured = reel(evaluating);
  EXPECT_EQ(measured.code, 6) << measured.err;
  EXPECT_THAT(measured.err, HasSubstr("on the held-out data the model makes numbers that are not finite"));
  EXPECT_THAT(measured.err, HasSubstr("a smaller --weight-decay helps"));
}

TEST_F(Refusals, ACheckpointWithoutNumbersIsNotCalledGood) {
  write_text();
  const Ran ran = reel({"train",
                        "--data",
                        "cat.txt",
                        "--layers",
                        "1",
                        "--heads",
                        "2",
                        "--width",
                        "16",
                        "--context",
                        "16",
                        "--batch",
                        "4",
                        "--steps",
                        "8",
                        "--lr",
                        "3e38",
                        "--weight-decay",  // 1 - 3e39 times a weight is infinite in the first step
                        "10",
                        "--warmup",
                        "0",
                        "--allow-non-finite",
                        "--out",
                        "run",
                        "--checkpoint-every",
                        "1"});
  EXPECT_EQ(ran.code, 6) << ran.err;
  EXPECT_THAT(ran.err, HasSubstr("; the last checkpoint is in run"));
  EXPECT_THAT(ran.err, Not(HasSubstr("good checkpoint")));
}

TEST_F(Refusals, ARunGoesOnOnlyWithTheDataThatItBeganWith) {
  const std::string text = "one for sorrow, two for joy, three for a girl, four for a boy; ";
  write(place / "book.txt", text + text + text);
  const std::vector<std::string> train = {"train",   "transformer", "--data",  "book.txt", "--layers",  "1",
                                          "--heads", "1",           "--width", "8",        "--context", "8",
                                          "--batch", "2",           "--out",   "run"};
  auto first = train;
  first.insert(first.end(), {"--steps", "4"});
  ASSERT_EQ(reel(first).code, 0);
  auto further = train;
  further.insert(further.end(), {"--steps", "6", "--resume"});
  const std::string other = "reel: --resume: book.txt is not the data that the run in run was started with: ";
  const std::string help = "; put it back as it was, or start another run with another --out\n";
  const auto changed_to = [&](const std::string& now, const std::string& reason) {
    write(place / "book.txt", now);
    const Ran ran = reel(further);
    EXPECT_EQ(ran.code, 2);
    EXPECT_EQ(ran.out, "");
    EXPECT_THAT(ran.err, EndsWith(other + reason + help));
  };
  const std::string since = "it has changed since (its data_digest)";
  changed_to(std::string(text.rbegin(), text.rend()) + text + text, since);
  changed_to(text.substr(0, 20), since);  // with fewer bytes to tell apart, too
  changed_to(text.substr(0, 8), "it has 8 bytes now, too few for a context of 8");
  changed_to("", "it has 0 bytes now, too few for a context of 8");
  write(place / "book.txt", text + text + text);
  EXPECT_EQ(reel(further).code, 0);
}

}  // namespace
}  // namespace reel::examples
