// Lesson 10: a run that is killed goes on where it was, and ends with the same bits.

#include <array>
#include <cstdio>
#include <filesystem>
#include <string>

#include "autograd/autograd.h"
#include "data/batches.h"
#include "data/synthetic.h"
#include "kernels/parallel.h"
#include "nn/checkpoint.h"
#include "nn/directory_lock.h"
#include "nn/mlp.h"
#include "nn/optimizer.h"
#include "nn/weights.h"

using namespace reel;

// One process: it makes steps up to `end`, as far as it gets. Returns the fingerprint of what it has then.
std::string train(const std::filesystem::path& folder, std::int64_t end) {
  const data::Dataset moons = data::moons({.count = 200, .noise = 0.1});
  data::Batches batches(moons, 50, 1);
  nn::Mlp model(nn::Seed{1}, std::array<std::int64_t, 3>{2, 16, 2}, {.dropout = 0.1});
  nn::AdamW adam(model, {.learning_rate = 1e-2});

  const nn::DirectoryLock lock(folder);                         // one process at a time
  nn::Checkpoint checkpoint(folder, model.parameters(), adam);  // weights and the optimizer's state
  const std::int64_t first = checkpoint.load();                 // 0 if nothing was saved yet
  Tape tape;
  for (std::int64_t i = first; i < end; ++i) {
    model.set_step(static_cast<std::uint64_t>(i));   // dropout follows from the step,
    const data::Batch& batch = batches.shuffled(i);  // and so does the batch
    const auto step = tape.record();
    tape.backward(cross_entropy(model(tape.constant(batch.inputs, {batch.count, 2})), batch.labels));
    adam.step();
    if ((i + 1) % 10 == 0) checkpoint.save(i + 1);
  }
  std::printf("steps %2ld to %ld\n", static_cast<long>(first), static_cast<long>(end));
  return nn::fingerprint(model.parameters(), &adam);
}

int main() {
  const auto folder = std::filesystem::temp_directory_path() / "reel_lesson_10";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder / "whole");
  std::filesystem::create_directories(folder / "cut");

  const std::string whole = train(folder / "whole", 60);
  train(folder / "cut", 25);  // five steps were not saved
  kernels::set_threads(3);    // another machine, perhaps
  const std::string cut = train(folder / "cut", 60);
  std::printf("\nsame parameters and optimizer state, bit for bit: %s\n", whole == cut ? "yes" : "no");
  std::filesystem::remove_all(folder);
}
