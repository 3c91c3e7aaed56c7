// Lesson 9: a model of text, character by character, with checkpoints.

#include <cstdio>
#include <filesystem>
#include <string>

#include "autograd/autograd.h"
#include "data/text.h"
#include "nn/checkpoint.h"
#include "nn/gpt.h"
#include "nn/optimizer.h"
#include "nn/sampler.h"

using namespace reel;

int main() {
  std::string rhyme;
  for (int i = 0; i < 40; ++i) rhyme += "one for sorrow, two for joy,\nthree for a girl, four for a boy,\n";
  const data::Text text(rhyme, "a rhyme", 32);

  nn::Gpt gpt(nn::Seed{1},
              {.vocabulary = text.vocabulary().size(), .context = 32, .layers = 2, .heads = 2, .width = 32});
  nn::AdamW adam(gpt, {.learning_rate = 3e-3, .clip_norm = 1});

  const auto folder = std::filesystem::temp_directory_path() / "reel_lesson_9";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  nn::Checkpoint checkpoint(folder, gpt.parameters(), adam);

  Tape tape;
  data::TokenBatch batch;
  for (std::int64_t i = checkpoint.load(); i < 300; ++i) {
    text.random_batch(1, i, 8, batch);
    const auto step = tape.record();
    const Tensor loss = cross_entropy(gpt(tape, batch.tokens, batch.batch, batch.time), batch.targets);
    tape.backward(loss);
    adam.step();
    if (i % 100 == 0) std::printf("step %3ld  loss %.1f\n", static_cast<long>(i), loss.item());
    if ((i + 1) % 100 == 0) checkpoint.save(i + 1);  // a killed run goes on from here, bit for bit
  }

  gpt.eval();
  nn::Sampler sampler({.temperature = 0});
  nn::KeyValueCache cache(gpt.config());
  std::string written = "three";
  for (std::size_t t = 0; t < 32; ++t) {
    const auto step = tape.inference();
    const auto token = text.vocabulary().encode(written.substr(t, 1), "prompt")[0];
    const auto next = sampler(gpt.next(tape, token, cache).data(), t);
    if (t + 1 == written.size()) written += text.vocabulary().decode(next);
  }
  std::printf("\n%s\n", written.c_str());
  std::filesystem::remove_all(folder);
}
