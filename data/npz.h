#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>

#include "data/npy.h"

namespace reel::data {

/// Reads the bytes of an NPZ file: a zip archive of NPY files, stored or deflated. Keys are the names without
/// ".npy". Throws DataError `name: reason`, also for a member that is not NPY, that appears twice, is
/// encrypted, is damaged, or claims more bytes than deflate can make of the archive (a zip bomb).
std::map<std::string, NpyArray> parse_npz(std::span<const std::byte> file, const std::string& name);

/// Reads an NPZ file. Throws IoError when it cannot be read, DataError as parse_npz does.
std::map<std::string, NpyArray> read_npz(const std::filesystem::path& path);

/// Collects arrays and writes them as an NPZ file; the same content gives the same bytes (no clock in the
/// archive).
class NpzWriter {
 public:
  /// Adds an array under `name`. Throws std::invalid_argument when the name is empty, is taken or is not a
  /// plain member name, or when the shape does not fit the number of values.
  void add(const std::string& name, std::span<const std::int64_t> shape, std::span<const float> values);
  void add(const std::string& name, std::span<const std::int64_t> shape,
           std::span<const std::int32_t> values);
  void add(const std::string& name, std::span<const std::int64_t> shape,
           std::span<const std::int64_t> values);

  /// The file's bytes.
  std::string bytes() const;

  /// Writes the file. Throws IoError.
  void write(const std::filesystem::path& path) const;

 private:
  void add_bytes(const std::string& name, std::string npy);
  std::map<std::string, std::string> members_;
};

}  // namespace reel::data
