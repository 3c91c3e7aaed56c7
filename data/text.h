#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace reel::data {

/// The bytes that a model of text knows, numbered in ascending order.
class Vocabulary {
 public:
  Vocabulary() = default;
  /// Throws DataError if a byte is named twice or there is none.
  explicit Vocabulary(std::string bytes);
  /// The bytes that occur in a text.
  static Vocabulary of(std::string_view text);

  std::int64_t size() const { return static_cast<std::int64_t>(bytes_.size()); }
  const std::string& bytes() const { return bytes_; }
  bool knows(char byte) const { return number_[static_cast<unsigned char>(byte)] >= 0; }
  /// The numbers of the bytes of a text. Throws DataError that names the first byte it does not know and
  /// where it stands.
  std::vector<std::int32_t> encode(std::string_view text, const std::string& name) const;
  /// Throws std::out_of_range if there is no such token.
  char decode(std::int32_t token) const { return bytes_.at(static_cast<std::size_t>(token)); }

 private:
  std::string bytes_;
  std::vector<std::int32_t> number_ = std::vector<std::int32_t>(256, -1);
};

/// Sequences for training a language model: targets are the inputs, one token later.
struct TokenBatch {
  std::vector<std::int32_t> tokens;   // [batch, time]
  std::vector<std::int32_t> targets;  // [batch, time]
  std::int64_t batch = 0;
  std::int64_t time = 0;
  std::vector<std::int64_t> origins = {};  // [batch], of training batches: see who made it
};

/// A text as tokens: the first 90 % train, but at least context + 1 of them, and the rest validates. If the
/// rest has fewer than 2, the last context + 1 tokens of the text validate, which training sees, too, but for
/// one at most.
class Text {
 public:
  /// Throws DataError for a context below 1, or if the text has fewer than context + 1 bytes.
  Text(std::string_view bytes, const std::string& name, std::int64_t context);
  static Text read(const std::filesystem::path& path, std::int64_t context);
  /// With the bytes that a model knows, of which the text may lack some. Throws DataError, too, that names
  /// the first byte of the text that is none of them, and where it stands.
  Text(std::string_view bytes, const std::string& name, std::int64_t context, Vocabulary known);
  static Text read(const std::filesystem::path& path, std::int64_t context, const Vocabulary& known);

  const Vocabulary& vocabulary() const { return vocabulary_; }
  std::span<const std::int32_t> train() const { return std::span(tokens_).first(train_size_); }
  std::span<const std::int32_t> validation() const { return std::span(tokens_).subspan(validation_start_); }
  std::int64_t context() const { return context_; }

  /// Windows at random places of the training part, which follow from (seed, index): index counts batches.
  /// Their origins are the positions of their first bytes. Throws DataError, as the two below do, for a batch
  /// below 1 and an index below 0, and for a batch that no memory can hold.
  void random_batch(std::uint64_t seed, std::int64_t index, std::int64_t batch, TokenBatch& out) const;

  /// The validation part cut into windows, `batch` at a time; the last window may be shorter and then comes
  /// alone. Returns false when there is none of this index.
  bool validation_batch(std::int64_t index, std::int64_t batch, TokenBatch& out) const;
  /// The same of the whole text.
  bool whole_batch(std::int64_t index, std::int64_t batch, TokenBatch& out) const;

 private:
  Vocabulary vocabulary_;
  std::vector<std::int32_t> tokens_;
  std::size_t train_size_ = 0;
  std::size_t validation_start_ = 0;
  std::int64_t context_ = 0;
};

}  // namespace reel::data
