// What a node of the tape costs: chains of ops on four numbers, forward and backward, beside the bare kernels
// that the same ops run. The difference is bookkeeping: handles, shapes, memory, the walk back.
//
//   node_benchmark [--benchmark_filter=TEXT] [--benchmark_repetitions=N]
//
// `per_op` is the time of one op, forward and backward together; opening and closing the step is shared by
// the ops of the chain.

#include <benchmark/benchmark.h>

#include <vector>

#include "autograd/autograd.h"
#include "kernels/map.h"
#include "kernels/parallel.h"

namespace {

using namespace reel;

constexpr int chain_length = 1000;
constexpr std::int64_t width = 4;
constexpr std::int64_t apart = 16;  // buffers of a tape begin on lines of their own
const std::vector<float> numbers(static_cast<std::size_t>(width), 0.5F);

void report(benchmark::State& state, int ops) {
  state.counters["per_op"] = benchmark::Counter(
      static_cast<double>(ops), benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

// A step that applies `op` again and again to its own result and plays it back.
template <class F>
void chain(benchmark::State& state, F op) {
  kernels::set_threads(1);
  Tape tape;
  const std::vector<double> upstream(static_cast<std::size_t>(width), 1.0);
  for (auto _ : state) {
    const auto step = tape.record();
    const Tensor start = tape.variable(numbers, {width});
    Tensor y = start;
    for (int i = 0; i < chain_length; ++i) y = op(y, start);
    tape.backward(y, upstream);
    benchmark::DoNotOptimize(y);
  }
  report(state, chain_length);
}

void neg_chain(benchmark::State& state) {
  chain(state, [](Tensor y, Tensor) { return neg(y); });
}
void relu_chain(benchmark::State& state) {
  chain(state, [](Tensor y, Tensor) { return relu(y); });
}
void scale_chain(benchmark::State& state) {
  chain(state, [](Tensor y, Tensor) { return scale(y, 0.5); });
}
void add_chain(benchmark::State& state) {
  chain(state, [](Tensor y, Tensor x) { return add(y, x); });
}
void reshape_chain(benchmark::State& state) {
  chain(state, [](Tensor y, Tensor) { return reshape(y, {width}); });
}

// The kernels of a chain of relu: one call forward and one back for each op, on buffers that lie apart as
// they do on a tape.
[[gnu::noinline]] void relu_forward(kernels::Sink<float> y, const float* x) {
  kernels::map(
      y, [](float v) { return v < 0 ? 0 : v; }, kernels::Source<float>{x, nullptr});
}
[[gnu::noinline]] void relu_backward(kernels::Sink<float> dx, const float* y, const float* dy) {
  kernels::map(
      dx, [](float v, float d) { return v > 0 ? d : 0; }, kernels::Source<float>{y, nullptr},
      kernels::Source<float>{dy, nullptr});
}

void relu_kernels_alone(benchmark::State& state) {
  kernels::set_threads(1);
  std::vector<float> values(static_cast<std::size_t>((chain_length + 1) * apart), 0.5F);
  std::vector<float> gradients(static_cast<std::size_t>(2 * apart), 1.0F);
  for (auto _ : state) {
    for (int i = 0; i < chain_length; ++i) {
      float* x = values.data() + i * apart;
      relu_forward({{x + apart, false}, width}, x);
    }
    for (int i = chain_length; i-- > 0;) {
      float* dx = gradients.data() + i % 2 * apart;
      const float* dy = gradients.data() + (i + 1) % 2 * apart;
      relu_backward({{dx, false}, width}, values.data() + (i + 1) * apart, dy);
    }
    benchmark::ClobberMemory();
  }
  report(state, chain_length);
}

[[gnu::noinline]] void add_forward(kernels::Sink<float> z, const float* x, const float* y) {
  kernels::map(
      z, [](float a, float b) { return a + b; }, kernels::Source<float>{x, nullptr},
      kernels::Source<float>{y, nullptr});
}
[[gnu::noinline]] void add_backward(kernels::Sink<float> dx, const float* dz) {
  kernels::map(
      dx, [](float d) { return d; }, kernels::Source<float>{dz, nullptr});
}

void add_kernels_alone(benchmark::State& state) {
  kernels::set_threads(1);
  std::vector<float> values(static_cast<std::size_t>((chain_length + 1) * apart), 0.5F);
  std::vector<float> gradients(static_cast<std::size_t>(3 * apart), 1.0F);
  float* const sum = gradients.data() + 2 * apart;
  for (auto _ : state) {
    for (int i = 0; i < chain_length; ++i) {
      float* x = values.data() + i * apart;
      add_forward({{x + apart, false}, width}, x, values.data());
    }
    for (int i = chain_length; i-- > 0;) {
      const float* dz = gradients.data() + (i + 1) % 2 * apart;
      add_backward({{gradients.data() + i % 2 * apart, false}, width}, dz);
      add_backward({{sum, true}, width}, dz);
    }
    benchmark::ClobberMemory();
  }
  report(state, chain_length);
}

void empty_step(benchmark::State& state) {
  Tape tape;
  for (auto _ : state) {
    const auto step = tape.record();
    benchmark::DoNotOptimize(&step);
  }
  report(state, 1);
}

BENCHMARK(relu_kernels_alone);
BENCHMARK(relu_chain);
BENCHMARK(add_kernels_alone);
BENCHMARK(add_chain);
BENCHMARK(neg_chain);
BENCHMARK(scale_chain);
BENCHMARK(reshape_chain);
BENCHMARK(empty_step);

}  // namespace

BENCHMARK_MAIN();
