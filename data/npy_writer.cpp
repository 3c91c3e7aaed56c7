#include <algorithm>
#include <stdexcept>

#include "data/file.h"
#include "data/npy.h"

namespace reel::data {
namespace {

std::string tuple_of(std::span<const std::int64_t> shape) {
  std::string text;
  for (const std::int64_t n : shape) text += (text.empty() ? "" : ", ") + std::to_string(n);
  return "(" + text + (shape.size() == 1 ? ",)" : ")");
}

std::string little_endian(std::size_t value, std::size_t width) {
  std::string bytes;
  for (std::size_t i = 0; i < width; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xFF);
  return bytes;
}

template <class T>
std::string file_of(const char* descr, std::span<const std::int64_t> shape, std::span<const T> values) {
  const bool empty = std::find(shape.begin(), shape.end(), 0) != shape.end();
  std::uint64_t count = empty ? 0 : 1;
  bool fits = shape.size() <= 32;
  for (const std::int64_t n : shape)
    fits = fits && n >= 0 && !__builtin_mul_overflow(count, static_cast<std::uint64_t>(n), &count);
  if (!fits || count != values.size()) {
    throw std::invalid_argument("npy: " + std::to_string(values.size()) + " values do not fit the shape " +
                                tuple_of(shape));
  }
  // The data starts at a multiple of 64 bytes, as NumPy writes it.
  const std::string dictionary =
      std::string("{'descr': '") + descr + "', 'fortran_order': False, 'shape': " + tuple_of(shape) + ", }";
  std::size_t width = 2;
  const auto padded = [&] {
    const std::size_t total = 8 + width + dictionary.size() + 1;
    return dictionary.size() + 1 + (64 - total % 64) % 64;
  };
  if (padded() > 0xFFFF) width = 4;
  std::string file = "\x93NUMPY";
  file += width == 2 ? '\1' : '\2';
  file += '\0';
  file += little_endian(padded(), width);
  file += dictionary;
  file.append(padded() - dictionary.size() - 1, ' ');
  file += '\n';
  if (!values.empty()) file.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
  return file;
}

}  // namespace

std::string npy_bytes(std::span<const std::int64_t> shape, std::span<const float> values) {
  return file_of("<f4", shape, values);
}

std::string npy_bytes(std::span<const std::int64_t> shape, std::span<const std::int32_t> values) {
  return file_of("<i4", shape, values);
}

std::string npy_bytes(std::span<const std::int64_t> shape, std::span<const std::int64_t> values) {
  return file_of("<i8", shape, values);
}

void write_npy(const std::filesystem::path& path, std::span<const std::int64_t> shape,
               std::span<const float> values) {
  write_file(path, npy_bytes(shape, values));
}

void write_npy(const std::filesystem::path& path, std::span<const std::int64_t> shape,
               std::span<const std::int32_t> values) {
  write_file(path, npy_bytes(shape, values));
}

void write_npy(const std::filesystem::path& path, std::span<const std::int64_t> shape,
               std::span<const std::int64_t> values) {
  write_file(path, npy_bytes(shape, values));
}

}  // namespace reel::data
