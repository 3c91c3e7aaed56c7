// Any bytes: the reader refuses them, or gives as many values as the shape says.

#include <cstdint>
#include <span>

#include "data/error.h"
#include "data/npy.h"
#include "tests/fuzz/check.h"

using namespace reel::data;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const NpyArray array = parse_npy(std::as_bytes(std::span(data, size)), "fuzz");
    std::size_t count = 1;
    for (const std::int64_t n : array.shape) {
      FUZZ_CHECK(n >= 0);
      if (n == 0) count = 0;
    }
    if (count != 0) {
      for (const std::int64_t n : array.shape) count *= static_cast<std::size_t>(n);
    }
    FUZZ_CHECK(array.count() == count && array.bytes.size() <= size);
    FUZZ_CHECK(array.to_floats().size() == count);
    FUZZ_CHECK(array.to_doubles().size() == count);
    if (array.type == NpyType::f32) {
      const std::string file = npy_bytes(array.shape, std::span<const float>(array.to_floats()));
      const NpyArray again = parse_npy(std::as_bytes(std::span<const char>(file)), "again");
      FUZZ_CHECK(again.shape == array.shape && again.bytes == array.bytes);
    }
    FUZZ_CHECK(array.to_integers().size() == count);
  } catch (const DataError&) {
  }
  return 0;
}
