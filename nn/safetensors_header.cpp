#include "nn/safetensors_header.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "nn/error.h"

namespace reel::nn {
namespace {

constexpr std::string_view known_but_refused[] = {"F4",      "F6_E2M3", "F6_E3M2", "F8_E5M2",
                                                  "F8_E4M3", "F8_E8M0", "C64"};

std::optional<Dtype> dtype_of(std::string_view name) {
  for (int i = 0; i <= static_cast<int>(Dtype::f64); ++i) {
    if (name_of(static_cast<Dtype>(i)) == name) return static_cast<Dtype>(i);
  }
  return std::nullopt;
}

// Reads the header event by event, so that duplicates show and nothing is built for input that is refused
// anyway.
class Reader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  Reader(SafetensorsHeader& header, const std::string& name, std::size_t json_at)
      : header_(header), name_(name), json_at_(json_at) {}

  bool null() override { return value("null"); }
  bool boolean(bool) override { return value("a boolean"); }
  bool number_integer(number_integer_t) override { return value("a negative number"); }
  bool number_float(number_float_t, const string_t& text) override {
    return value("the number " + text.substr(0, 40));
  }
  bool binary(binary_t&) override { return value("binary data"); }

  bool number_unsigned(number_unsigned_t number) override {
    if (state_ == State::shape) {
      if (entry_.shape.size() == Safetensors::max_rank) fail("its shape has more than 32 dimensions");
      if (number > static_cast<std::uint64_t>(Safetensors::max_dimension)) {
        fail("dimension " + std::to_string(number) + " is larger than 2^48 - 1");
      }
      entry_.shape.push_back(static_cast<std::int64_t>(number));
      return true;
    }
    if (state_ == State::offsets) {
      if (offsets_ == 2) fail("its data_offsets have more than 2 numbers");
      (offsets_++ == 0 ? entry_.begin : entry_.end) = number;
      return true;
    }
    return value("a number");
  }

  bool string(string_t& text) override {
    if (state_ == State::metadata) {
      header_.metadata[key_] = text;
      return true;
    }
    if (state_ == State::entry && key_ == "dtype") {
      const auto dtype = dtype_of(text);
      if (!dtype) {
        const bool known = std::find(std::begin(known_but_refused), std::end(known_but_refused), text) !=
                           std::end(known_but_refused);
        fail(known ? "its dtype " + text + " is not supported; convert it to F32"
                   : "its dtype " + in_quotes(text) + " is unknown");
      }
      entry_.dtype = *dtype;
      return true;
    }
    return value("a string");
  }

  bool start_object(std::size_t) override {
    if (state_ == State::start) {
      state_ = State::top;
    } else if (state_ == State::top && key_ == "__metadata__") {
      state_ = State::metadata;
    } else if (state_ == State::top) {
      state_ = State::entry;
      entry_ = {};
      entry_.name = key_;
      offsets_ = 0;
      fields_.clear();
    } else {
      return value("an object");
    }
    return true;
  }

  bool key(string_t& text) override {
    key_ = text;
    if (state_ == State::top && !names_.insert(text).second) {
      throw FileError(name_ + ": the name " + in_quotes(text) + " is there twice");
    }
    if (state_ == State::metadata && header_.metadata.count(text) != 0) {
      throw FileError(name_ + ": __metadata__ has the key " + in_quotes(text) + " twice");
    }
    if (state_ == State::entry) {
      if (text != "dtype" && text != "shape" && text != "data_offsets")
        fail("it has an unknown field " + in_quotes(text));
      if (!fields_.insert(text).second) fail("its field " + text + " is there twice");
    }
    return true;
  }

  bool end_object() override {
    if (state_ == State::entry) {
      for (const char* field : {"dtype", "shape", "data_offsets"}) {
        if (fields_.count(field) == 0) fail(std::string("its field ") + field + " is missing");
      }
      check_size();
      header_.entries.push_back(std::move(entry_));
    }
    state_ = state_ == State::top ? State::done : State::top;
    return true;
  }

  bool start_array(std::size_t) override {
    if (state_ == State::entry && key_ == "shape") {
      state_ = State::shape;
    } else if (state_ == State::entry && key_ == "data_offsets") {
      state_ = State::offsets;
    } else {
      return value("an array");
    }
    return true;
  }

  bool end_array() override {
    if (state_ == State::offsets && offsets_ != 2)
      fail("its data_offsets have " + std::to_string(offsets_) + " numbers, not 2");
    state_ = State::entry;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception& e) override {
    // "[json.exception.parse_error.101] parse error at line 1, column 5: ..." without what only its makers
    // need.
    std::string text = e.what();
    text.erase(0, std::min(text.find("] ") + 2, text.size()));
    if (text.starts_with("parse error at")) text.erase(0, std::min(text.find(": ") + 2, text.size()));
    text = text.substr(0, 300);
    // It quotes the file, which may hold anything.
    for (char& c : text) c = c >= 0x20 && c < 0x7F ? c : '?';
    throw FileError(name_ + ": byte " + std::to_string(json_at_ + (position > 0 ? position - 1 : 0)) +
                    ": the header is not JSON: " + text);
  }

 private:
  enum class State { start, top, metadata, entry, shape, offsets, done };

  // A value of a kind that does not belong here.
  bool value(const std::string& what) const {
    switch (state_) {
      case State::start:
        throw FileError(name_ + ": the header is " + what + ", not an object");
      case State::metadata:
        throw FileError(name_ + ": __metadata__ has " + what + " under " + in_quotes(key_) +
                        ", not a string");
      case State::top:
        if (key_ == "__metadata__") throw FileError(name_ + ": __metadata__ is " + what + ", not an object");
        throw FileError(name_ + ": tensor " + in_quotes(key_) + ": it is " + what + ", not an object");
      case State::shape:
        fail("its shape holds " + what + "; sizes are whole numbers");
      case State::offsets:
        fail("its data_offsets hold " + what + "; offsets are whole numbers");
      default:
        fail("its field " + key_ + " is " + what);
    }
  }

  [[noreturn]] void fail(const std::string& reason) const {
    throw FileError(name_ + ": tensor " + in_quotes(entry_.name) + ": " + reason);
  }

  void check_size() const {
    std::uint64_t bytes = size_of(entry_.dtype);
    for (const std::int64_t n : entry_.shape) {
      // Also if a 0 comes later: nobody writes such a shape, and other readers overflow on it.
      if (__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(n), &bytes))
        fail("its shape multiplies to more than 2^64 bytes");
    }
    if (entry_.end < entry_.begin) fail("its data_offsets run backwards");
    if (entry_.end - entry_.begin != bytes) {
      fail("its data_offsets span " + std::to_string(entry_.end - entry_.begin) +
           " bytes, its shape and dtype need " + std::to_string(bytes));
    }
  }

  SafetensorsHeader& header_;
  const std::string& name_;
  std::size_t json_at_;
  State state_ = State::start;
  std::string key_;
  SafetensorsEntry entry_;
  int offsets_ = 0;
  std::set<std::string> fields_;
  std::set<std::string> names_;
};

}  // namespace

std::string in_quotes(const std::string& text) {
  constexpr std::size_t most = 80;
  return nlohmann::json(text.substr(0, most)).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) +
         (text.size() > most ? "... (" + std::to_string(text.size()) + " bytes)" : "");
}

SafetensorsHeader parse_safetensors_header(std::string_view json, const std::string& name,
                                           std::size_t json_at) {
  // The parser would skip a byte order mark.
  if (json.starts_with("\xEF\xBB\xBF"))
    throw FileError(name + ": byte " + std::to_string(json_at) +
                    ": the header starts with a byte order mark");
  // And it takes a NUL for the end of the text, whatever follows.
  if (const std::size_t nul = json.find('\0'); nul != std::string_view::npos)
    throw FileError(name + ": byte " + std::to_string(json_at + nul) +
                    ": the header is not JSON: it holds a NUL");
  SafetensorsHeader header;
  Reader reader(header, name, json_at);
  nlohmann::json::sax_parse(json.begin(), json.end(), &reader, nlohmann::json::input_format_t::json, true);
  return header;
}

}  // namespace reel::nn
