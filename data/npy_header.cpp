#include "data/npy_header.h"

#include <algorithm>
#include <iterator>
#include <string_view>

#include "data/error.h"

namespace reel::data {
namespace {

constexpr std::string_view magic = "\x93NUMPY";
constexpr std::size_t max_rank = 32;  // as in NumPy 1

[[noreturn]] void fail(const std::string& name, std::size_t at, const std::string& reason) {
  throw DataError(name + ": byte " + std::to_string(at) + ": " + reason);
}

std::string shown(std::string_view text) {
  std::string result;
  for (const char c : text.substr(0, 40)) result += c >= 0x20 && c < 0x7F ? c : '?';
  return "'" + result + (text.size() > 40 ? "...'" : "'");
}

struct Known {
  std::string_view code;
  NpyType type;
};
constexpr Known known[] = {{"b1", NpyType::boolean}, {"u1", NpyType::u8},  {"i1", NpyType::i8},
                           {"u2", NpyType::u16},     {"i2", NpyType::i16}, {"u4", NpyType::u32},
                           {"i4", NpyType::i32},     {"u8", NpyType::u64}, {"i8", NpyType::i64},
                           {"f2", NpyType::f16},     {"f4", NpyType::f32}, {"f8", NpyType::f64}};

// What a type that is not read is called, so that the message can say more than "unknown".
std::string refusal(std::string_view descr) {
  const std::string_view code = descr.substr(std::min<std::size_t>(descr.size(), 1));
  const char kind = code.empty() ? '\0' : code[0];
  const bool sized = code.size() > 1 &&
                     std::all_of(code.begin() + 1, code.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (kind == 'O') return " is an array of Python objects; convert it to numbers";
  if (kind == 'U' || kind == 'S' || kind == 'a') return " is an array of texts; convert it to numbers";
  if (kind == 'V') return " is an array of records; save one array for each field";
  if (kind == 'c' && sized) return " is complex; save the real and the imaginary part";
  if (kind == 'M' || kind == 'm') return " is an array of dates; convert it to numbers";
  if (code == "f16" || code == "f12") return " is long double; convert it with astype('<f8')";
  return " is unknown";
}

// The dictionary of the header: Python's notation, of which only what NumPy writes is read.
class Reader {
 public:
  Reader(std::string_view text, std::size_t at, const std::string& name, NpyHeader& header)
      : text_(text), base_(at), name_(name), header_(header) {}

  void read() {
    skip_spaces();
    if (at_ == text_.size() || text_[at_] != '{') error("the header is not a dictionary");
    ++at_;
    skip_spaces();
    while (!take('}')) {
      entry();
      skip_spaces();
      if (take(',')) {
        skip_spaces();
      } else if (at_ < text_.size() && text_[at_] != '}') {
        error("a comma or } is expected in the header");
      }
    }
    skip_spaces();
    if (at_ != text_.size()) error("text follows the header's dictionary");
    if (!has_descr_) error("the header has no 'descr'");
    if (!has_order_) error("the header has no 'fortran_order'");
    if (!has_shape_) error("the header has no 'shape'");
  }

 private:
  void entry() {
    const std::size_t start = at_;
    const std::string_view key = string("a key");
    bool& seen = key == "descr"           ? has_descr_
                 : key == "fortran_order" ? has_order_
                 : key == "shape"         ? has_shape_
                                          : unknown_;
    if (key != "descr" && key != "fortran_order" && key != "shape")
      fail(name_, base_ + start, "the header has an unknown key " + shown(key));
    if (seen) fail(name_, base_ + start, "the header has the key " + shown(key) + " twice");
    seen = true;
    skip_spaces();
    if (!take(':')) error("a colon is expected after " + shown(key));
    skip_spaces();
    if (key == "descr") {
      descr();
    } else if (key == "fortran_order") {
      order();
    } else {
      shape();
    }
  }

  std::string_view string(const char* what) {
    if (at_ == text_.size()) error("the header's dictionary is not closed");
    const char quote = text_[at_];
    if (quote != '\'' && quote != '"') error(std::string(what) + " of the header is not a text in quotes");
    const std::size_t start = at_ + 1;
    std::size_t end = start;
    while (end < text_.size() && text_[end] != quote) {
      if (text_[end] == '\\') error(std::string(what) + " of the header has an escape in it");
      ++end;
    }
    if (end == text_.size()) error("a quote in the header is not closed");
    at_ = end + 1;
    return text_.substr(start, end - start);
  }

  void descr() {
    const std::size_t start = at_;
    if (at_ < text_.size() && text_[at_] == '[')
      error("'descr' is a list: an array of records; save one array for each field");
    const std::string_view text = string("'descr'");
    const std::string_view code = text.substr(std::min<std::size_t>(text.size(), 1));
    const auto* found =
        std::find_if(std::begin(known), std::end(known), [&](const Known& k) { return k.code == code; });
    const char order = text.empty() ? '\0' : text[0];
    if (found == std::end(known) || (order != '<' && order != '>' && order != '|' && order != '='))
      fail(name_, base_ + start, "the type " + shown(text) + refusal(text));
    header_.type = found->type;
    header_.big_endian = order == '>';
    if (size_of(header_.type) > 1 && order != '<' && order != '>')
      fail(name_, base_ + start,
           "the type " + shown(text) + " does not say its byte order; < or > is expected");
  }

  void order() {
    if (take_word("True")) {
      header_.fortran_order = true;
    } else if (take_word("False")) {
      header_.fortran_order = false;
    } else {
      error("'fortran_order' is neither True nor False");
    }
  }

  void shape() {
    if (!take('(')) error("'shape' is not a tuple");
    bool comma = false;
    skip_spaces();
    while (!take(')')) {
      if (header_.shape.size() == max_rank) error("'shape' has more than 32 sizes");
      header_.shape.push_back(size());
      skip_spaces();
      if (take(',')) {
        comma = true;
        skip_spaces();
      } else if (at_ < text_.size() && text_[at_] != ')') {
        error("a size in 'shape' is not a whole number");
      }
    }
    if (header_.shape.size() == 1 && !comma) error("'shape' is a number in brackets, not a tuple");
  }

  std::int64_t size() {
    const std::size_t start = at_;
    std::int64_t value = 0;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') {
      if (__builtin_mul_overflow(value, std::int64_t{10}, &value) ||
          __builtin_add_overflow(value, std::int64_t{text_[at_] - '0'}, &value)) {
        error("a size in 'shape' is larger than 2^63 - 1");
      }
      ++at_;
    }
    if (at_ == text_.size()) error("the header's dictionary is not closed");
    if (start == at_ && text_[at_] == '-') error("a size in 'shape' is negative");
    if (start == at_) error("a size in 'shape' is not a whole number");
    if (at_ - start > 1 && text_[start] == '0') error("a size in 'shape' starts with 0");
    return value;
  }

  bool take(char c) {
    if (at_ == text_.size()) {
      if (c == '}' || c == ')') error("the header's dictionary is not closed");
      return false;
    }
    if (text_[at_] != c) return false;
    ++at_;
    return true;
  }

  bool take_word(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  void skip_spaces() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t')) ++at_;
  }

  [[noreturn]] void error(const std::string& reason) const { fail(name_, base_ + at_, reason); }

  std::string_view text_;
  std::size_t base_;
  const std::string& name_;
  NpyHeader& header_;
  std::size_t at_ = 0;
  bool has_descr_ = false;
  bool has_order_ = false;
  bool has_shape_ = false;
  bool unknown_ = false;
};

// Checks the first bytes; returns the major version.
unsigned version_of(std::string_view text, const std::string& name) {
  if (text.substr(0, magic.size()) != magic) {
    if (text.starts_with("PK")) fail(name, 0, "this is a zip archive, as NPZ files are; read it as NPZ");
    if (text.starts_with("\x80") && text.size() > 1 && text[1] <= 5)
      fail(name, 0, "this is a Python pickle, which is not read; save the array with numpy.save");
    if (text.size() < magic.size() && magic.starts_with(text))
      fail(name, text.size(), "the file ends inside the 6 bytes that start an NPY file");
    fail(name, 0, "this is no NPY file: it does not start with \\x93NUMPY");
  }
  if (text.size() < magic.size() + 2) fail(name, text.size(), "the file ends inside its version");
  const unsigned major = static_cast<unsigned char>(text[6]);
  const unsigned minor = static_cast<unsigned char>(text[7]);
  if (major < 1 || major > 3 || minor != 0) {
    fail(name, 6,
         "version " + std::to_string(major) + "." + std::to_string(minor) +
             " is unknown; 1.0, 2.0 and 3.0 are read");
  }
  return major;
}

}  // namespace

NpyHeader parse_npy_header(std::span<const std::byte> file, const std::string& name) {
  const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
  const std::size_t width = version_of(text, name) == 1 ? 2 : 4;
  const std::size_t length_at = magic.size() + 2;
  if (text.size() < length_at + width) fail(name, text.size(), "the file ends inside its header's length");
  std::size_t length = 0;
  for (std::size_t i = width; i-- > 0;)
    length = length << 8 | static_cast<unsigned char>(text[length_at + i]);
  const std::size_t dictionary_at = length_at + width;
  if (length == 0) fail(name, length_at, "the header has length 0");
  if (length > text.size() - dictionary_at) {
    fail(name, length_at,
         "the header claims " + std::to_string(length) + " bytes, " +
             std::to_string(text.size() - dictionary_at) + " follow");
  }
  NpyHeader header;
  Reader(text.substr(dictionary_at, length), dictionary_at, name, header).read();
  header.data_at = dictionary_at + length;

  std::uint64_t bytes = size_of(header.type);
  for (const std::int64_t n : header.shape) {
    // Also if a 0 comes later: nobody writes such a shape, and other readers overflow on it.
    if (__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(n), &bytes))
      fail(name, dictionary_at, "the shape multiplies to more than 2^64 bytes");
  }
  header.bytes = bytes;
  const std::size_t follow = text.size() - header.data_at;
  if (follow != header.bytes) {
    fail(name, header.data_at,
         "shape and type need " + std::to_string(header.bytes) + " bytes of data, " + std::to_string(follow) +
             " follow");
  }
  return header;
}

}  // namespace reel::data
