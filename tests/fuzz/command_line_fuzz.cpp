// The words of a command line, one a line: it asks for a verb, or is answered with a help text or with what
// is wrong.

#include <cstdint>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "examples/command_line.h"
#include "tests/fuzz/check.h"

using namespace reel::examples;

namespace {

// What the verbs rely on.
void check(const RunFlags& run) { FUZZ_CHECK(run.threads >= 0 && run.threads <= 1024); }

struct Check {
  void operator()(const ClassifierFlags& flags) const {
    check(flags.run);
    for (const std::int64_t width : flags.hidden) FUZZ_CHECK(width > 0 && width <= 1 << 20);
  }
  void operator()(const TransformerFlags& flags) const { check(flags.run); }
  void operator()(const GenerateFlags& flags) const { FUZZ_CHECK(flags.threads <= 1024 && flags.top_p > 0); }
  void operator()(const EvaluateFlags& flags) const { FUZZ_CHECK(flags.threads <= 1024); }
  void operator()(const AttentionFlags& flags) const {
    FUZZ_CHECK(flags.token >= 0 && flags.token <= 3 && flags.component >= 0 && flags.component <= 2);
    FUZZ_CHECK(flags.temperature > 0);
  }
  void operator()(const BenchFlags& flags) const { FUZZ_CHECK(flags.threads >= 0); }
  template <class Other>
  void operator()(const Other&) const {}
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::vector<std::string> words;
  std::istringstream lines(std::string(reinterpret_cast<const char*>(data), size));
  for (std::string word; std::getline(lines, word);) words.push_back(word);
  std::ostringstream out, err;
  const auto parsed = parse_command_line(words, out, err);
  if (const auto* answered = std::get_if<ExitCode>(&parsed)) {
    FUZZ_CHECK(*answered == ok || *answered == usage);
    FUZZ_CHECK((*answered == ok) == err.str().empty() && (*answered == ok) != out.str().empty());
    return 0;
  }
  FUZZ_CHECK(out.str().empty() && err.str().empty());
  std::visit(Check{}, std::get<Command>(parsed));
  return 0;
}
