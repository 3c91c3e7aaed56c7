#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "kernels/philox.h"
#include "tests/support/random_program.h"

// Programs of 5 to 30 ops. Forwards and backwards must agree.
//
//   REEL_PROGRAMS=20000   how many (default 500)
//   REEL_PROGRAM=1234:7   one of them, cut after so many ops, as a failure prints it

namespace reel {
namespace {

struct Program {
  std::uint64_t seed = 0;
  int ops = 0;
};

class Random final : public Choices {
 public:
  explicit Random(std::uint64_t seed) : philox_(seed, 0x70726f67) {}
  std::size_t below(std::size_t n) override { return static_cast<std::size_t>(philox_.below(next_++, n)); }
  double number() override { return 2 * philox_.uniform(next_++) - 1; }

 private:
  kernels::Philox philox_;
  std::uint64_t next_ = 0;
};

Outcome run(const Program& program) {
  Random random(program.seed);
  return run_random_program(random, program.ops);
}

bool holds(const Outcome& o) { return o.gap <= 1; }

std::string words(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

TEST(RandomPrograms, ForwardsAndBackwardsAgree) {
  const char* count = std::getenv("REEL_PROGRAMS");
  const std::uint64_t programs = count == nullptr ? 500 : std::strtoull(count, nullptr, 10);
  std::size_t ops = 0;
  for (std::uint64_t seed = 1; seed <= programs; ++seed) {
    Program program{seed, 5 + static_cast<int>(seed % 26)};
    const Outcome whole = run(program);
    ASSERT_EQ(whole.names.size(), static_cast<std::size_t>(program.ops));
    ops += whole.names.size();
    if (holds(whole)) continue;
    for (int n = 1; n < program.ops; ++n) {  // the shortest beginning that fails
      if (!holds(run({seed, n}))) {
        program.ops = n;
        break;
      }
    }
    const Outcome shortest = run(program);
    FAIL() << words(shortest.names) << ": " << shortest.gap
           << " times the tolerance; again with\n  REEL_PROGRAM=" << seed << ":" << program.ops
           << " test_autograd --gtest_filter='RandomProgram.*'";
  }
  RecordProperty("ops", std::to_string(ops));
}

TEST(RandomProgram, Again) {
  const char* text = std::getenv("REEL_PROGRAM");
  if (text == nullptr) GTEST_SKIP() << "set REEL_PROGRAM to what a failure printed";
  char* colon = nullptr;
  Program program;
  program.seed = std::strtoull(text, &colon, 10);
  program.ops = *colon == ':' ? std::atoi(colon + 1) : 30;
  const Outcome outcome = run(program);
  EXPECT_LE(outcome.gap, 1) << words(outcome.names);
}

}  // namespace
}  // namespace reel
