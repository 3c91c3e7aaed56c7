// The speed of kernels::attention, forward and back, on packed projections of float.
//
// A line per problem: the fastest tenth of the rounds, and the rate in terms of the products that are needed,
// 4 forward and 10 back for every visible pair of query and key and every channel. attention_torch.py
// measures the same in PyTorch.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "kernels/attention.h"
#include "kernels/parallel.h"
#include "kernels/philox.h"

namespace {

using namespace reel::kernels;
using Clock = std::chrono::steady_clock;

struct Problem {
  std::int64_t batch, heads, time, channels;
  bool causal;
};

double seconds_between(Clock::time_point a, Clock::time_point b) {
  return std::chrono::duration<double>(b - a).count();
}

double fast(std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  return seconds[seconds.size() / 10];
}

std::vector<float> numbers(std::int64_t n, std::uint64_t stream) {
  std::vector<float> x(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(Philox(1, stream).uniform(i) * 2 - 1);
  return x;
}

void measure(const Problem& problem, double seconds) {
  // No structured binding: clang 14 lets no lambda capture one.
  const std::int64_t batch = problem.batch, heads = problem.heads, time = problem.time;
  const std::int64_t channels = problem.channels;
  const bool causal = problem.causal;
  const std::int64_t width = heads * channels;
  const std::vector<float> qkv = numbers(batch * time * 3 * width, 1);
  const std::vector<float> dy = numbers(batch * time * width, 2);
  std::vector<float> dqkv(qkv.size()), y(dy.size());
  Attention<float> p;
  p.batch = batch, p.heads = heads, p.queries = p.keys = time, p.channels = p.value_channels = channels;
  p.scale = 0.2F;
  p.causal = causal;
  std::vector<float> kept(static_cast<std::size_t>(attention_kept(p)));
  const auto part = [&](std::int64_t i) {
    return Heads<const float>{qkv.data() + i * width, time * 3 * width, channels, 3 * width};
  };
  const auto into = [&](std::int64_t i) {
    return HeadsInto<float>{{dqkv.data() + i * width, false}, time * 3 * width, channels, 3 * width};
  };
  p.q = part(0), p.k = part(1), p.v = part(2);
  const auto rows = [&](const float* x) { return Heads<const float>{x, time * width, channels, width}; };

  std::vector<double> forward, backward;
  for (const auto start = Clock::now();
       seconds_between(start, Clock::now()) < seconds || forward.size() < 3;) {
    const auto begin = Clock::now();
    attention(p, {y.data(), time * width, channels, width}, kept.data());
    const auto middle = Clock::now();
    attention_grad(p, rows(y.data()), kept.data(), rows(dy.data()), into(0), into(1), into(2));
    forward.push_back(seconds_between(begin, middle));
    backward.push_back(seconds_between(middle, Clock::now()));
  }
  const auto t = static_cast<double>(time);
  const double pairs = static_cast<double>(batch * heads * channels) * (causal ? t * (t + 1) / 2 : t * t);
  const double f = fast(forward);
  const double b = fast(backward);
  std::printf(
      "%4ld x %2ld heads x %5ld x %3ld %-8s forward %9.1f us %6.1f GFLOP/s   backward %9.1f us %6.1f GFLOP/s "
      "  together %9.1f us %6.1f GFLOP/s\n",
      batch, heads, time, channels, causal ? "causal" : "", f * 1e6, 4 * pairs / f * 1e-9, b * 1e6,
      10 * pairs / b * 1e-9, (f + b) * 1e6, 14 * pairs / (f + b) * 1e-9);
}

}  // namespace

int main(int argc, char** argv) {
  int number_of_threads = threads();
  double seconds = 1;
  CLI::App app{"The speed of kernels::attention, forward and back"};
  app.add_option("--threads", number_of_threads, "Threads (default: one per processor)")
      ->check(CLI::Range(1, 1024));
  app.add_option("--seconds", seconds, "How long each problem is measured")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  set_threads(number_of_threads);
  for (const Problem& p :
       {Problem{12, 4, 64, 32, true}, Problem{12, 4, 64, 32, false}, Problem{1, 12, 1024, 64, true},
        Problem{1, 12, 1024, 64, false}, Problem{64, 4, 16, 16, true}, Problem{1, 1, 2048, 64, true}}) {
    measure(p, seconds);
  }
}
