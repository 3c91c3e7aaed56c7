#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "autograd/autograd.h"
#include "nn/gpt.h"
#include "nn/optimizer.h"
#include "nn/weights.h"

// Two tiny Transformers that tests/golden/gpt.py made with PyTorch, in double precision.

namespace reel::nn {
namespace {

class GoldenGpt : public testing::TestWithParam<const char*> {
 protected:
  GoldenGpt()
      : file(Safetensors::read(std::string(REEL_SOURCE_DIR "/tests/golden/") + GetParam() + ".safetensors")),
        model(Seed{1}, config()),
        tokens(file.values<std::int32_t>(file.at("tokens"))),
        labels(file.values<std::int32_t>(file.at("labels"))),
        batch(file.at("tokens").shape[0]),
        time(file.at("tokens").shape[1]) {
    load_weights(file, model.parameters(), {.ignore = [](std::string_view name) {
                   return !name.starts_with("transformer.") && !name.starts_with("lm_head.");
                 }});
  }

  GptConfig config() const {
    const auto number = [&](const char* key) { return std::stol(file.metadata().at(key)); };
    return {.vocabulary = number("vocabulary"),
            .context = number("context"),
            .layers = number("layers"),
            .heads = number("heads"),
            .width = number("width"),
            .bias = number("bias") == 1,
            .tie_head = number("tie_head") == 1,
            .rotary = number("rotary") == 1,
            .swiglu = number("swiglu") == 1};
  }

  std::vector<double> golden(const std::string& name) const { return file.values<double>(file.at(name)); }
  Tensor logits(Tape& tape) const { return model(tape, tokens, batch, time); }

  // The largest difference, as a part of the largest number.
  static void expect_close(const std::vector<double>& got, const std::vector<double>& want, double tolerance,
                           const std::string& what) {
    ASSERT_EQ(got.size(), want.size()) << what;
    double largest = 0;
    double difference = 0;
    for (std::size_t i = 0; i < got.size(); ++i) {
      ASSERT_TRUE(std::isfinite(got[i])) << what;
      largest = std::max(largest, std::fabs(want[i]));
      difference = std::max(difference, std::fabs(got[i] - want[i]));
    }
    EXPECT_LE(difference, tolerance * largest) << what;
  }

  void expect_parity(Precision precision, double value_tolerance, double gradient_tolerance) {
    Tape tape(precision);
    const auto step = tape.record();
    const Tensor z = logits(tape);
    const Tensor loss = cross_entropy(z, labels);
    expect_close(z.values(), golden("logits"), gradient_tolerance, "logits");
    expect_close({loss.item()}, golden("loss"), value_tolerance, "loss");
    tape.backward(loss);
    for (std::size_t i = 0; i < model.parameters().count(); ++i) {
      const Parameter p(model.parameters(), i);
      expect_close(tape.leaf(p).gradient(), golden("gradient." + p.name()), gradient_tolerance, p.name());
    }
  }

  Safetensors file;
  Gpt model;
  std::vector<std::int32_t> tokens, labels;  // [batch, time]
  std::int64_t batch, time;
};

TEST_P(GoldenGpt, HasPyTorchsLogitsLossAndGradientsInDoublePrecision) {
  expect_parity(Precision::f64, 1e-11, 1e-10);
}

TEST_P(GoldenGpt, HasThemInSinglePrecision) { expect_parity(Precision::f32, 1e-6, 1e-5); }

TEST_P(GoldenGpt, LosesAsPyTorchDoesInTenSteps) {
  AdamW adam(model, {.learning_rate = 1e-3,
                     .beta1 = 0.9,
                     .beta2 = 0.99,
                     .epsilon = 1e-8,
                     .weight_decay = 0.1,
                     .clip_norm = 1});
  Tape tape;
  std::vector<double> losses;
  for (int i = 0; i < 10; ++i) {
    const auto step = tape.record();
    const Tensor loss = cross_entropy(logits(tape), labels);
    tape.backward(loss);
    losses.push_back(loss.item());
    adam.step();
  }
  expect_close(losses, golden("losses"), 1e-5, "losses");
}

TEST_P(GoldenGpt, HasTheParametersOfTheFileAndNoOthers) {
  std::size_t wanted = 0;
  for (const auto& entry : file.entries()) {
    wanted += entry.name.starts_with("transformer.") || entry.name.starts_with("lm_head.") ? 1 : 0;
  }
  EXPECT_EQ(model.parameters().count(), wanted);
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenGpt, testing::Values("gpt2", "llama"),
                         [](const auto& model) { return std::string(model.param); });

}  // namespace
}  // namespace reel::nn
