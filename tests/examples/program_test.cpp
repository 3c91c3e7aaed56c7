#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <set>

#include "kernels/matmul_bf16.h"
#include "nn/safetensors.h"
#include "tests/examples/program.h"

// The program from outside: what a shell sees.

namespace reel::examples {
namespace {

using testing::HasSubstr;

class Program : public testing::Test {
 protected:
  Workplace place;
  Ran reel(const std::vector<std::string>& words, const std::string& prefix = "") {
    return run_reel(words, place.path(), prefix);
  }
};

TEST_F(Program, LearnsTheDigitsTheSameWayWithAnyNumberOfThreads) {
  std::string fingerprint;
  for (const char* threads : {"1", "2", "3", "5"}) {
    const Ran ran = reel({"train", "classifier", "--json", "--threads", threads, "--progress", "none"});
    ASSERT_EQ(ran.code, 0) << ran.err;
    const auto json = ran.json();
    EXPECT_EQ(keys(json),
              (std::set<std::string>{"task", "data", "epochs", "parameters", "threads", "train_accuracy",
                                     "test_accuracy", "test_loss", "skipped_steps", "seconds",
                                     "samples_per_second", "fingerprint", "checkpoint", "report"}));
    EXPECT_GE(json["test_accuracy"].get<double>(), 0.97);
    if (fingerprint.empty()) fingerprint = json["fingerprint"];
    EXPECT_EQ(json["fingerprint"], fingerprint) << threads << " threads";
    EXPECT_THAT(contents(place / json["report"].get<std::string>()), HasSubstr("</html>"));
  }
}

TEST_F(Program, LearnsEverySyntheticSet) {
  for (const char* data : {"iris", "spirals", "moons", "blobs"}) {
    const Ran ran = reel({"train", "classifier", "--data", data, "--json"});
    ASSERT_EQ(ran.code, 0) << ran.err;
    EXPECT_GE(ran.json()["test_accuracy"].get<double>(), 0.9) << data;
  }
}

TEST_F(Program, SaysWhetherItTookTheFirstLineForAHeader) {
  std::string rows;
  for (int i = 0; i < 20; ++i) rows += std::to_string(i) + ",5," + std::to_string(i % 2) + "\n";
  write(place / "bare.csv", rows);
  write(place / "named.csv", "a,b,class\n" + rows);
  const auto said = [&](const std::string& data) {
    return reel({"train", "classifier", "--data", data, "--epochs", "1", "--batch", "4"}).err;
  };
  EXPECT_THAT(said("bare.csv"), HasSubstr(" samples of bare.csv (without a header), "));
  EXPECT_THAT(said("named.csv"), HasSubstr(" samples of named.csv (with a header), "));
  EXPECT_THAT(said("iris"), HasSubstr(" samples of iris, "));
}

TEST_F(Program, ASmallSetIsOneBatchUnlessABatchIsGiven) {
  std::string csv;
  for (int i = 0; i < 20; ++i) csv += std::to_string(i) + ",5," + std::to_string(i % 2) + "\n";
  write(place / "few.csv", csv);
  const std::vector<std::string> train = {"train",    "classifier", "--data", "few.csv",
                                          "--epochs", "3",          "--json"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), train.begin(), train.end());
    return reel(more);
  };
  const auto batch = [&](const std::string& run) {
    return nlohmann::json::parse(contents(place / (run + "/config.json"))).at("batch");
  };
  const Ran few = with({"--out", "few"});
  ASSERT_EQ(few.code, 0) << few.err;
  EXPECT_EQ(batch("few"), 16);
  EXPECT_EQ(with({"--out", "same", "--batch", "16"}).json()["fingerprint"], few.json()["fingerprint"]);
  const Ran resumed = with({"--out", "few", "--resume"});
  EXPECT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_EQ(resumed.json()["fingerprint"], few.json()["fingerprint"]);
  EXPECT_EQ(reel({"train", "classifier", "--out", "few", "--resume", "--epochs", "4", "--json"}).code, 0);
  EXPECT_EQ(batch("few"), 16);
  const Ran large = with({"--out", "large", "--batch", "17"});
  EXPECT_EQ(large.code, 3);
  EXPECT_THAT(large.err, HasSubstr("a batch of 17 samples does not fit few.csv, which has 16 for training; "
                                   "choose a batch between 1 and 16\n"));
  EXPECT_FALSE(std::filesystem::exists(place / "large"));
  EXPECT_EQ(reel({"train", "classifier", "--data", "iris", "--epochs", "1", "--out", "iris"}).code, 0);
  EXPECT_EQ(batch("iris"), 64);
}

TEST_F(Program, EvaluatesWhatItTrained) {
  const auto trained = reel({"train", "classifier", "--data", "iris", "--json", "--out", "run"}).json();
  const Ran ran = reel({"evaluate", "--model", "run/checkpoint.safetensors", "--json"});
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.json()["test_accuracy"], trained["test_accuracy"]);
  EXPECT_EQ(ran.json()["test_loss"], trained["test_loss"]);
  EXPECT_EQ(ran.json()["samples"], 30);
  EXPECT_EQ(ran.json()["held_out_of"], 150);
  EXPECT_THAT(reel({"evaluate", "--model", "run/checkpoint.safetensors"}).out,
              HasSubstr("on 30 samples, the held-out part of 150\n"));
  EXPECT_THAT(reel({"evaluate", "--help"}).out, HasSubstr("part of data that training holds out"));
}

TEST_F(Program, EvaluatesAWholeFileIfItIsTold) {
  const auto trained = reel({"train", "classifier", "--data", "iris", "--json", "--out", "run"}).json();
  const auto evaluate = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"evaluate", "--model", "run/checkpoint.safetensors"});
    return reel(more);
  };
  const auto held_out = evaluate({"--json", "--split", "held-out"}).json();
  EXPECT_EQ(held_out, evaluate({"--json"}).json());
  EXPECT_EQ(held_out["split"], "held-out");
  const auto whole = evaluate({"--json", "--split", "all"}).json();
  EXPECT_EQ(keys(whole), keys(held_out));
  EXPECT_EQ(whole["split"], "all");
  EXPECT_EQ(whole["same_data_as_training"], true);
  EXPECT_EQ(whole["samples"], 150);
  EXPECT_NEAR(whole["test_accuracy"].get<double>(),
              0.8 * trained["train_accuracy"].get<double>() + 0.2 * trained["test_accuracy"].get<double>(),
              1e-9);
  EXPECT_THAT(evaluate({"--split", "all"}).out,
              HasSubstr(" % on all 150 samples, of which the model learned from 120\n"));
  EXPECT_EQ(evaluate({"--split", "half"}).code, 2);

  // Too few to hold a part out, and one of the classes is not there.
  write(place / "few.csv", "6.3,2.7,4.9,1.8,virginica\n5.1,3.5,1.4,0.2,setosa\n4.9,3,1.4,0.2,setosa\n");
  EXPECT_EQ(evaluate({"--data", "few.csv"}).code, 3);
  const Ran few = evaluate({"--data", "few.csv", "--split", "all", "--json"});
  ASSERT_EQ(few.code, 0) << few.err;
  EXPECT_THAT(few.err, HasSubstr("note: few.csv is not what the model was trained on"));
  EXPECT_EQ(few.json()["samples"], 3);
  EXPECT_EQ(few.json()["test_accuracy"], 1.0);
  EXPECT_EQ(few.json()["confusion"][0][0], 2);
  EXPECT_EQ(few.json()["confusion"][2][2], 1);
  EXPECT_THAT(evaluate({"--data", "few.csv", "--split", "all"}).out,
              HasSubstr("100.00 % on all 3 samples\n"));
  write(place / "one.csv", "5.1,3.5,1.4,0.2,setosa\n");
  EXPECT_EQ(evaluate({"--data", "one.csv"}).code, 3);
  EXPECT_EQ(evaluate({"--data", "one.csv", "--split", "all", "--json"}).json()["test_accuracy"], 1.0);
}

// A column of numbers that are all different was no column of classes; a matrix of them takes their square.
TEST_F(Program, CountsNoConfusionsOfVeryManyClasses) {
  std::string table;
  for (int i = 0; i < 4004; ++i) table += std::to_string(i % 7) + "," + std::to_string(i % 1001) + "\n";
  write(place / "many.csv", table);
  const Ran train = reel({"train", "classifier", "--data", "many.csv", "--hidden", "2", "--epochs", "1",
                          "--out", "many", "--json"});
  ASSERT_EQ(train.code, 0) << train.err;
  const Ran evaluated = reel({"evaluate", "--model", "many/checkpoint.safetensors", "--json"});
  ASSERT_EQ(evaluated.code, 0) << evaluated.err;
  EXPECT_EQ(evaluated.json()["samples"], 1001);
  EXPECT_TRUE(evaluated.json()["confusion"].empty());
}

TEST_F(Program, EvaluatesAWholeTextIfItIsTold) {
  std::string text;
  for (int i = 0; i < 60; ++i) text += "the cat sat on the mat.\n";
  write(place / "cat.txt", text);
  ASSERT_EQ(reel({"train", "--data", "cat.txt", "--layers", "1", "--heads", "1", "--width", "8", "--context",
                  "8", "--batch", "4", "--steps", "20", "--out", "text"})
                .code,
            0);
  const auto evaluate = [&](const std::string& run, std::vector<std::string> more) {
    more.insert(more.begin(), {"evaluate", "--model", run + "/checkpoint.safetensors"});
    return reel(more);
  };
  const auto held_out = evaluate("text", {"--json"}).json();
  const auto whole = evaluate("text", {"--json", "--split", "all"}).json();
  EXPECT_EQ(held_out["split"], "held-out");
  EXPECT_EQ(held_out["tokens"], 143);
  EXPECT_EQ(whole["split"], "all");
  EXPECT_EQ(whole["tokens"], 1439);
  EXPECT_NE(whole["validation_loss"], held_out["validation_loss"]);
  EXPECT_THAT(evaluate("text", {}).out, HasSubstr(" on the last tenth of the text, 143 tokens\n"));
  EXPECT_THAT(evaluate("text", {"--split", "all"}).out,
              HasSubstr(" on the whole text, 1439 tokens, most of which the model learned from\n"));
  write(place / "short.txt", "the cat sat");
  EXPECT_THAT(evaluate("text", {"--split", "all", "--data", "short.txt"}).out,
              HasSubstr(" on the whole text, 10 tokens\n"));

  ASSERT_EQ(
      reel({"train", "--layers", "1", "--heads", "1", "--width", "8", "--steps", "2", "--out", "sums"}).code,
      0);
  EXPECT_EQ(evaluate("sums", {"--json"}).json()["samples"], 2000);
  const Ran endless = evaluate("sums", {"--split", "all"});
  EXPECT_EQ(endless.code, 2);
  EXPECT_THAT(endless.err,
              HasSubstr("--split all goes with data that has an end; of sums, those are measured"));
}

TEST_F(Program, TrainsWithProductsOfBfloat16) {
  const std::vector<std::string> small = {"train", "transformer", "--width", "32", "--steps", "40", "--json"};
  const auto with = [&](std::vector<std::string> more) {
    std::vector<std::string> words = small;
    words.insert(words.end(), more.begin(), more.end());
    return reel(words);
  };
  const auto exact = with({"--out", "exact"}).json();
  struct Kind {
    std::string name;
    double tolerance;
    bool other_bits;
  };
  const bool tiles = kernels::has_way(kernels::Bf16Way::tiles);
  for (const auto& [kind, tolerance, other_bits] : {Kind{"bf16", 1e-2, true}, Kind{"bf16x6", 1e-5, tiles}}) {
    SCOPED_TRACE(kind);
    const auto trained = with({"--precision", kind, "--out", kind}).json();
    EXPECT_EQ(trained["fingerprint"] != exact["fingerprint"], other_bits);
    EXPECT_NEAR(trained["validation_loss"].get<double>(), exact["validation_loss"].get<double>(),
                tolerance * exact["validation_loss"].get<double>());
    EXPECT_EQ(with({"--precision", kind, "--out", "one-" + kind, "--threads", "1"}).json()["fingerprint"],
              trained["fingerprint"]);

    const auto evaluated = reel({"evaluate", "--model", kind + "/checkpoint.safetensors", "--json"}).json();
    EXPECT_EQ(evaluated["validation_loss"], trained["validation_loss"]);
    const Ran other = with({"--precision", "f32", "--out", kind, "--resume"});
    EXPECT_EQ(other.code, 2);
    EXPECT_THAT(other.err, HasSubstr("--precision"));
  }
}

TEST_F(Program, WritesTextAndTheCacheDoesNotChangeIt) {
  std::string text;
  for (int i = 0; i < 60; ++i) text += "the cat sat on the mat.\n";
  write(place / "cat.txt", text);
  const Ran trained =
      reel({"train", "transformer", "--data", "cat.txt", "--layers", "1", "--heads", "2", "--width", "32",
            "--context", "16", "--batch", "8", "--steps", "400", "--json", "--out", "run"});
  ASSERT_EQ(trained.code, 0) << trained.err;
  EXPECT_TRUE(trained.json()["exact_match"].is_null());
  EXPECT_LT(trained.json()["validation_loss"].get<double>(), 1.0);
  const std::vector<std::string> generate = {
      "generate", "--model", "run/checkpoint.safetensors", "--prompt", "the cat", "--tokens", "40"};
  const auto with = [&](std::vector<std::string> more) {
    std::vector<std::string> words = generate;
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  const Ran greedy = reel(with({"--temperature", "0"}));
  EXPECT_EQ(greedy.code, 0) << greedy.err;
  EXPECT_THAT(greedy.out, HasSubstr("the cat sat on the mat."));
  EXPECT_EQ(reel(with({"--seed", "5"})).out, reel(with({"--seed", "5", "--threads", "3"})).out);
  EXPECT_EQ(reel(with({"--temperature", "1e-30"})).out, greedy.out);
  EXPECT_EQ(reel(with({"--top-k", "1"})).out, greedy.out);
  EXPECT_EQ(reel(with({"--temperature", "1e30"})).code, 0);
  EXPECT_EQ(reel(with({"--temperature", "0", "--stop-at-newline"})).out, "the cat sat on the mat.\n");
  const Ran unknown =
      run_reel({"generate", "--model", "run/checkpoint.safetensors", "--prompt", "dog!"}, place.path());
  EXPECT_EQ(unknown.code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("'d' at position 0 never occurs"));
  const auto look_at = [&](const std::string& prompt) {
    return reel({"attention", "--model", "run/checkpoint.safetensors", "--prompt", prompt});
  };
  EXPECT_EQ(look_at("the cat sat on t").code, 0);
  const Ran longer = look_at("the cat sat on th");
  EXPECT_EQ(longer.code, 2);
  EXPECT_EQ(longer.out, "");
  EXPECT_EQ(longer.err,
            "reel: --prompt: it has 17 tokens, and the model takes 16 at most; give a shorter text\n");
}

TEST_F(Program, AnswersToSumsFollowTheFlagsOfSampling) {
  ASSERT_EQ(
      reel({"train", "--layers", "1", "--heads", "1", "--width", "8", "--steps", "2", "--out", "run"}).code,
      0);
  const auto answer = [&](const std::vector<std::string>& more) {
    std::vector<std::string> words = {
        "generate", "--model", "run/checkpoint.safetensors", "--prompt", "47+385=", "--tokens", "4"};
    words.insert(words.end(), more.begin(), more.end());
    const Ran ran = reel(words);
    EXPECT_EQ(ran.code, 0) << ran.err;
    return ran.out;
  };
  const std::string likeliest = answer({});
  EXPECT_EQ(answer({"--temperature", "0"}), likeliest);
  EXPECT_EQ(answer({"--temperature", "1", "--top-k", "1", "--seed", "5"}), likeliest);
  EXPECT_EQ(answer({"--top-p", "0.001", "--seed", "5"}), likeliest);
  EXPECT_EQ(answer({"--seed", "5"}), likeliest);
  for (const std::vector<std::string>& chance :
       {std::vector<std::string>{"--temperature", "1"}, std::vector<std::string>{"--top-k", "11"},
        std::vector<std::string>{"--top-p", "0.99"}}) {
    std::set<std::string> answers;
    for (int seed = 1; seed <= 10; ++seed) {
      auto with_seed = chance;
      with_seed.insert(with_seed.end(), {"--seed", std::to_string(seed)});
      answers.insert(answer(with_seed));
      EXPECT_EQ(answers.count(answer(with_seed)), 1u);
    }
    EXPECT_GT(answers.size(), 2u)
        << chance[0];  // a model that has learned next to nothing is sure of nothing
  }
  const Ran few =
      reel({"generate", "--model", "run/checkpoint.safetensors", "--prompt", "47+385=", "--tokens", "3"});
  EXPECT_EQ(few.code, 2);
  EXPECT_EQ(few.out, "");
  EXPECT_THAT(few.err, HasSubstr("--tokens 3 is too few: the answer to a sum takes 4"));
  const auto refused = [&](const std::string& prompt, const std::string& message) {
    const Ran ran = reel({"generate", "--model", "run/checkpoint.safetensors", "--prompt", prompt});
    EXPECT_EQ(ran.code, 2);
    EXPECT_EQ(ran.out, "");
    EXPECT_EQ(ran.err, "reel: prompt \"" + message + "; write a sum like 47+385=\n");
  };
  refused("47+385=43", "47+385=43\": a sum ends with its =, but something follows it");
  refused("47-385=", "47-385=\": the model does not know the character '-'");
  refused(std::string(100'000, '1'), std::string(200, '1') + "... (100000 bytes)\": there must be one +");
}

TEST_F(Program, ListsItsOps) {
  const Ran table = reel({"ops"});
  EXPECT_EQ(table.code, 0);
  EXPECT_THAT(table.out, HasSubstr("layer_norm"));
  const auto json = reel({"ops", "--json"}).json();
  EXPECT_GT(json["ops"].size(), 70u);
  for (const auto& op : json["ops"])
    EXPECT_EQ(keys(op), (std::set<std::string>{"name", "formula", "shape", "inputs", "differentiable"}));
}

TEST_F(Program, AResultThatCannotBeWrittenIsAFailure) {
  const std::string command =
      "cd '" + place.path() + "' && '" REEL_PROGRAM "' ops >/dev/full 2>err.txt; echo $? >code.txt";
  ASSERT_EQ(std::system(command.c_str()), 0);
  EXPECT_EQ(contents(place / "code.txt"), "5\n");
  EXPECT_THAT(contents(place / "err.txt"), HasSubstr("stdout"));
}

TEST_F(Program, StopsWhenItsResultCannotBeWritten) {
  write(place / "ab.txt", "abababababababababab");
  ASSERT_EQ(reel({"train", "--data", "ab.txt", "--layers", "1", "--heads", "1", "--width", "8", "--context",
                  "8", "--steps", "2", "--out", "run"})
                .code,
            0);
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"generate", "--model", "run/checkpoint.safetensors", "--tokens", "30000"},
        std::vector<std::string>{"bench", "--case", "mlp-2-16-16-3-b32", "--threads", "1"}}) {
    const Ran whole = reel(words);
    EXPECT_EQ(whole.code, 0) << whole.err;
    const Ran full = reel(words, "sh -c 'exec \"$0\" \"$@\" >/dev/full'");
    EXPECT_EQ(full.code, 5);
    EXPECT_THAT(full.err, HasSubstr("the result cannot be written to stdout"));
    EXPECT_LT(full.processor_seconds, whole.processor_seconds / 2) << words[0];
  }
}

TEST_F(Program, ClosedStreamsDoNotEndUpInItsFiles) {
  const auto shell = [&](const std::string& words, const std::string& streams) {
    const std::string command =
        "cd '" + place.path() + "' && '" REEL_PROGRAM "' " + words + " " + streams + "; echo $? >code.txt";
    EXPECT_EQ(std::system(("(" + command + ")").c_str()), 0);
    return contents(place / "code.txt");
  };
  const std::string words = "train classifier --data iris --epochs 2 --progress plain --out run";
  EXPECT_EQ(shell(words, "<&- >/dev/null 2>&-"), "0\n");
  EXPECT_EQ(contents(place / "run/log.jsonl").substr(0, 1), "{");
  EXPECT_EQ(shell("train classifier --data iris --epochs 3 --resume --out run", "<&- >/dev/null 2>err.txt"),
            "0\n")
      << contents(place / "err.txt");
  // A result has to arrive.
  EXPECT_EQ(shell("ops", ">&- 2>err.txt"), "5\n");
  EXPECT_THAT(contents(place / "err.txt"), HasSubstr("stdout"));
  EXPECT_EQ(shell("ops", "<&- >&- 2>&-"), "5\n");
}

TEST_F(Program, InspectsFiles) {
  ASSERT_EQ(reel({"train", "classifier", "--data", "iris", "--epochs", "1", "--out", "run"}).code, 0);
  EXPECT_EQ(reel({"inspect", "run/checkpoint.safetensors", "--json"}).json()["kind"], "checkpoint");
  EXPECT_EQ(reel({"inspect", "run/best.safetensors", "--json"}).json()["kind"], "model");
  write(place / "t.csv", "a,b,c\n1,2,0\n3,4,1\n");
  EXPECT_EQ(reel({"inspect", "t.csv", "--json"}).json()["samples"], 2);
  EXPECT_EQ(reel({"inspect", "t.csv", "--json"}).json()["header"], true);
  EXPECT_THAT(reel({"inspect", "t.csv"}).out, HasSubstr("header  true\n"));
  write(place / "t.csv", "1,2,0\n3,4,1\n");
  EXPECT_EQ(reel({"inspect", "t.csv", "--json"}).json()["header"], false);
  // What is in its columns is as training would be told.
  write(place / "t.csv", "id,k,a,b\nx,0,5,6\ny,1,7,8\nz,1,7,8\n");
  EXPECT_EQ(reel({"inspect", "t.csv"}).code, 3);
  const nlohmann::ordered_json table =
      reel({"inspect", "t.csv", "--ignore-columns", "id", "--label-column", "k", "--json"}).json();
  EXPECT_EQ(table["feature_names"], (nlohmann::ordered_json{"a", "b"}));
  EXPECT_EQ(table["samples_per_class"], (nlohmann::ordered_json{1, 2}));
  const nlohmann::ordered_json plain =
      reel({"inspect", "t.csv", "--unlabelled", "--ignore-columns", "id", "--json"}).json();
  EXPECT_EQ(plain["features"], 3);
  EXPECT_FALSE(plain.contains("classes"));
  write(place / "t", "0,1,2\n3,4,5.5\n");
  EXPECT_EQ(reel({"inspect", "t", "--unlabelled"}).code, 3);
  EXPECT_EQ(reel({"inspect", "t", "--unlabelled", "--header", "yes", "--json"}).json()["samples"], 1);
  EXPECT_EQ(reel({"inspect", "t", "--unlabelled", "--header", "no", "--json"}).json()["samples"], 2);
  EXPECT_EQ(reel({"inspect", "run/log.jsonl", "--json"}).json()["kind"], "text");
  write(place / "t.txt", "hello\n");
  EXPECT_EQ(reel({"inspect", "t.txt", "--json"}).json()["kind"], "text");
  write(place / "no_name", "\x93NUMPY");
  EXPECT_EQ(reel({"inspect", "no_name"}).code, 3);  // known by its content
  write(place / "cut.npy", "\x93NU");
  EXPECT_EQ(reel({"inspect", "cut.npy"}).code, 3);
  write(place / "cut.npz", "PK");
  EXPECT_EQ(reel({"inspect", "cut.npz"}).code, 3);
  std::string damaged = contents(place / "run/checkpoint.safetensors");
  damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 1);
  write(place / "damaged.safetensors", damaged);
  const Ran ran = reel({"inspect", "damaged.safetensors"});
  EXPECT_EQ(ran.code, 4);
  EXPECT_THAT(ran.err, HasSubstr("checksum"));
}

TEST_F(Program, InspectsATableOfOneClass) {
  for (const std::string rows : {"1,2,a\n", "1,2,a\n3,4,a\n"}) {
    write(place / "one.csv", rows);
    const Ran ran = reel({"inspect", "one.csv", "--json"});
    ASSERT_EQ(ran.code, 0) << ran.err;
    const std::int64_t samples = std::count(rows.begin(), rows.end(), '\n');
    EXPECT_EQ(ran.json()["samples"], samples);
    EXPECT_EQ(ran.json()["classes"], (std::vector<std::string>{"a"}));
    EXPECT_EQ(ran.json()["samples_per_class"], std::vector<std::int64_t>{samples});
  }
}

TEST_F(Program, InspectsNumbersOfWhichNoneIsFinite) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<std::int64_t> shape = {2};
  nn::SafetensorsWriter writer;
  writer.add<float>("none", shape, std::vector<float>{nan, nan});
  writer.add<float>("some", shape, std::vector<float>{nan, -3});
  writer.write(place / "nan.safetensors");
  const auto tensors = reel({"inspect", "nan.safetensors", "--json"}).json()["tensors"];
  EXPECT_TRUE(tensors[0].at("min").is_null());
  EXPECT_TRUE(tensors[0].at("max").is_null());
  EXPECT_EQ(tensors[0]["not_finite"], 2);
  EXPECT_EQ(tensors[1]["min"], -3);
  EXPECT_EQ(tensors[1]["max"], -3);
  EXPECT_EQ(tensors[1]["not_finite"], 1);
  const Ran ran = reel({"inspect", "nan.safetensors"});
  EXPECT_THAT(ran.out, HasSubstr("  no finite value  2 not finite\n"));
  EXPECT_THAT(ran.out, HasSubstr("  -3 .. -3  1 not finite\n"));

  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }";
  header.resize(117, ' ');
  write(place / "nan.npy",
        std::string("\x93NUMPY\x01\x00\x76\x00", 10) + header + "\n" + std::string("\x00\x00\xC0\x7F", 4));
  EXPECT_TRUE(reel({"inspect", "nan.npy", "--json"}).json().at("min").is_null());
  EXPECT_THAT(reel({"inspect", "nan.npy"}).out,
              HasSubstr("\nmin  no finite value\nmax  no finite value\nnot_finite  1\n"));
}

TEST_F(Program, AModelOfAnotherTaskIsRefused) {
  ASSERT_EQ(reel({"train", "classifier", "--data", "iris", "--epochs", "1", "--out", "run"}).code, 0);
  const Ran ran = reel({"generate", "--model", "run/checkpoint.safetensors", "--prompt", "1+1="});
  EXPECT_EQ(ran.code, 4);
  EXPECT_THAT(ran.err, HasSubstr("it holds a classifier, not a transformer"));
}

TEST_F(Program, ADamagedCheckpointFallsBackToTheOneBefore) {
  const std::vector<std::string> flags = {"train", "classifier",         "--data", "iris",   "--epochs",
                                          "4",     "--checkpoint-every", "3",      "--json", "--out",
                                          "run"};
  const Ran whole = reel(flags);
  ASSERT_EQ(whole.code, 0) << whole.err;
  std::string damaged = contents(place / "run/checkpoint.safetensors");
  damaged.resize(damaged.size() - 1);
  write(place / "run/checkpoint.safetensors", damaged);
  std::vector<std::string> resume = flags;
  resume.push_back("--resume");
  const Ran resumed = reel(resume);
  ASSERT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_THAT(resumed.err, HasSubstr("skipped a checkpoint"));
  EXPECT_EQ(resumed.json()["fingerprint"], whole.json()["fingerprint"]);
}

TEST_F(Program, TrainingThatExplodesStopsWithItsOwnCode) {
  const Ran ran =
      reel({"train", "classifier", "--lr", "1e30", "--json", "--out", "run", "--progress", "none"});
  EXPECT_EQ(ran.code, 6) << ran.out << ran.err;
  EXPECT_EQ(ran.out, "");
  EXPECT_THAT(ran.err, HasSubstr("not finite"));
}

}  // namespace
}  // namespace reel::examples
