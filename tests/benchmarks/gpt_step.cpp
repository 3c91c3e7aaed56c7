// Training steps of a GPT of any size: time, the ops it goes to, and memory, as one line of JSON.
//
//   gpt_step [--layers N] [--heads N] [--width N] [--vocabulary N] [--context N] [--positions N] [--batch N]
//            [--threads N] [--seconds S]
//
// `ms` is the fastest step, `median_ms` the median. `ops` has the milliseconds of each op in a step, forward
// and backward, from the fastest of the profiled ones. Memory in MiB: `started` is what the process held when
// main began, `peak` the most it ever held.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "autograd/ops.h"
#include "autograd/tape.h"
#include "kernels/parallel.h"
#include "kernels/philox.h"
#include "nn/gpt.h"
#include "nn/optimizer.h"

namespace {

using namespace reel;
using Clock = std::chrono::steady_clock;

constexpr double mebibyte = 1024.0 * 1024.0;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// VmHWM of /proc/self/status, in MiB.
double peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) / 1024;
  }
  throw std::runtime_error("/proc/self/status has no VmHWM");
}

std::vector<std::int32_t> random_tokens(std::uint64_t stream, std::int64_t count, std::int64_t below) {
  const kernels::Philox numbers(7, stream);
  std::vector<std::int32_t> result(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < result.size(); ++i)
    result[i] = static_cast<std::int32_t>(numbers.below(i, static_cast<std::uint64_t>(below)));
  return result;
}

int run(std::map<std::string, double> flags) {
  const auto whole = [&](const char* name) { return static_cast<std::int64_t>(flags.at(name)); };
  const double started = peak_memory();
  kernels::set_threads(static_cast<int>(whole("--threads")));
  const std::int64_t batch = whole("--batch");
  const std::int64_t time = whole("--context");
  const std::int64_t vocabulary = whole("--vocabulary");
  // GPT-2 learns more positions than a step of it here uses.
  nn::Gpt model(nn::Seed{1}, {.vocabulary = vocabulary,
                              .context = std::max(time, whole("--positions")),
                              .layers = whole("--layers"),
                              .heads = whole("--heads"),
                              .width = whole("--width")});
  nn::AdamW adam(model, {.clip_norm = 1});
  Tape tape;
  const std::vector<std::int32_t> tokens = random_tokens(1, batch * time, vocabulary);
  const std::vector<std::int32_t> targets = random_tokens(2, batch * time, vocabulary);
  TapeStatistics last;
  const auto train = [&] {
    const auto start = Clock::now();
    {
      const auto step = tape.record();
      tape.backward(cross_entropy(model(tape, tokens, batch, time), targets));
      adam.step();
      last = tape.statistics();
    }
    return 1e3 * seconds_since(start);
  };
  for (int i = 0; i < 2; ++i) train();
  std::vector<double> times;
  for (const auto begin = Clock::now(); times.size() < 3 || seconds_since(begin) < flags.at("--seconds");)
    times.push_back(train());
  std::sort(times.begin(), times.end());

  std::map<std::string, double> ops;
  double fastest = 1e300;
  for (int i = 0; i < 5; ++i) {
    tape.profile(true);  // starts anew
    const double milliseconds = train();
    if (milliseconds > fastest) continue;
    fastest = milliseconds;
    ops.clear();
    for (const auto& op : last.ops) ops[std::string(op.op)] = op.forward_ms + op.backward_ms;
  }

  const auto length = static_cast<double>(model.parameters().length());
  nlohmann::ordered_json out = {
      {"ms", times.front()},
      {"median_ms", times[times.size() / 2]},
      {"ops", ops},
      {"parameters", model.parameters().parameters()},
      {"started_mib", started},
      {"weights_mib", length * sizeof(float) / mebibyte},
      {"values_mib", static_cast<double>(last.value_bytes) / mebibyte},
      {"gradients_of_values_mib", static_cast<double>(last.gradient_bytes) / mebibyte},
      {"reserved_mib", static_cast<double>(last.reserved_bytes) / mebibyte},
      {"peak_mib", peak_memory()}};
  std::printf("%s\n", out.dump().c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::map<std::string, double> flags = {{"--layers", 4},      {"--heads", 4},    {"--width", 128},
                                         {"--vocabulary", 65}, {"--context", 64}, {"--batch", 12},
                                         {"--positions", 0},   {"--threads", 1},  {"--seconds", 0.5}};
  try {
    for (int i = 1; i < argc; i += 2) {
      const auto flag = flags.find(argv[i]);
      if (flag == flags.end() || i + 1 == argc) {
        std::string known;
        for (const auto& [name, value] : flags) known += " " + name + " " + short_number(value);
        throw std::runtime_error(std::string("unknown flag, or no value: ") + argv[i] +
                                 "; there are, with what they are by default:" + known);
      }
      flag->second = std::stod(argv[i + 1]);
    }
    return run(flags);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "gpt_step: %s\n", e.what());
    return 1;
  }
}
