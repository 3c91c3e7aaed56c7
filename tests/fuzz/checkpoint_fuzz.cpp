// Any bytes, as a checkpoint with its checksum made right, so that what lies behind the checksum is reached
// too.

#include <cstdint>
#include <span>
#include <string>

#include "autograd/parameter.h"
#include "nn/checkpoint.h"
#include "nn/error.h"
#include "nn/sha256.h"
#include "nn/weights.h"
#include "tests/fuzz/check.h"

using namespace reel;

namespace {

void repair(std::string& file) {
  constexpr std::string_view key = "\"checksum\":\"";
  const std::size_t found = file.find(key);
  if (found == std::string::npos || file.size() - found - key.size() < 64) return;
  const std::size_t at = found + key.size();
  file.replace(at, 64, std::string(64, '0'));
  file.replace(at, 64, nn::sha256_hex(file));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string file(reinterpret_cast<const char*>(data), size);
  for (const bool repaired : {false, true}) {
    if (repaired) repair(file);
    const auto bytes = std::as_bytes(std::span<const char>(file));
    try {
      const nn::Safetensors tensors = nn::Safetensors::parse({bytes.begin(), bytes.end()}, "fuzz");
      ParameterBlock block;
      block.add("a", {2}, true);
      try {
        nn::load_weights(tensors, block);
      } catch (const nn::FileError&) {
        FUZZ_CHECK(block.values(0)[0] == 0 && block.values(0)[1] == 0);
      }
      nn::verify_checkpoint(tensors);
      FUZZ_CHECK(nn::is_checkpoint(tensors));
      FUZZ_CHECK(nn::step_of(tensors) >= 0);
      nn::notes_of(tensors);
    } catch (const nn::FileError&) {
    }
  }
  return 0;
}
