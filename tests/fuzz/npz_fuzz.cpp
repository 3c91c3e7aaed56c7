// Any bytes: the reader refuses them, or gives arrays that are no larger than deflate can make them.

#include <cstdint>
#include <span>

#include "data/error.h"
#include "data/npz.h"
#include "tests/fuzz/check.h"

using namespace reel::data;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    std::size_t total = 0;
    for (const auto& [key, array] : parse_npz(std::as_bytes(std::span(data, size)), "fuzz")) {
      total += array.bytes.size();
      FUZZ_CHECK(array.to_doubles().size() == array.count());
    }
    FUZZ_CHECK(total <= 1032 * size);
  } catch (const DataError&) {
  }
  return 0;
}
