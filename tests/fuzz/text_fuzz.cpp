// Two bytes for the context and the batch, then any text: the windows hold what the text says, and validation
// visits every target once.

#include <cstdint>
#include <string_view>

#include "data/error.h"
#include "data/text.h"
#include "tests/fuzz/check.h"

using namespace reel::data;

namespace {

void check_sizes(const TokenBatch& batch) {
  FUZZ_CHECK(batch.batch > 0 && batch.time > 0);
  FUZZ_CHECK(static_cast<std::int64_t>(batch.tokens.size()) == batch.batch * batch.time);
  FUZZ_CHECK(batch.targets.size() == batch.tokens.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::int64_t context = 1 + data[0] % 64;
  const std::int64_t rows = 1 + data[1] % 8;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  try {
    const Text text(bytes, "fuzz", context);
    const Vocabulary& known = text.vocabulary();
    FUZZ_CHECK(known.size() > 0 && known.size() <= 256);
    const auto train = text.train();
    for (std::size_t i = 0; i < train.size(); ++i) FUZZ_CHECK(known.decode(train[i]) == bytes[i]);
    const auto held_out = text.validation();
    const std::size_t start = bytes.size() - held_out.size();
    for (std::size_t i = 0; i < held_out.size(); ++i)
      FUZZ_CHECK(known.decode(held_out[i]) == bytes[start + i]);

    TokenBatch batch;
    text.random_batch(1, 0, rows, batch);
    check_sizes(batch);
    for (std::size_t i = 0; i < batch.tokens.size(); ++i) {
      const auto at = static_cast<std::size_t>(batch.origins[i / static_cast<std::size_t>(context)]) +
                      i % static_cast<std::size_t>(context);
      FUZZ_CHECK(batch.tokens[i] == train[at] && batch.targets[i] == train[at + 1]);
    }
    std::size_t seen = 0;
    for (std::int64_t index = 0; text.validation_batch(index, rows, batch); ++index) {
      check_sizes(batch);
      for (std::size_t i = 0; i < batch.tokens.size(); ++i, ++seen)
        FUZZ_CHECK(batch.tokens[i] == held_out[seen] && batch.targets[i] == held_out[seen + 1]);
    }
    FUZZ_CHECK(seen + 1 == held_out.size());
  } catch (const DataError&) {
  }
  // The text as a vocabulary: a byte that comes twice is refused, and what is known comes back.
  try {
    const Vocabulary own{std::string(bytes)};
    FUZZ_CHECK(own.size() == static_cast<std::int64_t>(bytes.size()));
    for (const std::int32_t token : own.encode(bytes, "fuzz")) FUZZ_CHECK(own.knows(own.decode(token)));
  } catch (const DataError&) {
  }
  return 0;
}
