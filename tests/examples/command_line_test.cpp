#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/examples/program.h"

// What words the program takes, what it says of the others, and what it lists with --help.

namespace reel::examples {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class CommandLine : public testing::Test {
 protected:
  Workplace place;
  Ran reel(const std::vector<std::string>& words) { return run_reel(words, place.path()); }
};

TEST_F(CommandLine, TakesDecimalNumbersOnlyAndSaysWhichItWants) {
  struct Bad {
    std::vector<std::string> words;
    std::string reason;
  };
  const std::string decimal = " (write it in decimal, without a leading 0)";
  const std::string of_floats = ", also as a 32-bit float; ";
  for (const Bad& bad : std::vector<Bad>{
           {{"--steps", "0x10"}, "--steps: must be a whole number from 1 to 2147483648, not 0x10" + decimal},
           {{"--steps", "010"}, "--steps: must be a whole number from 1 to 2147483648, not 010" + decimal},
           {{"--steps", "1.5"}, "--steps: must be a whole number from 1 to 2147483648, not 1.5"},
           {{"--steps", ""}, "--steps: must be a whole number from 1 to 2147483648, not empty"},
           {{"--threads", "1025"}, "--threads: must be a whole number from 1 to 1024, not 1025"},
           {{"--seed", "18446744073709551616"},
            "--seed: must be a whole number from 0 to 2^64 - 1, not 18446744073709551616"},
           {{"--seed", "-1"}, "--seed: must be a whole number from 0 to 2^64 - 1, not -1"},
           {{"--lr", "0x10"}, "--lr: must be a positive number, not 0x10" + decimal},
           {{"--lr", "1e-3x"}, "--lr: must be a positive number, not 1e-3x"},
           {{"--lr", ""}, "--lr: must be a positive number, not empty"},
           {{"--lr", "inf"}, "--lr: must be a positive number, not inf"},
           {{"--lr", "0"}, "--lr: must be a positive number, not 0"},
           {{"--weight-decay", "-0.1"}, "--weight-decay: must be 0 or a positive number, not -0.1"},
           {{"--progress", "0"}, "--progress: 0 not in {auto,bar,plain,none}"},
           {{"--dropout", "1"}, "--dropout: must be at least 0 and less than 1, not 1"},
           {{"--lr", "1e39"}, "--lr: must be a positive number" + of_floats + "1e39 becomes inf there"},
           {{"--lr", "1e-46"}, "--lr: must be a positive number" + of_floats + "1e-46 becomes 0 there"},
           {{"--clip", "1e39"}, "--clip: must be a positive number" + of_floats + "1e39 becomes inf there"},
           {{"--min-lr", "1e39"},
            "--min-lr: must be 0 or a positive number" + of_floats + "1e39 becomes inf there"},
           {{"--weight-decay", "1e39"},
            "--weight-decay: must be 0 or a positive number" + of_floats + "1e39 becomes inf there"},
           {{"--beta2", "0.99999999"},
            "--beta2: must be at least 0 and less than 1" + of_floats + "0.99999999 becomes 1 there"},
           {{"--width", "2147483648"}, "--width: must be a whole number from 1 to 1048576, not 2147483648"},
           {{"--heads", "2147483648"}, "--heads: must be a whole number from 1 to 1048576, not 2147483648"},
           {{"--context", "2147483648"},
            "--context: must be a whole number from 1 to 1048576, not 2147483648"},
           {{"--batch", "2147483648"}, "--batch: must be a whole number from 1 to 1048576, not 2147483648"},
           {{"--layers", "2147483648"}, "--layers: must be a whole number from 1 to 1024, not 2147483648"}}) {
    std::vector<std::string> words = {"train", "--out", "run"};
    words.insert(words.end(), bad.words.begin(), bad.words.end());
    const Ran ran = reel(words);
    EXPECT_EQ(ran.code, 2) << bad.reason;
    EXPECT_EQ(ran.err, "reel: " + bad.reason + "\n");
    EXPECT_FALSE(std::filesystem::exists(place / "run"));
  }
  EXPECT_EQ(reel({"attention", "--temperature", "1e-320"}).code, 2);
  EXPECT_EQ(reel({"train", "--steps", "2", "--lr", "0.5e-3", "--seed", "18446744073709551615"}).code, 0);
}

TEST_F(CommandLine, AnEmptyNameIsRefusedAndNotTakenForAFlagLeftOut) {
  const std::string file = "must be the name of a file, not empty";
  const std::string column = "must be the name of a column, or its number, not empty";
  const std::string columns = "must be names or numbers of columns, with commas between them, not empty";
  const std::string data = "must be the name of data or of a file, not empty";
  const std::string directory = "must be the name of a directory, not empty";
  struct Empty {
    std::vector<std::string> verb;
    std::string flag;
    std::string reason;
  };
  for (const Empty& empty :
       std::vector<Empty>{{{"train"}, "--out", directory},
                          {{"train"}, "--data", data},
                          {{"train", "classifier"}, "--out", directory},
                          {{"train", "classifier"}, "--data", data},
                          {{"train", "classifier"}, "--labels", file},
                          {{"train", "classifier"}, "--label-column", column},
                          {{"train", "classifier"}, "--ignore-columns", columns},
                          {{"generate"}, "--model", file},
                          {{"evaluate"}, "--model", file},
                          {{"evaluate", "--model", "m"}, "--data", data},
                          {{"evaluate", "--model", "m", "--data", "d"}, "--labels", file},
                          {{"evaluate", "--model", "m", "--data", "d"}, "--label-column", column},
                          {{"predict"}, "--model", file},
                          {{"predict", "--model", "m"}, "--data", data},
                          {{"predict", "--model", "m", "--data", "d"}, "--label-column", column},
                          {{"predict", "--model", "m", "--data", "d"}, "--ignore-columns", columns},
                          {{"inspect", "f"}, "--label-column", column},
                          {{"inspect", "f"}, "--ignore-columns", columns},
                          {{"attention"}, "--model", file},
                          {{"attention"}, "--html", file},
                          {{"bench"}, "--case", "must be the name of a case, not empty"},
                          {{"train"}, "--positions", "not in {learned,rotary}"}}) {
    for (const bool joined : {false, true}) {
      std::vector<std::string> words = empty.verb;
      words.push_back(joined ? empty.flag + "=" : empty.flag);
      if (!joined) words.emplace_back();
      words.push_back("--json");  // not the value of what stands before it
      const Ran ran = reel(words);
      EXPECT_EQ(ran.code, 2) << empty.flag << ran.err;
      EXPECT_EQ(ran.out, "");
      EXPECT_THAT(ran.err, StartsWith("reel: " + empty.flag + ": "));
      EXPECT_THAT(ran.err, EndsWith(empty.reason + "\n"));
    }
  }
  for (const auto& [verb, reason] : {std::pair("inspect", file), std::pair("autopsy", directory)}) {
    const Ran ran = reel({verb, ""});
    EXPECT_EQ(ran.code, 2);
    EXPECT_THAT(ran.err, HasSubstr(reason + "\n"));
  }
  EXPECT_FALSE(std::filesystem::exists(place / "runs"));
}

TEST_F(CommandLine, AWordIsSplitOnlyWhereItIsAFlagWithAnEmptyValue) {
  write(place / "--x=", "1,2,0\n3,4,1\n");
  EXPECT_EQ(reel({"inspect", "--json", "--", "--x="}).json()["file"], "--x=");
  ASSERT_EQ(
      reel({"train", "--layers", "1", "--heads", "1", "--width", "8", "--steps", "2", "--out", "run"}).code,
      0);
  // The prompt is no sum, and is quoted as it was given.
  const Ran prompt = reel({"generate", "--model", "run/checkpoint.safetensors", "--prompt", "--a="});
  EXPECT_EQ(prompt.code, 2);
  EXPECT_THAT(prompt.err, HasSubstr("--a="));
  EXPECT_THAT(reel({"ops", "--jason="}).err, HasSubstr("--jason="));
}

// A script that asks for one per processor must not fail on a large machine.
TEST_F(CommandLine, MoreThreadsThanCanWorkAtOnceAreNotSilentlyLeftOut) {
  const auto train = [&](const std::string& threads) {
    return reel({"train", "classifier", "--data", "iris", "--epochs", "1", "--hidden", "4", "--threads",
                 threads, "--out", "run" + threads, "--json"});
  };
  const std::string warning = ": no more than 64 threads can work at once; it goes on with 64\n";
  const Ran many = train("1024");
  EXPECT_EQ(many.code, 0);
  EXPECT_THAT(many.err, StartsWith("reel: warning: --threads 1024" + warning));
  EXPECT_EQ(many.json()["threads"], 64);
  EXPECT_THAT(train("64").err, Not(HasSubstr("warning")));
  const std::string model = "run64/checkpoint.safetensors";
  const Ran evaluated = reel({"evaluate", "--model", model, "--threads", "65"});
  EXPECT_EQ(evaluated.code, 0);
  EXPECT_EQ(evaluated.err, "reel: warning: --threads 65" + warning);
  EXPECT_EQ(reel({"evaluate", "--model", model, "--threads", "64"}).err, "");
}

TEST_F(CommandLine, AFlagWithoutAValueRefusesOne) {
  const std::vector<std::vector<std::string>> verbs = {{"train"},
                                                       {"train", "classifier"},
                                                       {"generate", "--model", "m"},
                                                       {"evaluate", "--model", "m"},
                                                       {"predict", "--model", "m", "--data", "d"},
                                                       {"inspect", "f"},
                                                       {"autopsy", "d"},
                                                       {"attention"},
                                                       {"bench"},
                                                       {"ops"}};
  for (std::vector<std::string> words : verbs) {
    words.emplace_back();
    for (const auto& [value, reason] : {std::pair("", "the = out"), std::pair("3", "=3 out"),
                                        std::pair("true", "=true out"), std::pair("false", "=false out")}) {
      words.back() = "--json=" + std::string(value);
      const Ran ran = reel(words);
      EXPECT_EQ(ran.code, 2) << words[0];
      EXPECT_EQ(ran.out, "");
      EXPECT_THAT(ran.err, HasSubstr("--json: takes no value; leave " + std::string(reason) + "\n"))
          << words[0];
    }
  }
  EXPECT_THAT(reel({"train", "--resume=1"}).err, HasSubstr("--resume: takes no value; leave =1 out\n"));
  EXPECT_THAT(reel({"--version=1"}).err, HasSubstr("--version: takes no value; leave =1 out\n"));
  EXPECT_FALSE(std::filesystem::exists(place / "runs"));
}

TEST_F(CommandLine, AFlagIsNotTakenForANameThatAVariableDidNotGive) {
  for (const std::vector<std::string>& words : {std::vector<std::string>{"train", "--out", "--json"},
                                                {"train", "--data", "--json"},
                                                {"train", "classifier", "--labels", "--json"},
                                                {"generate", "--model", "--json"},
                                                {"evaluate", "--model", "--json"},
                                                {"attention", "--html", "--json"}}) {
    const Ran ran = reel(words);
    const std::string& flag = words[words.size() - 2];
    EXPECT_EQ(ran.code, 2) << ran.err;
    EXPECT_EQ(ran.out, "");
    EXPECT_THAT(ran.err, HasSubstr(flag +
                                   ": needs a name, but the next word is --json; if that is the name, "
                                   "write ./--json or " +
                                   flag + "=--json\n"));
  }
  EXPECT_EQ(reel({"attention", "--html=--json"}).code, 0);
  EXPECT_TRUE(std::filesystem::exists(place / "--json"));
  EXPECT_FALSE(std::filesystem::exists(place / "runs"));
}

TEST_F(CommandLine, HelpNamesEveryFlagOfTheContract) {
  const Ran help = reel({"train", "classifier", "--help"});
  EXPECT_EQ(help.code, 0);
  for (const char* flag :
       {"--data", "--hidden", "--epochs", "--batch", "--lr", "--dropout", "--seed", "--threads", "--out",
        "--resume", "--checkpoint-every", "--eval-every", "--json", "--progress"}) {
    EXPECT_THAT(help.out, HasSubstr(flag));
  }
  EXPECT_THAT(help.out, HasSubstr("--lr X  "));
  EXPECT_THAT(help.out, HasSubstr("--hidden N,N,...=128,64  "));
  for (const std::vector<std::string>& verb : std::vector<std::vector<std::string>>{
           {"train", "classifier"}, {"train", "transformer"}, {"generate"}, {"attention"}, {"bench"}}) {
    auto words = verb;
    words.push_back("--help");
    const std::string text = reel(words).out;
    for (const char* raw : {"FLOAT", "INT", "TEXT:", "N:", "KIND:"}) EXPECT_THAT(text, Not(HasSubstr(raw)));
  }
}

TEST_F(CommandLine, OneLineSaysWhatAnUnknownWordIsAndWhatWasPerhapsMeant) {
  const std::string verbs =
      "; there are train, generate, evaluate, predict, inspect, autopsy, attention, bench, ops";
  const auto says = [&](const std::vector<std::string>& words, const std::string& what) {
    const Ran ran = reel(words);
    EXPECT_EQ(ran.code, 2);
    EXPECT_EQ(ran.out, "");
    EXPECT_EQ(ran.err, "reel: " + what + "\n");
  };
  says({"trian"}, "unknown verb \"trian\"" + verbs + "; did you mean train?");
  says({"eval", "--json"}, "unknown verb \"eval\"" + verbs + "; did you mean evaluate?");
  says({"frobnicate"}, "unknown verb \"frobnicate\"" + verbs);
  says({"help"}, "unknown verb \"help\"" + verbs + "; did you mean --help?");
  says({"version"}, "unknown verb \"version\"" + verbs + "; did you mean --version?");
  says({"classifier"}, "unknown verb \"classifier\"" + verbs + "; did you mean train classifier?");
  says({}, "a verb is missing" + verbs + "; `reel --help` says what they do");
  says({""}, "unknown verb \"\"" + verbs);
  says({"train", "classifer", "--data", "iris"},
       "unknown verb \"classifer\"; there are classifier, transformer; did you mean classifier?");
  says({"train", "evaluate"}, "unknown verb \"evaluate\"; there are classifier, transformer");
  says({"--versoin"}, "unknown flag --versoin of `reel`; did you mean --version?");
  says({"train", "--step", "5"}, "unknown flag --step of `reel train transformer`; did you mean --steps?");
  says({"train", "-steps", "5"}, "unknown flag -steps of `reel train transformer`; did you mean --steps?");
  says({"train", "classifier", "--test_fraction=0.1", "--foo"},
       "unknown flag --test_fraction=0.1 of `reel train classifier`; did you mean --test-fraction?");
  says({"train", "classifier", "--eval", "5"},
       "unknown flag --eval of `reel train classifier`; did you mean --eval-every?");
  // Not that --model is missing.
  says({"evaluate", "--modle", "x"}, "unknown flag --modle of `reel evaluate`; did you mean --model?");
  says({"generate", "--max-tokens", "5"},
       "unknown flag --max-tokens of `reel generate`; did you mean --tokens?");
  says({"train", "classifier", "--steps", "5"},
       "unknown flag --steps of `reel train classifier`; `reel train classifier --help` lists what it takes");
  says({"ops", "--" + std::string(5000, 'j')},
       "unknown flag --" + std::string(5000, 'j') + " of `reel ops`; `reel ops --help` lists what it takes");
  says({"train", "classifier", "iris"},
       "`reel train classifier` has no use for the word \"iris\"; `reel train classifier --help` lists what "
       "it takes");
  says(
      {"train", "classifier", "transformer"},
      "`reel train classifier` has no use for the word \"transformer\"; `reel train classifier --help` lists "
      "what it takes");
  says({"generate", "m.safetensors"},
       "`reel generate` has no use for the word \"m.safetensors\"; did you mean --model m.safetensors?");
  const std::string behind = "`; write it behind the verb";
  says({"--json", "ops"}, "--json is a flag of `reel ops" + behind);
  says({"--json", "bench"}, "--json is a flag of `reel bench" + behind);
  says({"--json=3", "train", "classifier"}, "--json=3 is a flag of `reel train classifier" + behind);
  says({"--steps", "5", "train"}, "--steps is a flag of `reel train" + behind);
  says({"--epochs", "ops"}, "unknown flag --epochs of `reel`; `reel --help` lists what it takes");
  says({"inspect", "a", "b"},
       "`reel inspect` has no use for the word \"b\"; `reel inspect --help` lists what it takes");
}

// What CLI11 finds wrong reads as what the program does.
TEST_F(CommandLine, EveryWrongFlagIsToldInOneLine) {
  const auto says = [&](const std::vector<std::string>& words, const std::string& what) {
    const Ran ran = reel(words);
    EXPECT_EQ(ran.code, 2);
    EXPECT_EQ(ran.out, "");
    EXPECT_EQ(ran.err, "reel: " + what + "\n");
  };
  says({"generate"}, "--model is required");
  says({"inspect"}, "file is required");
  says({"evaluate", "--model", "m", "--labels", "l"}, "--labels requires --data");
  says({"train", "--out"}, "--out: 1 required DIR missing");
  says({"train", "--steps", "a\nb"}, "--steps: must be a whole number from 1 to 2147483648, not a\\x0ab");
  says({"train", "--steps", "5", "--seed"}, "--seed: 1 required N missing");
}

struct Wrong {
  const char* reason;
  std::vector<std::string> words;
  int code;
  const char* message;
};
void PrintTo(const Wrong& w, std::ostream* out) { *out << w.reason; }

class WrongUse : public testing::TestWithParam<Wrong> {};

TEST_P(WrongUse, IsRefusedWithItsExitCodeAndNothingIsLeft) {
  const Workplace place;
  write(place / "ragged.csv", "1,2,0\n1,2\n");
  write(place / "good.csv", "1,2,0\n3,4,1\n5,6,0\n7,8,1\n9,1,0\n2,2,1\n3,3,0\n4,1,1\n7,7,0\n8,8,1\n");
  write(place / "cut.idx", std::string("\0\0\x08\x03\0\0\0\x02\0\0\0\x02\0\0\0\x02"
                                       "abc",
                                       19));
  write(place / "labels.idx", std::string("\0\0\x08\x01\0\0\0\x02\0\x01", 10));
  write(place / "short.txt", "abc");
  write(place / "empty.txt", "");
  const Ran ran = run_reel(GetParam().words, place.path());
  EXPECT_EQ(ran.code, GetParam().code) << ran.out << ran.err;
  EXPECT_THAT(ran.err, HasSubstr(GetParam().message));
  EXPECT_EQ(ran.out, "");
  EXPECT_FALSE(std::filesystem::exists(place / "runs"));
}

INSTANTIATE_TEST_SUITE_P(
    Every, WrongUse,
    testing::Values(
        Wrong{"no verb", {}, 2, "a verb is missing"},
        Wrong{"unknown verb", {"trian"}, 2, "unknown verb \"trian\"; there are train, generate, evaluate"},
        Wrong{"unknown task",
              {"train", "clasifier"},
              2,
              "unknown verb \"clasifier\"; there are classifier, transformer; did you mean classifier?\n"},
        Wrong{"unknown flag", {"train", "classifier", "--frobnicate"}, 2, "--frobnicate"},
        Wrong{"negative learning rate", {"train", "classifier", "--lr", "-1"}, 2, "--lr"},
        Wrong{"learning rate 0", {"train", "classifier", "--lr", "0"}, 2, "--lr"},
        Wrong{"learning rate NaN", {"train", "classifier", "--lr", "nan"}, 2, "--lr"},
        Wrong{"learning rate overflow", {"train", "classifier", "--lr", "1e999"}, 2, "--lr"},
        Wrong{"learning rate with a letter", {"train", "classifier", "--lr", "1x"}, 2, "--lr"},
        Wrong{"batch 0", {"train", "classifier", "--batch", "0"}, 2, "--batch"},
        Wrong{"batch negative", {"train", "classifier", "--batch", "-3"}, 2, "--batch"},
        Wrong{"batch overflow", {"train", "classifier", "--batch", "99999999999999999999"}, 2, "--batch"},
        Wrong{"batch larger than the data",
              {"train", "classifier", "--data", "iris", "--batch", "500"},
              3,
              "a batch of 500"},
        Wrong{"a flag given twice",
              {"train", "classifier", "--epochs", "2", "--epochs=3"},
              2,
              "--epochs is given 2 times; leave all but one of them out\n"},
        Wrong{"a flag given three times",
              {"bench", "--case", "a", "--case", "b", "--case", "c"},
              2,
              "--case is given 3 times"},
        Wrong{"threads 0", {"train", "classifier", "--threads", "0"}, 2, "--threads"},
        Wrong{"seed negative", {"train", "classifier", "--seed", "-1"}, 2, "--seed"},
        Wrong{"hidden 0", {"train", "classifier", "--hidden", "0"}, 2, "--hidden"},
        Wrong{"hidden with a gap",
              {"train", "classifier", "--hidden", "4,,5"},
              2,
              "--hidden: in 4,,5, each must be a whole number from 1 to 1048576, not empty"},
        Wrong{"hidden that ends early", {"train", "classifier", "--hidden", "4,"}, 2, "not empty"},
        Wrong{"hidden of nothing",
              {"train", "classifier", "--hidden", ""},
              2,
              "--hidden: must be whole numbers with commas between them, as in 128,64, not empty\n"},
        Wrong{"hidden with a letter", {"train", "classifier", "--hidden", "4,x"}, 2, "not x"},
        Wrong{"dropout 1", {"train", "classifier", "--dropout", "1"}, 2, "--dropout"},
        Wrong{"test fraction 0",
              {"train", "classifier", "--test-fraction", "0"},
              2,
              "--test-fraction: must be above 0 and less than 1, not 0\n"},
        Wrong{"test fraction 1",
              {"train", "classifier", "--test-fraction", "1"},
              2,
              "--test-fraction: must be above 0 and less than 1, not 1\n"},
        Wrong{"test fraction that holds nothing out",
              {"train", "classifier", "--data", "iris", "--test-fraction", "1e-9"},
              3,
              "iris: 150 samples cannot be split with a test share of 1e-09: the part held out would be "
              "empty; use more samples or a larger share\n"},
        Wrong{"test fraction that leaves nothing",
              {"train", "classifier", "--data", "iris", "--test-fraction", "0.999"},
              3,
              "a test share of 0.999: the part for training would be empty; use more samples or a smaller "
              "share\n"},
        Wrong{"epochs 0", {"train", "classifier", "--epochs", "0"}, 2, "--epochs"},
        Wrong{"unknown data",
              {"train", "classifier", "--data", "digitz"},
              2,
              "neither a file nor one of digits"},
        Wrong{"data with a line end in its name",
              {"train", "classifier", "--data", "a\nb"},
              2,
              "--data a\\x0ab: neither a file nor one of digits"},
        Wrong{"text with a line end in its name",
              {"train", "--data", "a\nb"},
              2,
              "--data a\\x0ab: neither a file nor addition"},
        Wrong{
            "data of the other task",
            {"train", "--data", "digits"},
            2,
            "--data digits: neither a file nor addition; did you mean reel train classifier --data digits?"},
        Wrong{"labels of data that has its own",
              {"train", "classifier", "--data", "iris", "--label-column", "3"},
              2,
              "--label-column goes with a file; iris has its labels already"},
        Wrong{"column of an IDX file",
              {"train", "classifier", "--data", "cut.idx", "--labels", "labels.idx", "--label-column", "3"},
              2,
              "--label-column goes with CSV files only"},
        Wrong{"columns of data that has its own",
              {"train", "classifier", "--data", "iris", "--ignore-columns", "3"},
              2,
              "--ignore-columns goes with a file; iris has its features already"},
        Wrong{"ignored column of an IDX file",
              {"train", "classifier", "--data", "cut.idx", "--labels", "labels.idx", "--ignore-columns", "3"},
              2,
              "--ignore-columns goes with CSV files only"},
        Wrong{"ignored columns of nothing",
              {"evaluate", "--model", "x", "--ignore-columns", "3"},
              2,
              "--ignore-columns requires --data"},
        Wrong{"a column without a name",
              {"train", "classifier", "--data", "good.csv", "--ignore-columns", "a,,b"},
              2,
              "--ignore-columns: must be names or numbers of columns, with commas between them, not a,,b"},
        Wrong{"a name in open quotes",
              {"train", "classifier", "--data", "good.csv", "--ignore-columns", "\"a"},
              2,
              "with commas between them, not \"a"},
        Wrong{"names on two lines",
              {"inspect", "good.csv", "--ignore-columns", "a\nb"},
              2,
              "with commas between them, not a\\x0ab"},
        Wrong{"names that are no text",
              {"inspect", "good.csv", "--ignore-columns", "a\xFF"},
              2,
              "with commas between them, not a\\xff"},
        Wrong{"unknown ignored column",
              {"train", "classifier", "--data", "good.csv", "--ignore-columns", "x"},
              3,
              "no ignored column"},
        Wrong{"class of a file without classes",
              {"inspect", "good.csv", "--unlabelled", "--label-column", "0"},
              2,
              "--label-column excludes --unlabelled"},
        Wrong{"columns of a file that has none",
              {"inspect", "cut.idx", "--ignore-columns", "0"},
              2,
              "--ignore-columns goes with CSV files only; cut.idx is none"},
        Wrong{"labels of nothing",
              {"evaluate", "--model", "x", "--labels", "labels.idx"},
              2,
              "--labels requires --data"},
        Wrong{"prompt of no model", {"attention", "--prompt", "a"}, 2, "--prompt requires --model"},
        Wrong{"token of a model",
              {"attention", "--model", "x", "--prompt", "a", "--token", "1"},
              2,
              "--model excludes --token"},
        Wrong{"missing CSV", {"train", "classifier", "--data", "no/such.csv"}, 5, "No such file"},
        Wrong{"a directory", {"train", "classifier", "--data", "."}, 5, "directory"},
        Wrong{"ragged CSV", {"train", "classifier", "--data", "ragged.csv"}, 3, "ragged.csv:2:3"},
        Wrong{"unknown label column",
              {"train", "classifier", "--data", "good.csv", "--label-column", "x"},
              3,
              "no label column"},
        Wrong{
            "cut IDX", {"train", "classifier", "--data", "cut.idx", "--labels", "labels.idx"}, 3, "cut.idx"},
        Wrong{"IDX without labels", {"train", "classifier", "--data", "cut.idx"}, 2, "--labels"},
        Wrong{"resume without out", {"train", "classifier", "--resume"}, 2, "--out"},
        Wrong{"heads that do not divide",
              {"train", "--heads", "3"},
              2,
              "--heads 3 does not divide --width 128"},
        Wrong{"context 0", {"train", "--context", "0"}, 2, "--context"},
        Wrong{"learning rate that rises",
              {"train", "--lr", "1e-8", "--min-lr", "2e-8"},
              2,
              "--min-lr 2e-08 is larger than --lr 1e-08"},
        Wrong{"context too small for sums", {"train", "--context", "5"}, 2, "--context 5 is too small"},
        Wrong{"short text",
              {"train", "transformer", "--data", "short.txt"},
              3,
              "has 3 bytes; a context of 64 needs 65"},
        Wrong{"empty text", {"train", "transformer", "--data", "empty.txt"}, 3, "has 0 bytes"},
        Wrong{"out is a file", {"train", "classifier", "--out", "good.csv"}, 5, "good.csv"},
        Wrong{"no model", {"generate", "--prompt", "1+1="}, 2, "--model"},
        Wrong{"missing model", {"generate", "--model", "none.safetensors"}, 5, "none.safetensors"},
        Wrong{"a model of another kind", {"generate", "--model", "good.csv"}, 4, "good.csv"},
        Wrong{"top-p 0", {"generate", "--model", "x", "--top-p", "0"}, 2, "--top-p"},
        Wrong{
            "temperature negative", {"generate", "--model", "x", "--temperature", "-1"}, 2, "--temperature"},
        Wrong{"inspect nothing", {"inspect"}, 2, "file"},
        Wrong{"inspect missing", {"inspect", "none"}, 5, "No such file"},
        Wrong{"inspect empty", {"inspect", "empty.txt"}, 3, "empty"}));

}  // namespace
}  // namespace reel::examples
