#include "data/text.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "data/error.h"
#include "data/file.h"
#include "kernels/philox.h"

namespace reel::data {
namespace {

constexpr std::uint64_t window_stream = 0x77696E646F77;  // "window"

std::string shown(char byte) {
  const auto value = static_cast<unsigned char>(byte);
  char text[16];
  if (value > 0x20 && value < 0x7F) {
    std::snprintf(text, sizeof text, "'%c'", byte);
  } else {
    std::snprintf(text, sizeof text, "byte 0x%02x", static_cast<unsigned>(value));
  }
  return text;
}

void require_batch(std::int64_t index, std::int64_t batch) {
  if (index < 0) throw DataError("a text has no batch " + std::to_string(index) + "; they count from 0");
  if (batch >= 1) return;
  throw DataError("a batch of " + std::to_string(batch) + " windows of a text; choose one of at least 1");
}

// Batch `index` of a part of a text that is cut into windows.
bool windows_of(std::span<const std::int32_t> all, std::int64_t context, std::int64_t index,
                std::int64_t batch, TokenBatch& out) {
  require_batch(index, batch);
  const auto targets = static_cast<std::int64_t>(all.size()) - 1;
  const std::int64_t whole = targets / context;
  const std::int64_t batches = whole / batch + (whole % batch != 0 ? 1 : 0);  // of whole windows
  std::int64_t rows = 1;
  std::int64_t time = context;
  std::int64_t start = whole * context;
  if (index < batches) {
    const std::int64_t first = index * batch;
    rows = std::min(batch, whole - first);
    start = first * context;
  } else {
    time = targets % context;
    if (index > batches || time == 0) return false;
  }
  const auto window = all.subspan(static_cast<std::size_t>(start), static_cast<std::size_t>(rows * time + 1));
  out.batch = rows;
  out.time = time;
  out.tokens.assign(window.begin(), window.end() - 1);
  out.targets.assign(window.begin() + 1, window.end());
  return true;
}

}  // namespace

Vocabulary::Vocabulary(std::string bytes) : bytes_(std::move(bytes)) {
  if (bytes_.empty()) throw DataError("a vocabulary without bytes");
  for (std::size_t i = 0; i < bytes_.size(); ++i) {
    std::int32_t& number = number_[static_cast<unsigned char>(bytes_[i])];
    if (number >= 0) throw DataError("a vocabulary that has " + shown(bytes_[i]) + " twice");
    number = static_cast<std::int32_t>(i);
  }
}

Vocabulary Vocabulary::of(std::string_view text) {
  std::vector<bool> seen(256);
  for (const char c : text) seen[static_cast<unsigned char>(c)] = true;
  std::string bytes;
  for (std::size_t b = 0; b < seen.size(); ++b) {
    if (seen[b]) bytes += static_cast<char>(b);
  }
  return Vocabulary(std::move(bytes));
}

std::vector<std::int32_t> Vocabulary::encode(std::string_view text, const std::string& name) const {
  std::vector<std::int32_t> tokens;
  tokens.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (!knows(text[i])) {
      throw DataError(name + ": " + shown(text[i]) + " at position " + std::to_string(i) +
                      " never occurs in the text that the model was trained on");
    }
    tokens.push_back(number_[static_cast<unsigned char>(text[i])]);
  }
  return tokens;
}

// An empty text has no vocabulary, and is refused for its length.
Text::Text(std::string_view bytes, const std::string& name, std::int64_t context)
    : Text(bytes, name, context, bytes.empty() ? Vocabulary() : Vocabulary::of(bytes)) {}

Text::Text(std::string_view bytes, const std::string& name, std::int64_t context, Vocabulary known)
    : vocabulary_(std::move(known)), context_(context) {
  if (context < 1) {
    throw DataError(name + ": a context of " + std::to_string(context) +
                    " bytes predicts nothing; choose one of at least 1");
  }
  const auto needed = static_cast<std::size_t>(context) + 1;
  if (bytes.size() < needed) {
    throw DataError(name + ": it has " + std::to_string(bytes.size()) + " bytes; a context of " +
                    std::to_string(context) + " needs " + std::to_string(needed) +
                    " at least; use a longer text or a smaller context");
  }
  tokens_ = vocabulary_.encode(bytes, name);
  train_size_ = std::max(bytes.size() / 10 * 9 + bytes.size() % 10 * 9 / 10, needed);
  // A text too short to spare anything is validated on its own end.
  validation_start_ = bytes.size() - train_size_ >= 2 ? train_size_ : bytes.size() - needed;
}

Text Text::read(const std::filesystem::path& path, std::int64_t context) {
  return {read_file(path), printable(path), context};
}

Text Text::read(const std::filesystem::path& path, std::int64_t context, const Vocabulary& known) {
  return {read_file(path), printable(path), context, known};
}

void Text::random_batch(std::uint64_t seed, std::int64_t index, std::int64_t batch, TokenBatch& out) const {
  require_batch(index, batch);
  const auto time = static_cast<std::size_t>(context_);
  if (static_cast<std::uint64_t>(batch) > out.tokens.max_size() / time) {
    throw DataError("a batch of " + std::to_string(batch) +
                    " windows of a text is more than memory can hold; choose a smaller one");
  }
  const kernels::Philox numbers(seed, window_stream);
  const std::uint64_t before = static_cast<std::uint64_t>(index) * static_cast<std::uint64_t>(batch);
  out.batch = batch;
  out.time = context_;
  out.tokens.resize(static_cast<std::size_t>(batch) * time);
  out.targets.resize(out.tokens.size());
  out.origins.resize(static_cast<std::size_t>(batch));
  for (std::int64_t b = 0; b < batch; ++b) {
    const auto first = numbers.below(before + static_cast<std::uint64_t>(b), train_size_ - time);
    out.origins[static_cast<std::size_t>(b)] = static_cast<std::int64_t>(first);
    const auto from = tokens_.begin() + static_cast<std::ptrdiff_t>(first);
    std::copy_n(from, time, out.tokens.begin() + b * context_);
    std::copy_n(from + 1, time, out.targets.begin() + b * context_);
  }
}

bool Text::validation_batch(std::int64_t index, std::int64_t batch, TokenBatch& out) const {
  return windows_of(validation(), context_, index, batch, out);
}

bool Text::whole_batch(std::int64_t index, std::int64_t batch, TokenBatch& out) const {
  return windows_of(tokens_, context_, index, batch, out);
}

}  // namespace reel::data
