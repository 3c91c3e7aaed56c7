// Any bytes, alone and as images with themselves as labels.

#include <cstdint>
#include <string_view>

#include "data/error.h"
#include "data/idx.h"
#include "tests/fuzz/check.h"

using namespace reel::data;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view file(reinterpret_cast<const char*>(data), size);
  try {
    const IdxArray array = parse_idx(file, "fuzz");
    FUZZ_CHECK(array.bytes.size() <= 1032 * size);
    std::int64_t count = 1;
    for (const std::int64_t n : array.shape) count *= n;
    FUZZ_CHECK(array.count() == count);
    FUZZ_CHECK(static_cast<std::int64_t>(array.to_floats().size()) == count);
    IdxArray images = array;
    images.shape = {array.shape[0], count / array.shape[0]};
    FUZZ_CHECK(static_cast<std::int64_t>(idx_images(images).inputs.size()) == count);
    idx_pair(images, array, 10);
  } catch (const DataError&) {
  }
  return 0;
}
