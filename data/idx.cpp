#include "data/idx.h"

#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <new>

#include "data/error.h"
#include "data/file.h"
#include "data/packed.h"

namespace reel::data {
namespace {

using namespace std::string_view_literals;

constexpr std::size_t most_dimensions = 8;

std::size_t size_of(IdxType type) {
  switch (type) {
    case IdxType::u8:
    case IdxType::i8:
      return 1;
    case IdxType::i16:
      return 2;
    case IdxType::i32:
    case IdxType::f32:
      return 4;
    case IdxType::f64:
      return 8;
  }
  return 0;
}

[[noreturn]] void fail(const std::string& name, const std::string& reason) {
  throw DataError(name + ": " + reason);
}

bool is_gzip(std::string_view file) { return file.starts_with("\x1F\x8B"); }

// Where bytes come from, plain or through zlib.
class Source {
 public:
  Source(std::string_view file, const std::string& name) : file_(file), name_(name) {
    packed_ = is_gzip(file);
    if (!packed_) return;
    // 16 asks for the gzip format.
    if (inflateInit2(&stream_, 15 + 16) != Z_OK) throw std::bad_alloc();
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(file.data()));
  }
  ~Source() {
    if (packed_) inflateEnd(&stream_);
  }
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  // Reads up to `wanted` bytes.
  std::size_t read(char* to, std::size_t wanted) {
    if (!packed_) {
      const std::size_t got = std::min(wanted, file_.size() - at_);
      if (got != 0) std::memcpy(to, file_.data() + at_, got);
      at_ += got;
      return got;
    }
    std::size_t done = 0;
    while (done < wanted && !ended_) {
      constexpr std::size_t most = 1 << 30;
      if (stream_.avail_in == 0) stream_.avail_in = static_cast<uInt>(std::min(unread().size(), most));
      const auto room = static_cast<uInt>(std::min(wanted - done, most));
      stream_.next_out = reinterpret_cast<Bytef*>(to + done);
      stream_.avail_out = room;
      const int status = inflate(&stream_, Z_NO_FLUSH);
      done += room - stream_.avail_out;
      if (status == Z_STREAM_END) {
        // What `cat a.gz b.gz` makes is one file to gzip, too.
        ended_ = !is_gzip(unread());
        if (!ended_) inflateReset(&stream_);
      } else if (status == Z_MEM_ERROR) {
        throw std::bad_alloc();
      } else if (status == Z_BUF_ERROR) {
        fail(name_, "the gzip data ends too early");
      } else if (status != Z_OK) {
        fail(name_,
             std::string("the gzip data is damaged: ") + (stream_.msg != nullptr ? stream_.msg : "invalid"));
      }
    }
    return done;
  }

  // Nothing may follow.
  void finish() {
    char more = 0;
    if (read(&more, 1) != 0) fail(name_, "it is longer than its header says");
    if (packed_ && !unread().empty())
      fail(name_, std::to_string(unread().size()) + " bytes follow the gzip data");
  }

  bool packed() const { return packed_; }
  // What the data cannot exceed: deflate makes at most 1032 bytes of one.
  std::uint64_t most() const {
    return packed_ ? 1032 * static_cast<std::uint64_t>(file_.size()) : file_.size();
  }

 private:
  // What zlib has not taken yet.
  std::string_view unread() const {
    return file_.substr(
        static_cast<std::size_t>(reinterpret_cast<const char*>(stream_.next_in) - file_.data()));
  }

  std::string_view file_;
  const std::string& name_;
  bool packed_ = false;
  bool ended_ = false;
  std::size_t at_ = 0;
  z_stream stream_{};
};

template <class Integer>
Integer big_endian(const char* bytes) {
  std::make_unsigned_t<Integer> value = 0;
  for (std::size_t i = 0; i < sizeof(Integer); ++i) {
    value = static_cast<std::make_unsigned_t<Integer>>(value << (sizeof(Integer) > 1 ? 8 : 0)) |
            static_cast<std::make_unsigned_t<Integer>>(static_cast<unsigned char>(bytes[i]));
  }
  return std::bit_cast<Integer>(value);
}

// A double holds numbers of every type as they are.
double number_of(const IdxArray& array, std::size_t i) {
  const char* at = array.bytes.data() + i * size_of(array.type);
  switch (array.type) {
    case IdxType::u8:
      return static_cast<unsigned char>(*at);
    case IdxType::i8:
      return static_cast<signed char>(*at);
    case IdxType::i16:
      return big_endian<std::int16_t>(at);
    case IdxType::i32:
      return big_endian<std::int32_t>(at);
    case IdxType::f32:
      return std::bit_cast<float>(big_endian<std::int32_t>(at));
    case IdxType::f64:
      return std::bit_cast<double>(big_endian<std::int64_t>(at));
  }
  return 0;
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (const std::int64_t n : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(n);
  return text + "]";
}

}  // namespace

bool looks_like_idx(std::string_view file) { return is_gzip(file) || file.starts_with("\0\0"sv); }

bool is_gzip_of_other(std::string_view file) {
  const std::string no_name;
  Source source(file, no_name);
  if (!source.packed()) return false;
  char head[2];
  try {
    return source.read(head, 2) == 2 && (head[0] != 0 || head[1] != 0);
  } catch (const DataError&) {
    return false;
  }
}

std::int64_t IdxArray::count() const { return static_cast<std::int64_t>(bytes.size() / size_of(type)); }

std::vector<float> IdxArray::to_floats() const {
  std::vector<float> values(static_cast<std::size_t>(count()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(number_of(*this, i));
    if (!std::isfinite(values[i])) fail(name, "number " + std::to_string(i) + " is not finite in 32 bits");
  }
  return values;
}

IdxArray parse_idx(std::string_view file, const std::string& name) {
  Source source(file, name);
  char head[4];
  if (source.read(head, 4) != 4) fail(name, "it ends inside the 4 bytes that start an IDX file");
  const auto type = static_cast<unsigned char>(head[2]);
  const auto dimensions = static_cast<std::size_t>(static_cast<unsigned char>(head[3]));
  if (head[0] != 0 || head[1] != 0) fail(name, "this is no IDX file: the first two bytes are not 0");
  constexpr unsigned char known[] = {0x08, 0x09, 0x0B, 0x0C, 0x0D, 0x0E};
  if (std::find(std::begin(known), std::end(known), type) == std::end(known)) {
    fail(name,
         "element type " + std::to_string(type) + " (byte 2) is unknown; 8, 9, 11, 12, 13 and 14 are known");
  }
  if (dimensions == 0 || dimensions > most_dimensions) {
    fail(name, std::to_string(dimensions) + " dimensions (byte 3); 1 to " + std::to_string(most_dimensions) +
                   " are read");
  }
  IdxArray array;
  array.type = static_cast<IdxType>(type);
  array.name = name;
  std::uint64_t size = size_of(array.type);
  for (std::size_t d = 0; d < dimensions; ++d) {
    char bytes[4];
    if (source.read(bytes, 4) != 4) fail(name, "it ends inside the size of dimension " + std::to_string(d));
    const auto n = std::bit_cast<std::uint32_t>(big_endian<std::int32_t>(bytes));
    if (n == 0) fail(name, "dimension " + std::to_string(d) + " is 0");
    if (__builtin_mul_overflow(size, std::uint64_t{n}, &size))
      fail(name, "its dimensions multiply to more than 2^64 bytes");
    array.shape.push_back(n);
  }
  if (size > source.most()) {
    fail(name, "its header claims " + std::to_string(size) + " bytes of " + shape_text(array.shape) +
                   " numbers, which cannot be in a file of " + std::to_string(file.size()) + " bytes");
  }
  if (source.packed() && is_bomb(size, file.size())) {
    fail(name, "its header claims " + std::to_string(size) + " bytes from " + std::to_string(file.size()) +
                   " packed ones; " + bomb_refused);
  }
  std::size_t got = 0;
  do {
    array.bytes.resize(room_for(size, got));
    got += source.read(array.bytes.data() + got, array.bytes.size() - got);
  } while (got == array.bytes.size() && got != size);
  if (got != size) {
    fail(name, "it holds " + std::to_string(got) + " of the " + std::to_string(size) +
                   " bytes that its header claims");
  }
  source.finish();
  return array;
}

IdxArray read_idx(const std::filesystem::path& path) { return parse_idx(read_file(path), printable(path)); }

Dataset idx_images(const IdxArray& images) {
  if (images.shape.size() < 2)
    fail(images.name, "it has one dimension, as labels have; images have at least two");
  if (std::any_of(images.shape.begin(), images.shape.end(), [](std::int64_t n) { return n < 1; })) {
    fail(images.name,
         "it has shape " + shape_text(images.shape) + "; at least one image of at least one pixel is needed");
  }
  Dataset data;
  data.name = images.name;
  data.count = images.shape[0];
  data.features = images.count() / data.count;
  data.inputs = images.to_floats();
  if (images.type == IdxType::u8) {
    for (float& x : data.inputs) x /= 255;
  }
  return data;
}

Dataset idx_pair(const IdxArray& images, const IdxArray& labels, std::int64_t classes, bool one_class) {
  if (images.shape.size() < 2) {
    fail(images.name,
         "it has one dimension, as labels have; images have at least two. Are the two files swapped?");
  }
  if (labels.shape.size() != 1) {
    fail(labels.name, "it has shape " + shape_text(labels.shape) +
                          "; labels have one dimension. Are the two files swapped?");
  }
  if (images.shape[0] != labels.shape[0]) {
    fail(images.name, std::to_string(images.shape[0]) + " images, but " + std::to_string(labels.shape[0]) +
                          " labels in " + labels.name);
  }
  Dataset data = idx_images(images);
  std::int64_t largest = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(labels.count()); ++i) {
    const double label = number_of(labels, i);
    constexpr double most = 1'000'000;
    if (!(label >= 0) || label != std::floor(label) ||
        label >= (classes > 0 ? static_cast<double>(classes) : most)) {
      fail(labels.name, "label " + short_number(label) + " of image " + std::to_string(i) + " is no class" +
                            (classes > 0 ? "; classes run from 0 to " + std::to_string(classes - 1) : ""));
    }
    data.labels.push_back(static_cast<std::int32_t>(label));
    largest = std::max(largest, static_cast<std::int64_t>(label));
  }
  data.class_names = numbered_classes(classes > 0 ? classes : largest + 1);
  data.check();
  if (classes == 0 && !one_class && data.has_one_class())
    fail(labels.name, "every image has the same class; there is nothing to tell apart");
  return data;
}

}  // namespace reel::data
