#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/npy.h"

namespace reel::data {

/// What stands before the data of an NPY file.
struct NpyHeader {
  NpyType type = NpyType::f32;
  bool big_endian = false;
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
  std::size_t data_at = 0;  // of the first byte of the data
  std::uint64_t bytes = 0;  // of the data: the product of the shape times the width
};

/// Reads it; nothing of its size is allocated. Throws DataError `name: byte N: reason`.
NpyHeader parse_npy_header(std::span<const std::byte> file, const std::string& name);

}  // namespace reel::data
