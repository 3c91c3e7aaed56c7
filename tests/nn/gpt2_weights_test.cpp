#include "nn/gpt2_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <sstream>
#include <string>

#include "autograd/autograd.h"
#include "nn/error.h"
#include "nn/weights.h"

namespace reel::nn {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

struct Array {
  std::vector<std::int64_t> shape;
  std::vector<float> values;
};
using Arrays = std::map<std::string, Array>;

Safetensors file_of(const Arrays& arrays) {
  SafetensorsWriter writer;
  for (const auto& [name, a] : arrays) writer.add<float>(name, a.shape, std::span<const float>(a.values));
  const std::string text = writer.bytes();
  std::vector<std::byte> bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return Safetensors::parse(std::move(bytes), "hf.safetensors");
}

// The golden model, as Hugging Face would have stored it.
Arrays hugging_face(const std::string& prefix) {
  const auto golden = Safetensors::read(REEL_SOURCE_DIR "/tests/golden/gpt2.safetensors");
  Arrays result;
  for (const auto& entry : golden.entries()) {
    if (!entry.name.starts_with("transformer.")) continue;
    Array a{entry.shape, golden.to_floats(entry)};
    if (a.shape.size() == 2 && entry.name.find(".c_") != std::string::npos) {
      const Array from = a;
      const auto out = static_cast<std::size_t>(a.shape[0]), in = static_cast<std::size_t>(a.shape[1]);
      for (std::size_t k = 0; k < a.values.size(); ++k) a.values[k] = from.values[k % out * in + k / out];
      std::swap(a.shape[0], a.shape[1]);
    }
    result[prefix + entry.name.substr(12)] = a;
  }
  for (const char* layer : {"h.0", "h.1"}) {
    result[prefix + layer + ".attn.bias"] = {{1, 1, 8, 8}, std::vector<float>(64, 1)};
    result[prefix + layer + ".attn.masked_bias"] = {{}, {-1e4F}};
  }
  return result;
}

constexpr GptConfig tiny{.vocabulary = 11, .context = 8, .layers = 2, .heads = 2, .width = 16};

void expect_golden_logits(Gpt& model) {
  const auto golden = Safetensors::read(REEL_SOURCE_DIR "/tests/golden/gpt2.safetensors");
  Tape tape(Precision::f64);
  const auto step = tape.inference();
  const auto tokens = golden.values<std::int32_t>(golden.at("tokens"));
  const auto got = model(tape, tokens, 3, 8).values();
  const auto want = golden.values<double>(golden.at("logits"));
  for (std::size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 1e-10) << i;
}

TEST(Gpt2Weights, ComeFromHuggingFacesFileWithAndWithoutThePrefix) {
  for (const char* prefix : {"", "transformer."}) {
    Gpt model(Seed{1}, tiny);
    const std::uint64_t version = model.parameters().version();
    load_gpt2_weights(file_of(hugging_face(prefix)), model);
    EXPECT_GT(model.parameters().version(), version);
    expect_golden_logits(model);
  }
}

TEST(Gpt2Weights, GiveTheLogitsOfPyTorchsOwnLayers) {
  const auto file = Safetensors::read(REEL_SOURCE_DIR "/tests/golden/hf_gpt2.safetensors");
  Gpt model(Seed{1}, gpt2_config(file, 3));
  load_gpt2_weights(file, model);
  std::istringstream numbers(file.metadata().at("tokens")), golden(file.metadata().at("logits"));
  std::vector<std::int32_t> tokens;
  for (std::int32_t token = 0; numbers >> token;) tokens.push_back(token);
  std::vector<double> want;
  for (double logit = 0; golden >> logit;) want.push_back(logit);
  ASSERT_EQ(tokens.size(), 6U);
  ASSERT_EQ(want.size(), 60U);
  for (const Precision precision : {Precision::f64, Precision::f32}) {
    Tape tape(precision);
    const auto step = tape.inference();
    const auto got = model(tape, tokens, 1, 6).values();
    const double tolerance = precision == Precision::f64 ? 1e-11 : 1e-5;
    for (std::size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], tolerance) << i;
  }
}

TEST(Gpt2Weights, SizesFollowFromTheFile) {
  const GptConfig config = gpt2_config(file_of(hugging_face("")), 2);
  EXPECT_EQ(config.vocabulary, 11);
  EXPECT_EQ(config.context, 8);
  EXPECT_EQ(config.layers, 2);
  EXPECT_EQ(config.heads, 2);
  EXPECT_EQ(config.width, 16);
  EXPECT_TRUE(config.tie_head);
  EXPECT_THAT([] { gpt2_config(file_of(hugging_face(""))); },
              ThrowsMessage<ValueError>(HasSubstr("do not fill the width 16")));
  const Arrays large = {{"wte.weight", {{5, 192}, std::vector<float>(960)}},
                        {"wpe.weight", {{3, 192}, std::vector<float>(576)}},
                        {"h.0.ln_1.weight", {{192}, std::vector<float>(192)}}};
  EXPECT_EQ(gpt2_config(file_of(large)).heads, 3);
  for (const char* name : {"wte.weight", "wpe.weight", "h.0.ln_1.weight"}) {
    Arrays arrays = hugging_face("");
    arrays.erase(name);
    EXPECT_THAT([&] { gpt2_config(file_of(arrays), 2); },
                ThrowsMessage<FileError>(HasSubstr("hf.safetensors: it holds no GPT-2")))
        << name;
  }
}

TEST(Gpt2Weights, ATiedHeadMayBeStoredOnceMore) {
  Arrays arrays = hugging_face("transformer.");
  arrays["lm_head.weight"] = arrays["transformer.wte.weight"];
  EXPECT_TRUE(gpt2_config(file_of(arrays), 2).tie_head);
  Gpt model(Seed{1}, tiny);
  load_gpt2_weights(file_of(arrays), model);
  expect_golden_logits(model);

  arrays["lm_head.weight"].values[5] += 1;
  EXPECT_FALSE(gpt2_config(file_of(arrays), 2).tie_head);
  EXPECT_THAT([&] { load_gpt2_weights(file_of(arrays), model); },
              ThrowsMessage<FileError>(HasSubstr("lm_head.weight is not the embedding")));
}

TEST(Gpt2Weights, AHeadOfItsOwnIsTheFilesOrTheEmbedding) {
  GptConfig untied = tiny;
  untied.tie_head = false;
  Gpt model(Seed{1}, untied);
  Arrays arrays = hugging_face("");
  load_gpt2_weights(file_of(arrays), model);
  expect_golden_logits(model);

  arrays["lm_head.weight"] = arrays["wte.weight"];
  for (float& v : arrays["lm_head.weight"].values) v = -v;
  load_gpt2_weights(file_of(arrays), model);
  EXPECT_EQ(model.parameters().values(0)[0], arrays["wte.weight"].values[0]);
  EXPECT_EQ(model.parameters().values(model.parameters().count() - 1)[0], -arrays["wte.weight"].values[0]);
}

TEST(Gpt2Weights, WhatDoesNotFitIsListedAndNothingChanges) {
  Gpt model(Seed{1}, tiny);
  const std::string before = fingerprint(model.parameters());
  const auto refused = [&](const std::function<void(Arrays&)>& change, const auto& message) {
    Arrays arrays = hugging_face("");
    change(arrays);
    EXPECT_THAT([&] { load_gpt2_weights(file_of(arrays), model); }, ThrowsMessage<FileError>(message));
    EXPECT_EQ(fingerprint(model.parameters()), before);
  };
  refused(
      [](Arrays& a) {
        a.erase("ln_f.bias");
        a["h.2.ln_1.weight"] = a["h.1.ln_1.weight"];
      },
      AllOf(HasSubstr("ln_f.bias: missing"), HasSubstr("h.2.ln_1.weight"),
            HasSubstr("is not a parameter of the model")));
  refused([](Arrays& a) { std::swap(a["h.1.mlp.c_fc.weight"].shape[0], a["h.1.mlp.c_fc.weight"].shape[1]); },
          HasSubstr("h.1.mlp.c_fc.weight: has shape [64, 16], the model's is [16, 64]"));
  refused(
      [](Arrays& a) {
        a["lm_head.weight"] = {{1, 16}, std::vector<float>(16)};
      },
      HasSubstr("is not the embedding"));
}

TEST(Gpt2Weights, OnlyTheEmbeddingIsMissedIfOnlyTheEmbeddingIsMissing) {
  Gpt model(Seed{1}, tiny);
  Arrays arrays = hugging_face("transformer.");
  arrays.erase("transformer.wte.weight");
  EXPECT_THAT([&] { load_gpt2_weights(file_of(arrays), model); },
              ThrowsMessage<FileError>(testing::EndsWith("model:\n    transformer.wte.weight: missing")));
}

TEST(Gpt2Weights, AFileThatLiesAsReelHasItIsSentToLoadWeights) {
  Gpt model(Seed{1}, tiny);
  const auto golden = Safetensors::read(REEL_SOURCE_DIR "/tests/golden/gpt2.safetensors");
  EXPECT_THAT([&] { load_gpt2_weights(golden, model); },
              ThrowsMessage<FileError>(AllOf(HasSubstr("lies as [out, in]"), HasSubstr("load_weights"))));
}

}  // namespace
}  // namespace reel::nn
