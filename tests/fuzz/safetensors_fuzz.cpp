// Any bytes: the reader refuses them, or gives tensors that survive being written and read again.

#include <cstdint>
#include <span>

#include "nn/error.h"
#include "nn/safetensors.h"
#include "tests/fuzz/check.h"

using namespace reel::nn;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  try {
    const Safetensors file = Safetensors::parse({bytes.begin(), bytes.end()}, "fuzz");
    SafetensorsWriter writer;
    std::size_t total = 0;
    for (const SafetensorsEntry& e : file.entries()) {
      writer.add(e.name, e.dtype, e.shape, e.bytes);
      total += e.bytes.size();
      if (e.dtype >= Dtype::f16) FUZZ_CHECK(file.to_floats(e).size() == file.to_doubles(e).size());
    }
    FUZZ_CHECK(total <= size);
    for (const auto& [key, value] : file.metadata()) writer.metadata(key, value);
    const std::string text = writer.bytes();
    const auto written = std::as_bytes(std::span<const char>(text));
    const Safetensors again = Safetensors::parse({written.begin(), written.end()}, "again");
    FUZZ_CHECK(again.metadata() == file.metadata());
    FUZZ_CHECK(again.entries().size() == file.entries().size());
    for (const SafetensorsEntry& e : file.entries()) {
      const SafetensorsEntry* other = again.find(e.name);
      FUZZ_CHECK(other != nullptr && other->dtype == e.dtype && other->shape == e.shape);
      FUZZ_CHECK(other->bytes.size() == e.bytes.size());
      FUZZ_CHECK(e.bytes.empty() || std::memcmp(other->bytes.data(), e.bytes.data(), e.bytes.size()) == 0);
    }
  } catch (const FileError&) {
  }
  return 0;
}
