// Any text, with classes, without, and of a regression: the reader refuses it, or gives as many finite
// numbers and known classes as there are lines.

#include <cmath>
#include <cstdint>
#include <string_view>

#include "data/csv.h"
#include "data/error.h"
#include "tests/fuzz/check.h"

using namespace reel::data;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const auto header : {CsvOptions::Header::detect, CsvOptions::Header::yes, CsvOptions::Header::no}) {
    for (const char* column : {"", "0"}) {
      try {
        const Dataset set = parse_csv(text, "fuzz",
                                      {.header = header,
                                       .label_column = column,
                                       .ignored_columns = {"1"},
                                       .labelled = false,
                                       .feature_columns = {"a", "0"}});
        FUZZ_CHECK(set.count > 0 && set.features > 0 && set.classes() == 0 && set.labels.empty());
        FUZZ_CHECK(static_cast<std::int64_t>(set.inputs.size()) == set.count * set.features);
        for (const float x : set.inputs) FUZZ_CHECK(std::isfinite(x));
      } catch (const DataError&) {
      }
    }
    try {
      const Dataset set = parse_csv(text, "fuzz", {.header = header, .target_columns = {"0", "2"}});
      FUZZ_CHECK(set.count > 0 && set.features > 0 && set.outputs == 2);
      set.check();
    } catch (const DataError&) {
    }
    for (const std::vector<std::string>& ignored :
         {std::vector<std::string>{}, {"0"}, {"", "2"}, {"a", "1"}}) {
      try {
        const Dataset set = parse_csv(text, "fuzz", {.header = header, .ignored_columns = ignored});
        FUZZ_CHECK(set.count > 0 && set.features > 0 && set.classes() > 1);
        FUZZ_CHECK(static_cast<std::int64_t>(set.labels.size()) == set.count);
        FUZZ_CHECK(static_cast<std::int64_t>(set.inputs.size()) == set.count * set.features);
        for (const float x : set.inputs) FUZZ_CHECK(std::isfinite(x));
        for (const std::int32_t label : set.labels) FUZZ_CHECK(label >= 0 && label < set.classes());
      } catch (const DataError&) {
      }
    }
  }
  return 0;
}
