#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "nn/safetensors.h"
#include "nn/sha256.h"
#include "tests/examples/program.h"
#include "tests/examples/refusals.h"

// What a model file says of itself is not trusted.

namespace reel::examples {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;
using Json = nlohmann::ordered_json;

TEST_F(Refusals, AModelWithoutNumbersIsNamed) {
  ASSERT_EQ(
      reel({"train", "--layers", "1", "--heads", "1", "--width", "8", "--steps", "2", "--out", "run"}).code,
      0);
  const nn::Safetensors file = nn::Safetensors::read(place / "run/best.safetensors");
  nn::SafetensorsWriter writer;
  for (const nn::SafetensorsEntry& e : file.entries()) {
    std::vector<std::byte> bytes(e.bytes.begin(), e.bytes.end());
    if (e.name == file.entries().front().name) std::fill_n(bytes.begin(), 4, std::byte{0xFF});  // NaN
    writer.add(e.name, e.dtype, e.shape, bytes);
  }
  writer.metadata("format", "reel-model");
  writer.metadata("config", file.metadata().at("config"));
  writer.write(place / "nan.safetensors");
  const Ran ran = reel({"generate", "--model", "nan.safetensors", "--prompt", "1+1="});
  std::filesystem::copy_file(place / "nan.safetensors", place / "n\x1b.safetensors");
  EXPECT_THAT(reel({"generate", "--model", "n\x1b.safetensors", "--prompt", "1+1="}).err,
              HasSubstr("reel: warning: n\\x1b.safetensors: "));
  EXPECT_THAT(ran.err, HasSubstr("reel: warning: nan.safetensors: "));
  EXPECT_THAT(ran.err, HasSubstr("; what the model says means nothing"));
}

TEST_F(Refusals, AModelWhoseLossIsNotFiniteIsNotMeasured) {
  const auto with_weights_of = [&](const std::string& from, float even, float odd) {
    const nn::Safetensors file = nn::Safetensors::read(place / from);
    nn::SafetensorsWriter writer;
    for (const nn::SafetensorsEntry& e : file.entries()) {
      std::vector<float> values(e.bytes.size() / sizeof(float), even);
      for (std::size_t i = 1; i < values.size(); i += 2) values[i] = odd;
      writer.add<float>(e.name, e.shape, values);
    }
    writer.metadata("format", "reel-model");
    writer.metadata("config", file.metadata().at("config"));
    writer.write(place / "huge.safetensors");
  };
  const auto refused = [&](const std::string& data, const std::vector<std::string>& culprits) {
    for (const std::vector<std::string>& more : {std::vector<std::string>{}, {"--json"}}) {
      std::vector<std::string> words = {"evaluate", "--model", "huge.safetensors"};
      words.insert(words.end(), more.begin(), more.end());
      const Ran ran = reel(words);
      EXPECT_EQ(ran.code, 6) << ran.err;
      EXPECT_EQ(ran.out, "");
      EXPECT_THAT(ran.err, StartsWith("reel: huge.safetensors: its loss on " + data + " is not finite: "));
      for (const std::string& words_of_it : culprits) EXPECT_THAT(ran.err, HasSubstr(words_of_it));
      EXPECT_THAT(
          ran.err,
          EndsWith("\n    help     the model or the data has numbers that are not finite, or too large; "
                   "measure the best.safetensors of its run, or train again with a smaller --lr\n"));
    }
  };
  ASSERT_EQ(reel({"train", "classifier", "--data", "iris", "--epochs", "2", "--out", "iris"}).code, 0);
  with_weights_of("iris/best.safetensors", 1e30F, 1e30F);
  refused("iris", {": error: linear_relu: value ", "\n    layer    layer"});
  with_weights_of("iris/best.safetensors", -1e30F, 1e30F);  // for which an op does not even give a loss
  refused("iris", {": error: linear_relu: value "});

  const auto train = [&](const std::string& data) {
    ASSERT_EQ(reel({"train", "--data", data, "--layers", "1", "--heads", "1", "--width", "8", "--steps", "2",
                    "--out", data + "-run"})
                  .code,
              0);
    with_weights_of(data + "-run/best.safetensors", -1e30F, 1e30F);
    refused(data, {": error: ", " is ", "\n    layer    "});
  };
  train("addition");
  std::string text;
  for (int i = 0; i < 60; ++i) text += "the cat sat on the mat.\n";
  write(place / "cat.txt", text);
  train("cat.txt");
}

TEST_F(Refusals, AModelWhoseNumbersAreNotFiniteWritesNothing) {
  write_huge_models();
  for (const std::string model : {"sums", "text"}) {
    const std::string prompt = model == "sums" ? "1+1=" : "the cat";
    for (const std::vector<std::string>& more :
         {std::vector<std::string>{}, {"--json"}, {"--temperature", "0"}, {"--top-k", "3"}}) {
      std::vector<std::string> words = {"generate", "--model", model + ".safetensors", "--prompt", prompt};
      words.insert(words.end(), more.begin(), more.end());
      const Ran ran = reel(words);
      EXPECT_EQ(ran.code, 6) << ran.out;
      EXPECT_EQ(ran.out, "");
      EXPECT_EQ(ran.err, "reel: " + model +
                             ".safetensors: its numbers for the next token are not finite\n    help     the "
                             "model has numbers that are not finite, or too large; take the best.safetensors "
                             "of its run, or train again with a smaller --lr\n");
    }
    for (const std::vector<std::string>& more :
         {std::vector<std::string>{}, {"--json"}, {"--html", "maps.html"}}) {
      std::vector<std::string> words = {"attention", "--model", model + ".safetensors", "--prompt", prompt};
      words.insert(words.end(), more.begin(), more.end());
      const Ran ran = reel(words);
      EXPECT_EQ(ran.code, 6) << ran.out;
      EXPECT_EQ(ran.out, "");
      EXPECT_THAT(ran.err, StartsWith("reel: " + model +
                                      ".safetensors: its attention maps are not finite\n    help "));
      EXPECT_FALSE(std::filesystem::exists(place / "maps.html"));
    }
  }
}

TEST_F(Refusals, APromptThatTheModelCannotReadIsNotWritten) {
  train_on_text("run");
  const Ran ran = reel({"generate", "--model", "run/best.safetensors", "--prompt", "the dog"});
  EXPECT_EQ(ran.code, 2);
  EXPECT_EQ(ran.out, "");
  EXPECT_THAT(ran.err, HasSubstr("'d' at position 4 never occurs"));
}

TEST_F(Refusals, AttentionMultipliesAsTheModelDidWhileItLearned) {
  train_on_text("run", {"--precision", "bf16"});
  const auto maps = [&](const std::string& precision) {
    forge("run/best.safetensors", "forged.safetensors", [&](Json& c) { c["precision"] = precision; });
    const Ran ran = reel({"attention", "--model", "forged.safetensors", "--prompt", "the cat", "--json"});
    EXPECT_EQ(ran.code, 0) << ran.err;
    return ran.out;
  };
  const Ran as_it_is =
      reel({"attention", "--model", "run/best.safetensors", "--prompt", "the cat", "--json"});
  EXPECT_EQ(as_it_is.out, maps("bf16"));
  EXPECT_NE(as_it_is.out, maps("f32"));
  forge("run/best.safetensors", "forged.safetensors", [](Json& c) { c["precision"] = "f8"; });
  refused_as_model({"attention", "--model", "forged.safetensors", "--prompt", "the cat"}, "precision");
}

TEST_F(Refusals, AClassifiersConfigurationIsNotTrusted) {
  ASSERT_EQ(reel({"train", "classifier", "--data", "iris", "--epochs", "2", "--out", "run"}).code, 0);
  const std::vector<std::string> evaluate = {"evaluate", "--model", "forged.safetensors"};
  forge("run/best.safetensors", "forged.safetensors", [](Json& c) { c["hidden"] = {std::int64_t{1} << 40}; });
  refused_as_model(evaluate, "a layer of 1099511627776 cannot be in this file");
  forge("run/best.safetensors", "forged.safetensors", [](Json& c) { c["hidden"] = {-1}; });
  refused_as_model(evaluate, "\"hidden\" is -1, not a whole number of at least 1");
  forge("run/best.safetensors", "forged.safetensors", [](Json& c) {
    c["features"] = 3000;
    c["hidden"] = {3000, 3000};
  });
  refused_as_model(evaluate, "the weights of such sizes cannot be in this file");
  forge("run/best.safetensors", "forged.safetensors", [](Json& c) { c["deviation"] = Json::array(); });
  refused_as_model(evaluate, "\"deviation\" has another length than the features");
  forge("run/best.safetensors", "forged.safetensors", [](Json& c) { c["dropout"] = 2; });
  refused_as_model(evaluate, "\"dropout\" is 2, not at least 0 and less than 1");
  forge("run/best.safetensors", "forged.safetensors", [](Json& c) { c["data_digest"] = 7; });
  refused_as_model(evaluate, "\"data_digest\" is 7, not a text");
  forge("run/best.safetensors", "forged.safetensors", [](Json& c) { c["precision"] = "f16"; });
  refused_as_model(evaluate, "\"precision\" is \"f16\", which is none of bf16, bf16x6, f32");
  forge("run/best.safetensors", "forged.safetensors", [](Json& c) { c["task"] = "poetry"; });
  refused_as_model(evaluate, "\"task\" is \"poetry\", not \"classifier\" or \"transformer\"");
  forge("run/best.safetensors", "forged.safetensors", [](Json& c) {
    Json deep = 1;
    for (int i = 0; i < 40; ++i) deep = Json::array({deep});
    c["more"] = deep;
  });
  refused_as_model(evaluate, "does not say of which model");
}

TEST_F(Refusals, AMessageIsNotAsLongAsAForgedName) {
  ASSERT_EQ(reel({"train", "classifier", "--data", "iris", "--epochs", "2", "--out", "run"}).code, 0);
  const std::string endless(100000, 'x');
  const std::string shown = endless.substr(0, 200) + "... (";
  const std::vector<std::string> evaluate = {"evaluate", "--model", "forged.safetensors"};
  for (const char* key : {"data", "labels", "label_column", "precision", "data_digest", "task", "seed"}) {
    forge("run/best.safetensors", "forged.safetensors", [&](Json& c) { c[key] = endless; });
    refused_as_model(evaluate, std::string(key) + "\" is ");
    EXPECT_LT(reel(evaluate).err.size(), 500u) << key;
  }
  forge("run/best.safetensors", "forged.safetensors", [&](Json& c) { c["classes"][1] = endless; });
  std::string rows;
  for (int i = 0; i < 60; ++i) rows += "1,2,3," + std::to_string(i % 5) + ",other\n";
  write(place / "other.csv", rows);
  auto other = evaluate;
  other.insert(other.end(), {"--data", "other.csv", "--split", "all"});
  EXPECT_THAT(reel(other).err, HasSubstr("the model knows no class \"other\", only setosa, " + shown +
                                         "100000 bytes), virginica"));
  write(place / "long.csv", "1,2,3,4,setosa\n1,2,3,4," + endless + "y\n");
  other[4] = "long.csv";
  EXPECT_THAT(reel(other).err,
              HasSubstr("the model knows no class \"" + shown + "100001 bytes)\", only setosa"));
}

TEST_F(Refusals, ATransformersConfigurationIsNotTrusted) {
  ASSERT_EQ(
      reel({"train", "--layers", "1", "--heads", "1", "--width", "8", "--steps", "2", "--out", "run"}).code,
      0);
  const std::vector<std::string> generate = {"generate", "--model", "forged.safetensors", "--prompt", "1+2="};
  forge("run/best.safetensors", "forged.safetensors",
        [](Json& c) { c["bytes"].erase(c["bytes"].size() - 1); });
  refused_as_model(generate, "for a vocabulary of");
  for (const char* size : {"layers", "width", "context"}) {
    forge("run/best.safetensors", "forged.safetensors",
          [&](Json& c) { c["model"][size] = std::int64_t{1} << 31; });
    refused_as_model(generate, std::string(size) + " of 2147483648 cannot be in this file");
  }
}

TEST_F(Refusals, EveryWordOfAConfigurationIsChecked) {
  ASSERT_EQ(reel({"train", "classifier", "--data", "iris", "--epochs", "2", "--out", "classifier"}).code, 0);
  ASSERT_EQ(
      reel({"train", "--layers", "1", "--heads", "1", "--width", "8", "--steps", "2", "--out", "model"}).code,
      0);
  // Wrong for every key; nothing stands for a key that is missing.
  const std::vector<std::optional<Json>> wrong = {std::nullopt, Json(), Json(-1.5), Json::object(),
                                                  Json::array({nullptr})};
  const auto every_key = [&](const std::string& run, const std::vector<std::string>& keys, bool of_model,
                             const std::vector<std::string>& words) {
    for (const std::string& key : keys) {
      for (const auto& value : wrong) {
        forge(run + "/best.safetensors", "forged.safetensors", [&](Json& c) {
          Json& part = of_model ? c["model"] : c;
          ASSERT_TRUE(part.contains(key));
          part.erase(key);
          if (value) part[key] = *value;
        });
        const Ran ran = reel(words);
        EXPECT_EQ(ran.code, 4) << key << ": " << (value ? value->dump() : "missing") << "\n" << ran.err;
        EXPECT_EQ(ran.err.rfind("reel: forged.safetensors: ", 0), 0u) << ran.err;
        // An object where the sizes of the model stand lacks the first of them.
        EXPECT_THAT(ran.err, HasSubstr(key == "task"    ? "does not say of which model"
                                       : key == "model" ? "\"model"
                                                        : key + "\" is "));
        EXPECT_THAT(ran.err,
                    HasSubstr(key == "task" ? "; use a file that" : "; train again, or use another"));
      }
    }
  };
  every_key("classifier",
            {"task", "data", "labels", "label_column", "test_fraction", "hidden", "dropout", "seed",
             "features", "classes", "mean", "deviation"},
            false, {"evaluate", "--model", "forged.safetensors"});
  const std::vector<std::string> generate = {"generate", "--model", "forged.safetensors", "--prompt", "1+2="};
  every_key("model", {"task", "data", "bytes", "model", "seed"}, false, generate);
  every_key("model",
            {"vocabulary", "context", "layers", "heads", "width", "dropout", "bias", "tie_head", "rotary",
             "swiglu"},
            true, generate);
}

TEST_F(Refusals, WhatACheckpointNotesIsChecked) {
  std::vector<std::string> train = {"train", "classifier", "--data", "iris", "--epochs", "2", "--out", "run"};
  ASSERT_EQ(reel(train).code, 0);
  train.push_back("--resume");
  const std::string path = place / "run/checkpoint.safetensors";
  const nn::Safetensors file = nn::Safetensors::read(path);
  // With a checksum that is right again.
  const auto forge_note = [&](const std::string& key, const std::string& value) {
    nn::SafetensorsWriter writer;
    for (const nn::SafetensorsEntry& e : file.entries()) writer.add(e.name, e.dtype, e.shape, e.bytes);
    for (const auto& [name, text] : file.metadata()) writer.metadata(name, name == key ? value : text);
    const std::string old = file.metadata().at("checksum");
    std::string bytes = writer.bytes();
    const std::size_t at = bytes.find(old);
    bytes.replace(at, old.size(), std::string(old.size(), '0'));
    const std::string right = nn::sha256_hex(bytes);
    write(path, bytes.replace(at, right.size(), right));
  };
  for (const char* key : {"log_bytes", "average_sum", "average_weight", "best"}) {
    for (const char* value : {"", "x", "{}", "[1]", "true"}) {
      forge_note(std::string("note.") + key, value);
      const Ran ran = reel(train);
      EXPECT_EQ(ran.code, 4) << key << ": " << value << "\n" << ran.err;
      EXPECT_THAT(ran.err, HasSubstr("run/checkpoint.safetensors: its configuration is damaged: \"" +
                                     std::string(key) + "\" is "));
    }
  }
  for (const char* key : {"hidden", "seed", "data", "classes"}) {
    Json config = Json::parse(file.metadata().at("note.config"));
    config[key] = nullptr;
    forge_note("note.config", config.dump());
    const Ran ran = reel(train);
    EXPECT_EQ(ran.code, 4) << key << "\n" << ran.err;
    EXPECT_THAT(ran.err, HasSubstr(std::string(key) + "\" is of type null, which no run writes there"));
  }
  forge_note("note.best", file.metadata().at("note.best"));
  EXPECT_EQ(reel(train).code, 0);
}

}  // namespace
}  // namespace reel::examples
