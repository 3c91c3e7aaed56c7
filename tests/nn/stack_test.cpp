#include <gtest/gtest.h>
#include <pthread.h>

#include "autograd/autograd.h"
#include "nn/nn.h"
#include "tests/support/sanitizer.h"

// A thread that trains needs 256 KiB of stack, as README.md says: a matrix product packs up to 192 KiB of
// its factors there.

namespace reel::nn {
namespace {

constexpr std::size_t stack = REEL_HAS_SANITIZER ? 1 << 20 : 256 << 10;  // sanitizers put more there

void on_a_small_stack(void* (*body)(void*)) {
  pthread_attr_t attributes;
  ASSERT_EQ(pthread_attr_init(&attributes), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, stack), 0);
  pthread_t thread;
  ASSERT_EQ(pthread_create(&thread, &attributes, body, nullptr), 0);
  ASSERT_EQ(pthread_join(thread, nullptr), 0);
  pthread_attr_destroy(&attributes);
}

TEST(SmallStack, AnMlpTrainsOnASmallStack) {
  on_a_small_stack([](void*) -> void* {
    Mlp model(Seed{1}, {200, 300, 100, 10}, {.dropout = 0.1});
    AdamW adam(model, {.clip_norm = 1});
    const std::vector<float> x(std::size_t{128} * 200, 0.5F);
    const std::vector<std::int32_t> labels(128, 3);
    Tape tape;
    for (int i = 0; i < 2; ++i) {
      const auto step = tape.record();
      tape.backward(cross_entropy(model(tape.constant(x, {128, 200})), labels));
      adam.step();
    }
    return nullptr;
  });
}

TEST(SmallStack, AGptTrainsAndWritesOnASmallStack) {
  on_a_small_stack([](void*) -> void* {
    for (const bool modern : {false, true}) {
      Gpt model(Seed{1}, {.vocabulary = 65,
                          .context = 80,
                          .layers = 2,
                          .heads = 2,
                          .width = 64,
                          .dropout = 0.1,
                          .rotary = modern,
                          .swiglu = modern});
      AdamW adam(model, {.clip_norm = 1});
      const std::vector<std::int32_t> tokens(320, 3);
      for (const Products products : {Products::full, Products::bf16, Products::bf16x6}) {
        Tape tape(Precision::f32, products);
        for (int i = 0; i < 2; ++i) {
          const auto step = tape.record();
          tape.backward(cross_entropy(model(tape, tokens, 4, 80), tokens));
          adam.step();
        }
        const auto step = tape.inference();
        KeyValueCache cache(model.config());
        Sampler sampler({});
        sampler(model.next(tape, 1, cache).data(), 0);
      }
    }
    return nullptr;
  });
}

TEST(SmallStack, GradcheckOfAGptRunsOnASmallStack) {
  on_a_small_stack([](void*) -> void* {
    const Gpt model(Seed{1}, {.vocabulary = 5, .context = 80, .layers = 1, .heads = 1, .width = 4});
    const std::vector<std::int32_t> tokens(160, 3);
    const auto loss = [&](Tape& tape) { return cross_entropy(model(tape, tokens, 2, 80), tokens); };
    const auto report = gradcheck(model.parameters(), loss, {.differences = false, .most_columns = 0});
    EXPECT_TRUE(report) << report.message;
    return nullptr;
  });
}

}  // namespace
}  // namespace reel::nn
