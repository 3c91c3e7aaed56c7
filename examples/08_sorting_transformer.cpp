// Lesson 8: a tiny Transformer learns to sort.

#include <algorithm>
#include <cstdio>
#include <vector>

#include "autograd/autograd.h"
#include "kernels/philox.h"
#include "nn/gpt.h"
#include "nn/optimizer.h"
#include "nn/schedule.h"

using namespace reel;

constexpr int length = 6, digits = 8, separator = digits, time_steps = 2 * length;

// "3 1 4 1 5 0 | 0 1 1 3 4 5": the model sees the unsorted half and the separator, and writes the sorted
// half.
struct Example {
  std::vector<std::int32_t> tokens, targets;
};
Example example(std::uint64_t number) {
  const kernels::Philox numbers(1, 2);
  std::vector<std::int32_t> all;
  for (std::uint64_t i = 0; i < length; ++i)
    all.push_back(static_cast<std::int32_t>(numbers.below(number * length + i, digits)));
  std::vector<std::int32_t> sorted = all;
  std::sort(sorted.begin(), sorted.end());
  all.push_back(separator);
  all.insert(all.end(), sorted.begin(), sorted.end());
  Example e{{all.begin(), all.end() - 1}, {all.begin() + 1, all.end()}};
  std::fill_n(e.targets.begin(), length, -100);  // only the sorted half is learned
  return e;
}

int main() {
  nn::Gpt gpt(nn::Seed{1},
              {.vocabulary = digits + 1, .context = time_steps, .layers = 2, .heads = 2, .width = 32});
  nn::AdamW adam(gpt, {.learning_rate = 3e-3, .clip_norm = 1});
  const auto rate = nn::Schedule::cosine({.learning_rate = 3e-3, .steps = 400, .warmup_steps = 20});
  Tape tape;
  for (int i = 0; i < 400; ++i) {
    std::vector<std::int32_t> tokens, targets;
    for (int b = 0; b < 32; ++b) {
      const Example e = example(static_cast<std::uint64_t>(i * 32 + b));
      tokens.insert(tokens.end(), e.tokens.begin(), e.tokens.end());
      targets.insert(targets.end(), e.targets.begin(), e.targets.end());
    }
    const auto step = tape.record();
    const Tensor loss = cross_entropy(gpt(tape, tokens, 32, time_steps), targets);
    tape.backward(loss);
    adam.set_learning_rate(rate(i));
    adam.step();
    if (i % 100 == 0) std::printf("step %3d  loss %.1f\n", i, loss.item());
  }

  gpt.eval();
  for (std::uint64_t n = 1'000'000; n < 1'000'004; ++n) {  // examples that it never saw
    const Example e = example(n);
    nn::KeyValueCache cache(gpt.config());
    for (int t = 0; t < time_steps; ++t) {
      const auto step = tape.inference();
      const Tensor logits = gpt.next(tape, e.tokens[static_cast<std::size_t>(t)], cache);
      if (t < length) std::printf("%d ", e.tokens[static_cast<std::size_t>(t)]);
      if (t == length) std::printf("-> ");
      if (t >= length) std::printf("%d ", argmax(logits)[0]);
    }
    std::printf("\n");
  }
}
