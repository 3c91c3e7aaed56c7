#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "data/text.h"

namespace reel::data {

/// Sums of two numbers of up to 3 digits. Inside, 47 + 385 is "047+385=2340": fixed width, and the answer
/// with its last digit first, since that is the order in which carries arise. Outside, prompts and answers
/// read normally: "47+385=" and "432".
///
/// One pair in a hundred is held out, together with its twin 385 + 47, and never trained on.
class Addition {
 public:
  static constexpr std::int64_t largest = 999;
  static constexpr std::int64_t prompt_length = 8;  // "047+385="
  static constexpr std::int64_t answer_length = 4;  // "2340"
  static constexpr std::int64_t context = prompt_length + answer_length - 1;
  static constexpr std::int32_t ignored = -100;  // a target that counts for nothing

  static const Vocabulary& vocabulary();
  /// Throws DataError, as prompt_tokens does, for numbers that are not from 0 to `largest`.
  static bool held_out(std::int64_t a, std::int64_t b);

  /// Pairs for training; they follow from (seed, index), where index counts batches. Numbers of 1, 2 and 3
  /// digits are equally frequent. Only the digits of the answer are targets. Their origins count the pairs of
  /// all batches. Throws DataError for a batch below 1 and an index below 0, and for larger ones than can be
  /// counted.
  static void training_batch(std::uint64_t seed, std::int64_t index, std::int64_t batch, TokenBatch& out);
  /// `count` pairs from the `first` on of a fixed list of all 9,969 held-out pairs, each of which is there
  /// once. The sizes of the numbers take turns, so that short sums, of which there are few, stand in front.
  /// Throws DataError beyond the end.
  static void held_out_batch(std::int64_t first, std::int64_t count, TokenBatch& out);

  struct Pair {
    std::int64_t a, b;
  };
  /// The numbers of a prompt like "47+385=" ("=" may be missing, spaces may stand between). Throws DataError
  /// otherwise.
  static Pair parse(std::string_view prompt);
  /// "047+385=" as tokens.
  static std::vector<std::int32_t> prompt_tokens(Pair pair);
  /// The number that answer tokens spell; empty if they are not 1 to `answer_length` digits.
  static std::optional<std::int64_t> number(std::span<const std::int32_t> answer);
};

}  // namespace reel::data
