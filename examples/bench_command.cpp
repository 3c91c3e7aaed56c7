#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "data/file.h"
#include "examples/allocation_count.h"
#include "examples/bench_cases.h"
#include "examples/commands.h"
#include "examples/exit_code.h"
#include "examples/usage_error.h"
#include "kernels/instruction_set.h"
#include "kernels/parallel.h"
#include "kernels/peak.h"

namespace reel::examples {
namespace {

using Clock = std::chrono::steady_clock;

struct Measured {
  double milliseconds = 0;
  double allocations_per_step = 0;
};

// The median over enough steps to fill about a second.
Measured measure(const BenchCase& c, Products products) {
  Renewed training([&] { return c.make(products); });
  std::vector<double> times;
  times.reserve(1 << 20);
  double passed = 0;
  long made = 0;
  while (times.size() < 5 || (passed < 1000 && times.size() < times.capacity())) {
    training.renew_if_due();
    const long before = allocations();
    const auto start = Clock::now();
    training.step();
    times.push_back(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
    passed += times.back();
    made += allocations() - before;
  }
  std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
  return {times[times.size() / 2], static_cast<double>(made) / static_cast<double>(times.size())};
}

}  // namespace

int run_bench(const BenchFlags& flags) {
  std::vector<BenchCase> cases = bench_cases();
  if (!flags.name.empty()) {
    std::string known;
    for (const BenchCase& c : cases) known += (known.empty() ? "" : ", ") + c.name;
    std::erase_if(cases, [&](const BenchCase& c) { return c.name != flags.name; });
    if (cases.empty()) throw UsageError("--case " + data::excerpt(flags.name) + ": the cases are " + known);
  } else {
    std::erase_if(cases, [](const BenchCase& c) { return c.heavy; });
  }
  std::vector<int> counts = {kernels::threads()};
  if (flags.threads == 0) {
    counts = {1};
    if (kernels::threads() > 1) counts.push_back(kernels::threads());
  }
  const Products products = products_of(flags.precision);
  nlohmann::ordered_json rows = nlohmann::ordered_json::array();
  double peak_of_all = 0;
  if (!flags.json) std::printf("built for %s\n", kernels::instruction_set());
  if (std::fflush(stdout) != 0) return io;  // main says why
  for (const int threads : counts) {
    const double peak = kernels::measure_peak(threads, products);
    const double bandwidth = kernels::measure_bandwidth(threads);
    peak_of_all = std::max(peak_of_all, peak);
    if (!flags.json) {
      std::printf("%d thread%s: %.0f GFLOP/s of %s, %.0f GB/s of copying\n", threads, threads == 1 ? "" : "s",
                  peak / 1e9, products == Products::full ? "multiply-adds" : "products", bandwidth / 1e9);
      std::printf("  %-26s %12s %12s %8s %16s %12s\n", "case", "ms per step", "floor ms", "share",
                  "per second", "allocations");
    }
    for (const BenchCase& c : cases) {
      kernels::set_threads(threads);
      const Measured m = measure(c, products);
      const double floor = 1e3 * (c.operations / peak + c.bytes / bandwidth);
      const double rate = c.units / m.milliseconds * 1e3;
      rows.push_back({{"name", c.name},
                      {"threads", threads},
                      {"precision", flags.precision},
                      {"ms_per_step", m.milliseconds},
                      {"floor_ms", floor},
                      {"allocations_per_step", m.allocations_per_step},
                      {c.unit + "_per_second", rate}});
      if (flags.json) continue;
      std::printf("  %-26s %12.4f %12.4f %6.0f %% %8.0f %-8s %10.1f\n", c.name.c_str(), m.milliseconds, floor,
                  100 * floor / m.milliseconds, rate, c.unit.c_str(), m.allocations_per_step);
      if (std::fflush(stdout) != 0) return io;
    }
  }
  if (!flags.json) {
    std::printf(
        "floor: what the multiply-adds and the copying of the step would take at the speeds above; share: of "
        "the\n"
        "step's time. allocations: from the heap, per step.\n");
  }
  if (flags.json)
    std::cout << nlohmann::ordered_json{{"instruction_set", kernels::instruction_set()},
                                        {"peak_gflops", peak_of_all / 1e9},
                                        {"cases", rows}}
                     .dump()
              << "\n";
  return ok;
}

}  // namespace reel::examples
