#include "examples/bench_cases.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "autograd/ops.h"
#include "autograd/tape.h"
#include "kernels/philox.h"
#include "nn/gpt.h"
#include "nn/mlp.h"
#include "nn/optimizer.h"

namespace reel::examples {
namespace {

// Beyond this size a last-level cache no longer holds parameters, gradients and moments.
constexpr double cached_bytes = 32e6;
// AdamW reads weight, gradient and two moments, and writes weight and moments.
constexpr double adam_bytes = 7 * 4;

double memory_of(double parameters) { return parameters * 16 > cached_bytes ? parameters * adam_bytes : 0; }

std::vector<std::int32_t> random_tokens(std::int64_t count, std::int64_t below) {
  const kernels::Philox numbers(1, 1);
  std::vector<std::int32_t> tokens;
  for (std::int64_t i = 0; i < count; ++i) {
    tokens.push_back(static_cast<std::int32_t>(
        numbers.below(static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(below))));
  }
  return tokens;
}

BenchCase mlp_case(const std::vector<std::int64_t>& sizes, std::int64_t batch) {
  BenchCase c;
  c.name = "mlp";
  for (const std::int64_t n : sizes) c.name += "-" + std::to_string(n);
  c.name += "-b" + std::to_string(batch);
  c.unit = "samples";
  c.units = static_cast<double>(batch);
  double parameters = 0;
  for (std::size_t i = 0; i + 1 < sizes.size(); ++i) {
    const auto weights = static_cast<double>(sizes[i] * sizes[i + 1]);
    // Forward, the gradient of the weight, and that of the input, which the first layer does without.
    c.operations += 2 * static_cast<double>(batch) * weights * (i == 0 ? 2 : 3);
    parameters += weights + static_cast<double>(sizes[i + 1]);
  }
  c.bytes = memory_of(parameters);
  c.make = [sizes, batch](Products products) {
    struct Training {
      Training(const std::vector<std::int64_t>& layers, Products products)
          : model(nn::Seed{1}, layers), adam(model), tape(Precision::f32, products) {}
      nn::Mlp model;
      nn::AdamW adam;
      Tape tape;
      std::vector<float> inputs;
      std::vector<std::int32_t> labels;
    };
    auto t = std::make_shared<Training>(sizes, products);
    for (std::int64_t i = 0; i < batch * sizes.front(); ++i)
      t->inputs.push_back(std::sin(static_cast<float>(i)));
    t->labels = random_tokens(batch, sizes.back());
    return [t, batch, features = sizes.front()] {
      const auto step = t->tape.record();
      t->tape.backward(cross_entropy(t->model(t->tape.from_blob(t->inputs, {batch, features})), t->labels));
      t->adam.step();
    };
  };
  return c;
}

BenchCase gpt_case(const std::string& name, const nn::GptConfig& config, std::int64_t batch,
                   std::int64_t time, bool heavy) {
  BenchCase c;
  c.name = name;
  c.unit = "tokens";
  c.heavy = heavy;
  const auto tokens = static_cast<double>(batch * time);
  const auto width = static_cast<double>(config.width);
  const auto layers = static_cast<double>(config.layers);
  const auto vocabulary = static_cast<double>(config.vocabulary);
  c.units = tokens;
  // 12 width^2 weights a block and the head; two products of attention, of which the causal mask leaves half.
  const double forward =
      2 * (layers * 12 * width * width + vocabulary * width) + layers * 2 * static_cast<double>(time) * width;
  c.operations = 3 * tokens * forward;
  c.bytes =
      memory_of(layers * 12 * width * width + (vocabulary + static_cast<double>(config.context)) * width);
  c.make = [config, batch, time](Products products) {
    struct Training {
      Training(const nn::GptConfig& g, Products products)
          : model(nn::Seed{1}, g), adam(model, {.clip_norm = 1}), tape(Precision::f32, products) {}
      nn::Gpt model;
      nn::AdamW adam;
      Tape tape;
      std::vector<std::int32_t> tokens, targets;
    };
    auto t = std::make_shared<Training>(config, products);
    t->tokens = random_tokens(batch * time, config.vocabulary);
    t->targets = random_tokens(batch * time + 1, config.vocabulary);
    t->targets.erase(t->targets.begin());
    return [t, batch, time] {
      const auto step = t->tape.record();
      t->tape.backward(cross_entropy(t->model(t->tape, t->tokens, batch, time), t->targets));
      t->adam.step();
    };
  };
  return c;
}

BenchCase generate_case(const std::string& name, const nn::GptConfig& config) {
  BenchCase c;
  c.name = name;
  c.unit = "tokens";
  c.units = 1;
  const auto width = static_cast<double>(config.width);
  const auto layers = static_cast<double>(config.layers);
  c.operations = 2 * (layers * 12 * width * width + static_cast<double>(config.vocabulary) * width) +
                 layers * 4 * static_cast<double>(config.context) / 2 * width;
  c.make = [config](Products products) {
    struct Writing {
      Writing(const nn::GptConfig& g, Products products)
          : model(nn::Seed{1}, g), cache(g), tape(Precision::f32, products) {
        model.eval();
      }
      nn::Gpt model;
      nn::KeyValueCache cache;
      Tape tape;
      std::int32_t token = 1;
    };
    auto w = std::make_shared<Writing>(config, products);
    return [w, context = config.context] {
      if (w->cache.length == context) w->cache.length = 0;
      const auto step = w->tape.inference();
      const std::span<const float> logits = w->model.next(w->tape, w->token, w->cache).data();
      w->token = static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    };
  };
  return c;
}

}  // namespace

std::vector<BenchCase> bench_cases() {
  const nn::GptConfig small{.vocabulary = 65, .context = 64, .layers = 4, .heads = 4, .width = 128};
  const nn::GptConfig gpt2{.vocabulary = 50257, .context = 1024, .layers = 12, .heads = 12, .width = 768};
  return {mlp_case({2, 16, 16, 3}, 32),
          mlp_case({64, 64, 10}, 32),
          mlp_case({784, 128, 10}, 64),
          mlp_case({784, 512, 512, 10}, 128),
          mlp_case({784, 500, 10}, 500),
          gpt_case("gpt-4x128-b12-t64", small, 12, 64, false),
          gpt_case("gpt2-124m-b4-t64", gpt2, 4, 64, true),
          generate_case("generate-4x128", small)};
}

}  // namespace reel::examples
