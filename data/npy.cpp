#include "data/npy.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "data/error.h"
#include "data/file.h"
#include "data/npy_header.h"
#include "kernels/half.h"

namespace reel::data {
namespace {

static_assert(std::endian::native == std::endian::little, "values are copied as they stand in the file");

// Calls body(i, value) with every element in its own type.
template <class T, class Body>
void each_of(const NpyArray& array, Body body) {
  for (std::size_t i = 0; i < array.count(); ++i) {
    T value;
    std::memcpy(&value, array.bytes.data() + i * sizeof(T), sizeof(T));
    body(i, value);
  }
}

template <class Body>
void each(const NpyArray& array, Body body) {
  switch (array.type) {
    case NpyType::boolean:
    case NpyType::u8:
      return each_of<std::uint8_t>(array, body);
    case NpyType::i8:
      return each_of<std::int8_t>(array, body);
    case NpyType::u16:
      return each_of<std::uint16_t>(array, body);
    case NpyType::i16:
      return each_of<std::int16_t>(array, body);
    case NpyType::u32:
      return each_of<std::uint32_t>(array, body);
    case NpyType::i32:
      return each_of<std::int32_t>(array, body);
    case NpyType::u64:
      return each_of<std::uint64_t>(array, body);
    case NpyType::i64:
      return each_of<std::int64_t>(array, body);
    case NpyType::f16:
      return each_of<std::uint16_t>(
          array, [&](std::size_t i, std::uint16_t v) { body(i, kernels::half_to_float(v)); });
    case NpyType::f32:
      return each_of<float>(array, body);
    case NpyType::f64:
      return each_of<double>(array, body);
  }
}

// Copies elements of `width` bytes from Fortran order to C order.
void to_c_order(const std::byte* from, std::vector<std::byte>& to, const std::vector<std::int64_t>& shape,
                std::size_t width) {
  const std::size_t rank = shape.size();
  std::vector<std::size_t> stride(rank, 1);  // in the file, in elements: the first index runs fastest
  for (std::size_t d = 1; d < rank; ++d) stride[d] = stride[d - 1] * static_cast<std::size_t>(shape[d - 1]);
  std::vector<std::int64_t> index(rank, 0);
  std::size_t source = 0;
  for (std::size_t at = 0; at < to.size(); at += width) {
    std::memcpy(to.data() + at, from + source * width, width);
    for (std::size_t d = rank; d-- > 0;) {
      source += stride[d];
      if (++index[d] < shape[d]) break;
      source -= stride[d] * static_cast<std::size_t>(shape[d]);
      index[d] = 0;
    }
  }
}

}  // namespace

std::size_t size_of(NpyType type) {
  switch (type) {
    case NpyType::boolean:
    case NpyType::u8:
    case NpyType::i8:
      return 1;
    case NpyType::u16:
    case NpyType::i16:
    case NpyType::f16:
      return 2;
    case NpyType::u32:
    case NpyType::i32:
    case NpyType::f32:
      return 4;
    default:
      return 8;
  }
}

std::string_view name_of(NpyType type) {
  constexpr std::string_view names[] = {"bool",  "uint8",  "int8",  "uint16",  "int16",   "uint32",
                                        "int32", "uint64", "int64", "float16", "float32", "float64"};
  return names[static_cast<std::size_t>(type)];
}

std::vector<float> NpyArray::to_floats() const {
  std::vector<float> values(count());
  if (type == NpyType::f32) {  // the bits as they are, also of a NaN
    if (!values.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
  each(*this, [&](std::size_t i, auto v) { values[i] = static_cast<float>(v); });
  return values;
}

std::vector<double> NpyArray::to_doubles() const {
  std::vector<double> values(count());
  each(*this, [&](std::size_t i, auto v) { values[i] = static_cast<double>(v); });
  return values;
}

std::vector<std::int64_t> NpyArray::to_integers() const {
  if (type == NpyType::f16 || type == NpyType::f32 || type == NpyType::f64) {
    throw DataError(name + ": its type is " + std::string(name_of(type)) +
                    "; whole numbers are needed, as astype('<i8') gives them");
  }
  std::vector<std::int64_t> values(count());
  each(*this, [&](std::size_t i, auto v) {
    if (type == NpyType::u64 &&
        static_cast<std::uint64_t>(v) > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) {
      throw DataError(name + ": element " + std::to_string(i) + " is larger than 2^63 - 1");
    }
    values[i] = static_cast<std::int64_t>(v);
  });
  return values;
}

NpyArray parse_npy(std::span<const std::byte> file, const std::string& name) {
  NpyHeader header = parse_npy_header(file, name);
  NpyArray array;
  array.type = header.type;
  array.shape = std::move(header.shape);
  array.name = name;
  const std::span<const std::byte> data = file.subspan(header.data_at);
  const std::size_t width = size_of(array.type);
  if (header.fortran_order && array.shape.size() > 1) {
    array.bytes.resize(data.size());
    to_c_order(data.data(), array.bytes, array.shape, width);
  } else {
    array.bytes.assign(data.begin(), data.end());
  }
  if (header.big_endian && width > 1) {
    for (std::size_t at = 0; at < array.bytes.size(); at += width)
      std::reverse(array.bytes.data() + at, array.bytes.data() + at + width);
  }
  if (array.type == NpyType::boolean) {
    for (std::size_t i = 0; i < array.bytes.size(); ++i) {
      if (array.bytes[i] > std::byte{1})
        throw DataError(name + ": element " + std::to_string(i) + " of a bool array is neither 0 nor 1");
    }
  }
  return array;
}

NpyArray read_npy(const std::filesystem::path& path) {
  const std::string file = read_file(path);
  return parse_npy(std::as_bytes(std::span<const char>(file)), printable(path));
}

}  // namespace reel::data
