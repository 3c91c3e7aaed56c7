#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace reel::nn {

/// The element types that Reel reads; F8, F6, F4 and C64 exist in the format and are refused by name.
enum class Dtype : std::uint8_t { boolean, u8, i8, u16, i16, u32, i32, u64, i64, f16, bf16, f32, f64 };

/// Bytes per element.
std::size_t size_of(Dtype dtype);

/// The name in a file, as "F32".
std::string_view name_of(Dtype dtype);

template <typename T>
struct DtypeOf;
// clang-format off
template <> struct DtypeOf<std::uint8_t> { static constexpr Dtype value = Dtype::u8; };
template <> struct DtypeOf<std::int8_t> { static constexpr Dtype value = Dtype::i8; };
template <> struct DtypeOf<std::uint16_t> { static constexpr Dtype value = Dtype::u16; };
template <> struct DtypeOf<std::int16_t> { static constexpr Dtype value = Dtype::i16; };
template <> struct DtypeOf<std::uint32_t> { static constexpr Dtype value = Dtype::u32; };
template <> struct DtypeOf<std::int32_t> { static constexpr Dtype value = Dtype::i32; };
template <> struct DtypeOf<std::uint64_t> { static constexpr Dtype value = Dtype::u64; };
template <> struct DtypeOf<std::int64_t> { static constexpr Dtype value = Dtype::i64; };
template <> struct DtypeOf<float> { static constexpr Dtype value = Dtype::f32; };
template <> struct DtypeOf<double> { static constexpr Dtype value = Dtype::f64; };
// clang-format on

/// One tensor of a safetensors file; `bytes` points into the Safetensors that it came from.
struct SafetensorsEntry {
  std::string name;
  Dtype dtype = Dtype::f32;
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;  // offsets into the data section
  std::uint64_t end = 0;
  std::span<const std::byte> bytes;  // little-endian, row-major, any alignment

  /// The number of elements: the product of the shape, 1 for a scalar.
  std::size_t count() const { return bytes.size() / size_of(dtype); }
};

struct SafetensorsHeader;  // of safetensors_header.h

/// A safetensors file in memory, checked completely: every byte is claimed by exactly one tensor.
/// Format: u64 header length N, N bytes of JSON {name: {dtype, shape, data_offsets}, "__metadata__": {..}},
/// data. https://github.com/huggingface/safetensors
class Safetensors {
 public:
  static constexpr std::uint64_t max_header = 100'000'000;        // bytes, as in the reference implementation
  static constexpr std::int64_t max_dimension = (1LL << 48) - 1;  // as in the format's JSON schema
  static constexpr std::size_t max_rank = 32;

  /// Reads `file`; `name` stands in front of error messages. Throws FileError `name: byte N: reason` or
  /// `name: tensor "..": reason`.
  static Safetensors parse(std::vector<std::byte> file, const std::string& name);

  /// Reads the file at `path`; memory for the data is taken only after the header fits the file's real size.
  /// Throws IoError when it cannot be read or is not a regular file, FileError as parse does.
  static Safetensors read(const std::filesystem::path& path);

  Safetensors(Safetensors&&) noexcept = default;
  Safetensors& operator=(Safetensors&&) noexcept = default;
  Safetensors(const Safetensors&) = delete;
  Safetensors& operator=(const Safetensors&) = delete;

  /// The tensors, sorted by name.
  const std::vector<SafetensorsEntry>& entries() const { return entries_; }

  /// The tensor `name`, or nullptr.
  const SafetensorsEntry* find(std::string_view name) const;

  /// The tensor `name`. Throws FileError naming it when it is not there.
  const SafetensorsEntry& at(std::string_view name) const;

  /// The strings of "__metadata__", sorted by key; empty when there are none.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  /// The name given to parse, or the path given to read: for error messages.
  const std::string& name() const { return name_; }

  /// The bytes of the file.
  std::span<const std::byte> file() const { return file_; }

  /// The values as float: F32, F16 and BF16 exactly (NaN payloads kept), F64 rounded to nearest.
  /// Throws FileError naming the tensor for other types.
  std::vector<float> to_floats(const SafetensorsEntry& entry) const;

  /// The values as double: F64, F32, F16 and BF16 exactly. Throws FileError naming the tensor for other
  /// types.
  std::vector<double> to_doubles(const SafetensorsEntry& entry) const;

  /// The values as they stand. Throws FileError naming the tensor when its dtype is not that of T.
  template <typename T>
  std::vector<T> values(const SafetensorsEntry& entry) const {
    require_dtype(entry, DtypeOf<T>::value);
    std::vector<T> result(entry.count());
    if (!result.empty()) std::memcpy(result.data(), entry.bytes.data(), entry.bytes.size());
    return result;
  }

 private:
  Safetensors(const std::string& name, SafetensorsHeader header, std::vector<std::byte> file,
              std::size_t data_at);
  void require_dtype(const SafetensorsEntry& entry, Dtype dtype) const;

  std::string name_;
  std::vector<std::byte> file_;
  std::vector<SafetensorsEntry> entries_;
  std::map<std::string, std::string> metadata_;
};

/// Collects tensors and writes them as a safetensors file; the same content gives the same bytes, in whatever
/// order it was added. Keys are sorted, the header is padded with spaces to 8 bytes, wider types come first
/// in the data.
class SafetensorsWriter {
 public:
  /// Adds a tensor; the bytes are copied. Throws std::invalid_argument when the name is taken, is
  /// "__metadata__" or is not UTF-8, when the shape is not one the reader accepts, or when the number of
  /// bytes does not fit the shape.
  void add(std::string name, Dtype dtype, std::span<const std::int64_t> shape,
           std::span<const std::byte> bytes);

  /// The same for values of a C++ type.
  template <typename T>
  void add(std::string name, std::span<const std::int64_t> shape, std::span<const T> values) {
    add(std::move(name), DtypeOf<T>::value, shape, std::as_bytes(values));
  }

  /// Adds a string to "__metadata__". Throws std::invalid_argument when the key is taken or either is not
  /// UTF-8.
  void metadata(std::string key, std::string value);

  /// The file's bytes.
  std::string bytes() const;

  /// Writes the file with write_file_atomically. Throws IoError.
  void write(const std::filesystem::path& path) const;

 private:
  struct Item {
    Dtype dtype;
    std::vector<std::int64_t> shape;
    std::string bytes;
  };
  using Items = std::map<std::string, Item>;
  std::vector<const Items::value_type*> data_order() const;
  std::string header() const;

  Items items_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace reel::nn
