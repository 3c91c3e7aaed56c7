#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "data/dataset.h"

namespace reel::data {

/// The element types of IDX files, as the third byte of the file names them.
enum class IdxType : std::uint8_t { u8 = 0x08, i8 = 0x09, i16 = 0x0B, i32 = 0x0C, f32 = 0x0D, f64 = 0x0E };

/// An IDX file in memory: an array of numbers.
struct IdxArray {
  IdxType type = IdxType::u8;
  std::vector<std::int64_t> shape;
  std::string bytes;  // big-endian, as in the file
  std::string name;

  std::int64_t count() const;
  /// All numbers, as floats. Throws DataError naming the first that is not finite.
  std::vector<float> to_floats() const;
};

/// Reads the bytes of an IDX file, plain or gzipped (told by content). Throws DataError `NAME: reason` unless
/// the file is exactly what its header says. What a gzipped file holds is never larger in memory than that.
/// Format: Y. LeCun, C. Cortes, C. Burges, the MNIST database.
IdxArray parse_idx(std::string_view file, const std::string& name);
IdxArray read_idx(const std::filesystem::path& path);

/// Whether the bytes start as those of an IDX file, with two zeros, or as gzipped ones, which may hold one.
bool looks_like_idx(std::string_view file);

/// Whether the bytes are gzipped and no IDX file, which starts with two zeros. Where they are damaged so far
/// in front that nobody can tell, they may be one.
bool is_gzip_of_other(std::string_view file);

/// Images alone, without labels. Pixels of bytes are scaled to [0, 1]. Throws DataError if there are no
/// images or no pixels, or if it has one dimension, as labels have.
Dataset idx_images(const IdxArray& images);

/// Images and labels that belong together. Pixels of bytes are scaled to [0, 1]. Throws DataError if their
/// numbers differ, if one is given in the place of the other, if there are no images or no pixels, if a label
/// is no class (`classes` 0: as many as the largest label says), if every image has the same class, unless
/// `classes` are given or `one_class` is enough, and as Dataset::check does.
Dataset idx_pair(const IdxArray& images, const IdxArray& labels, std::int64_t classes = 0,
                 bool one_class = false);

}  // namespace reel::data
