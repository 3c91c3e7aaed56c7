// Positive controls: each argument plants one bug that the tool of that name must report. A tool that stays
// silent here proves nothing by staying silent elsewhere.
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <thread>

#include "kernels/parallel.h"

namespace {

// Two threads add to one number without an order between them. They meet first, so that both are there. Of
// two writes at the very same time the tool may miss one, and a thread that waits for its core for long may
// be forgotten, so there are many meetings of many writes: the tool ends the program at the first it sees.
std::int64_t race() {
  reel::kernels::set_threads(2);
  volatile std::int64_t sum = 0;
  for (int meeting = 0; meeting < 100; ++meeting) {
    std::atomic<int> arrived{0};
    reel::kernels::parallel_for(2, 1e12, [&](std::int64_t i) {
      arrived.fetch_add(1, std::memory_order_relaxed);
      while (arrived.load(std::memory_order_relaxed) < 2) std::this_thread::yield();
      for (int round = 0; round < 100; ++round) sum = sum + i;
    });
  }
  return sum;
}

std::int64_t overflow(std::int64_t size) {
  const auto block = std::make_unique<std::int64_t[]>(static_cast<std::size_t>(size));
  return block.get()[size];
}

std::int64_t undefined(std::int64_t one) { return std::numeric_limits<std::int64_t>::max() + one; }

std::int64_t uninitialised(std::int64_t size) {
  const std::unique_ptr<volatile std::int64_t[]> block(new std::int64_t[static_cast<std::size_t>(size)]);
  return block[0] > 0 ? 1 : 2;
}

}  // namespace

int main(int argc, char** argv) {
  const char* bug = argc > 1 ? argv[1] : "";
  std::int64_t result = 0;
  if (std::strcmp(bug, "race") == 0) result = race();
  if (std::strcmp(bug, "overflow") == 0) result = overflow(argc);
  if (std::strcmp(bug, "undefined") == 0) result = undefined(argc);
  if (std::strcmp(bug, "uninitialised") == 0) result = uninitialised(argc);
  std::printf("%s: not noticed, result %lld\n", bug, static_cast<long long>(result));
}
