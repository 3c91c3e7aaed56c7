// Lesson 14: two optimizers on one model, each with its part: a generator and its critic.

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <numbers>
#include <string>
#include <vector>

#include "autograd/autograd.h"
#include "kernels/philox.h"
#include "nn/checkpoint.h"
#include "nn/mlp.h"
#include "nn/optimizer.h"
#include "nn/weights.h"

using namespace reel;

constexpr std::int64_t batch = 128;

// A generator makes points out of noise; a critic tells them from real ones, and its slope is all that the
// generator learns from (Goodfellow et al. 2014).
struct Gan final : nn::Module {
  using nn::Module::Module;
  nn::Mlp generator{this, "generator", {2, 64, 64, 2}};
  nn::Mlp critic{this, "critic", {2, 64, 64, 1}};
};

Array noise(std::int64_t count, std::uint64_t number) {
  const kernels::Philox random(7, number);
  Array z{{count, 2}, {}};
  for (std::uint64_t i = 0; i < 2 * static_cast<std::uint64_t>(count); ++i)
    z.values.push_back(random.normal(i));
  return z;
}

// Points on a ring: they lie 1 from the middle, with a deviation of 0.05.
Array ring(std::int64_t count, std::uint64_t number) {
  const kernels::Philox random(8, number);
  Array points{{count, 2}, {}};
  for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(count); ++i) {
    // normal() takes two of four words, which uniform() must not share.
    const double angle = 2 * std::numbers::pi * random.uniform(4 * i);
    const double radius = 1 + 0.05 * random.normal(4 * i + 2);
    points.values.push_back(radius * std::cos(angle));
    points.values.push_back(radius * std::sin(angle));
  }
  return points;
}

// How far from the middle the generator's points lie, and how many of a hundred in each quadrant.
void print(std::int64_t step, const Gan& gan, Tape& tape) {
  constexpr int count = 4000;
  const auto inference = tape.inference();
  const Array z = noise(count, 1'000'000);
  const std::vector<double> points = gan.generator(tape.constant(z.values, z.shape)).values();
  double sum = 0, squares = 0, quadrants[4] = {};
  for (std::size_t i = 0; i < points.size(); i += 2) {
    const double x = points[i], y = points[i + 1], radius = std::hypot(x, y);
    sum += radius;
    squares += radius * radius;
    quadrants[(x < 0 ? 1 : 0) + (y < 0 ? 2 : 0)] += 100.0 / count;
  }
  const double mean = sum / count;
  std::printf("step %4ld  radius %.2f +- %.2f   quadrants %2.0f %2.0f %2.0f %2.0f %%\n",
              static_cast<long>(step), mean, std::sqrt(squares / count - mean * mean), quadrants[0],
              quadrants[1], quadrants[2], quadrants[3]);
}

// One process: it makes steps up to `end`. Returns the fingerprint of all that it has then.
std::string train(const std::filesystem::path& folder, std::int64_t end, bool talks) {
  Gan gan(nn::Seed{1});
  nn::Adam generator(gan.generator, {.learning_rate = 1e-3, .beta1 = 0.5});  // moves that part alone
  nn::Adam critic(gan.critic, {.learning_rate = 2e-3, .beta1 = 0.5});
  nn::Checkpoint checkpoint(folder, gan.parameters(), {generator, critic});
  Tape tape;
  const auto tensor = [&](const Array& a) { return tape.constant(a.values, a.shape); };
  for (std::int64_t i = checkpoint.load(); i < end; ++i) {
    const std::uint64_t number = static_cast<std::uint64_t>(i);
    {
      const auto step = tape.record();
      const Tensor fake = stop_gradient(gan.generator(tensor(noise(batch, 2 * number))));
      const Tensor real = tensor(ring(batch, number));
      tape.backward(mean(softplus(-gan.critic(real))) + mean(softplus(gan.critic(fake))));
      critic.step();
    }
    // Backward goes through the critic, and would leave gradients there for the critic's next step.
    gan.critic.requires_grad(false);
    {
      const auto step = tape.record();
      tape.backward(mean(softplus(-gan.critic(gan.generator(tensor(noise(batch, 2 * number + 1)))))));
      generator.step();
    }
    gan.critic.requires_grad(true);
    if ((i + 1) % 500 == 0) checkpoint.save(i + 1);
    if (talks && ((i + 1) % 1000 == 0 || i == 0)) print(i + 1, gan, tape);
  }
  return nn::fingerprint(gan.parameters(), {generator, critic});
}

int main() {
  const auto folder = std::filesystem::temp_directory_path() / "reel_lesson_14";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder / "whole");
  std::filesystem::create_directories(folder / "cut");

  const std::string whole = train(folder / "whole", 5000, true);
  train(folder / "cut", 2200, false);  // 200 steps were not saved
  const std::string cut = train(folder / "cut", 5000, false);
  std::printf("\nboth parts and both optimizers the same, bit for bit: %s\n", whole == cut ? "yes" : "no");
  std::filesystem::remove_all(folder);
}
