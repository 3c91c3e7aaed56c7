#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace reel::data {

/// The element types of NPY files that Reel reads.
enum class NpyType : std::uint8_t { boolean, u8, i8, u16, i16, u32, i32, u64, i64, f16, f32, f64 };

/// Bytes per element.
std::size_t size_of(NpyType type);

/// NumPy's name, as "float32".
std::string_view name_of(NpyType type);

/// A NumPy array, brought to little-endian C order.
struct NpyArray {
  NpyType type = NpyType::f32;
  std::vector<std::int64_t> shape;  // empty for a scalar
  std::vector<std::byte> bytes;
  std::string name;  // where it came from, for error messages

  /// The number of elements: the product of the shape, 1 for a scalar.
  std::size_t count() const { return bytes.size() / size_of(type); }

  /// The values as float, rounded to nearest where float cannot hold them; NaN payloads of float32 are kept.
  std::vector<float> to_floats() const;

  /// The values as double, rounded to nearest where double cannot hold them (integers over 2^53).
  std::vector<double> to_doubles() const;

  /// The values of an integer or bool array, exactly. Throws DataError for floats and for a uint64 over 2^63
  /// - 1, naming its index.
  std::vector<std::int64_t> to_integers() const;
};

/// Reads the bytes of an NPY file, versions 1.0, 2.0 and 3.0, either byte order, C or Fortran order.
/// Throws DataError `name: byte N: reason`; the number of bytes must be exactly what the header describes.
/// Source: NumPy Enhancement Proposal 1.
NpyArray parse_npy(std::span<const std::byte> file, const std::string& name);

/// Reads an NPY file. Throws IoError when it cannot be read, DataError as parse_npy does.
NpyArray read_npy(const std::filesystem::path& path);

/// The bytes of an NPY file, version 1.0 (2.0 when the header is long), C order, little-endian.
/// Throws std::invalid_argument when the shape does not fit the number of values.
std::string npy_bytes(std::span<const std::int64_t> shape, std::span<const float> values);
std::string npy_bytes(std::span<const std::int64_t> shape, std::span<const std::int32_t> values);
std::string npy_bytes(std::span<const std::int64_t> shape, std::span<const std::int64_t> values);

/// Writes an NPY file. Throws IoError, and std::invalid_argument as npy_bytes does.
void write_npy(const std::filesystem::path& path, std::span<const std::int64_t> shape,
               std::span<const float> values);
void write_npy(const std::filesystem::path& path, std::span<const std::int64_t> shape,
               std::span<const std::int32_t> values);
void write_npy(const std::filesystem::path& path, std::span<const std::int64_t> shape,
               std::span<const std::int64_t> values);

}  // namespace reel::data
