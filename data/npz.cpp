#include "data/npz.h"

#include <zip.h>
#include <zlib.h>

#include <memory>
#include <new>
#include <stdexcept>
#include <string_view>
#include <vector>

#include "data/error.h"
#include "data/file.h"
#include "data/packed.h"

namespace reel::data {
namespace {

constexpr std::string_view extension = ".npy";

struct ZipError {
  zip_error_t error;
  ZipError() { zip_error_init(&error); }
  ~ZipError() { zip_error_fini(&error); }
  ZipError(const ZipError&) = delete;
  ZipError& operator=(const ZipError&) = delete;
  std::string text() { return zip_error_strerror(&error); }
};

// What libzip says is wrong with the file, unless it, or zlib below it, only lacked memory to find out.
[[noreturn]] void refuse(zip_error_t* error, const std::string& what) {
  const int code = zip_error_code_zip(error);
  if (code == ZIP_ER_MEMORY || (code == ZIP_ER_ZLIB && zip_error_code_system(error) == Z_MEM_ERROR))
    throw std::bad_alloc();
  throw DataError(what + " is damaged: " + zip_error_strerror(error));
}

struct Discard {
  void operator()(zip_t* archive) const { zip_discard(archive); }
  void operator()(zip_file_t* file) const { zip_fclose(file); }
  void operator()(zip_source_t* source) const { zip_source_free(source); }
};
using Archive = std::unique_ptr<zip_t, Discard>;
using Source = std::unique_ptr<zip_source_t, Discard>;

// Opens the archive; the bytes must outlive it.
Archive open_archive(std::span<const std::byte> file, const std::string& name) {
  ZipError error;
  Source source(zip_source_buffer_create(file.data(), file.size(), 0, &error.error));
  if (source == nullptr) throw std::bad_alloc();
  Archive archive(zip_open_from_source(source.get(), ZIP_RDONLY | ZIP_CHECKCONS, &error.error));
  if (archive == nullptr) {
    if (zip_error_code_zip(&error.error) == ZIP_ER_EXISTS)
      throw DataError(name + ": the name of a member is there twice");
    refuse(&error.error, name + ": the zip archive");
  }
  static_cast<void>(source.release());  // the archive owns it now
  return archive;
}

void require_zip(std::string_view bytes, const std::string& name) {
  if (bytes.starts_with("PK\3\4") || bytes.starts_with("PK\5\6")) return;
  if (bytes.starts_with("\x93NUMPY")) throw DataError(name + ": this is an NPY file; read it as NPY");
  if (bytes.empty()) throw DataError(name + ": the file is empty");
  throw DataError(name + ": this is no NPZ file: it is not a zip archive");
}

// One member as the archive describes it.
struct Member {
  zip_uint64_t index;
  std::uint64_t size;
  std::string label;  // for messages
};

Member examine(zip_t* archive, zip_uint64_t index, const std::string& name, std::string& key) {
  zip_stat_t stat;
  zip_stat_init(&stat);
  if (zip_stat_index(archive, index, ZIP_FL_ENC_RAW, &stat) != 0 || (stat.valid & ZIP_STAT_NAME) == 0)
    refuse(zip_get_error(archive), name + ": the zip archive");
  const std::string full = stat.name;
  const Member member{index, stat.size, name + "[" + excerpt(full) + "]"};
  constexpr zip_uint64_t needed = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD;
  if ((stat.valid & needed) != needed) throw DataError(member.label + ": its size is not known");
  if (!std::string_view(full).ends_with(extension) || full.size() == extension.size())
    throw DataError(member.label + ": it is no array: its name does not end in .npy");
  if ((stat.valid & ZIP_STAT_ENCRYPTION_METHOD) != 0 && stat.encryption_method != ZIP_EM_NONE)
    throw DataError(member.label + ": it is encrypted");
  if (stat.comp_method != ZIP_CM_STORE && stat.comp_method != ZIP_CM_DEFLATE)
    throw DataError(member.label + ": it is packed by method " + std::to_string(stat.comp_method) +
                    "; numpy.savez and numpy.savez_compressed use 0 and 8");
  // Deflate makes at most 1032 bytes of one.
  if (stat.size / 1032 > stat.comp_size ||
      (stat.comp_method == ZIP_CM_STORE && stat.size != stat.comp_size)) {
    throw DataError(member.label + ": it claims " + std::to_string(stat.size) +
                    " bytes, which cannot be in " + std::to_string(stat.comp_size));
  }
  if (is_bomb(stat.size, stat.comp_size)) {
    throw DataError(member.label + ": it claims " + std::to_string(stat.size) + " bytes from " +
                    std::to_string(stat.comp_size) + " packed ones; " + bomb_refused);
  }
  key = full.substr(0, full.size() - extension.size());
  return member;
}

std::vector<std::byte> unpack(zip_t* archive, const Member& member) {
  const std::unique_ptr<zip_file_t, Discard> file(zip_fopen_index(archive, member.index, 0));
  if (file == nullptr) refuse(zip_get_error(archive), member.label + ": it");
  std::vector<std::byte> bytes;
  std::size_t done = 0;
  // The read that finds the end is the one that compares the checksum.
  while (true) {
    std::byte beyond{};
    if (done == bytes.size()) bytes.resize(room_for(member.size, done));
    const bool full = done == member.size;
    const zip_int64_t got = full ? zip_fread(file.get(), &beyond, 1)
                                 : zip_fread(file.get(), bytes.data() + done, bytes.size() - done);
    if (got < 0) refuse(zip_file_get_error(file.get()), member.label + ": it");
    if (got == 0 && full) return bytes;
    if (got == 0 || full) {
      throw DataError(member.label + ": it is damaged: it is " + (full ? "longer" : "shorter") +
                      " than the archive says");
    }
    done += static_cast<std::size_t>(got);
  }
}

}  // namespace

std::map<std::string, NpyArray> parse_npz(std::span<const std::byte> file, const std::string& name) {
  require_zip({reinterpret_cast<const char*>(file.data()), file.size()}, name);
  const Archive archive = open_archive(file, name);
  std::map<std::string, NpyArray> arrays;
  const zip_int64_t count = zip_get_num_entries(archive.get(), 0);
  for (zip_int64_t i = 0; i < count; ++i) {
    std::string key;
    const Member member = examine(archive.get(), static_cast<zip_uint64_t>(i), name, key);
    arrays.emplace(key, parse_npy(unpack(archive.get(), member), member.label));
  }
  return arrays;
}

std::map<std::string, NpyArray> read_npz(const std::filesystem::path& path) {
  const std::string file = read_file(path);
  return parse_npz(std::as_bytes(std::span<const char>(file)), printable(path));
}

void NpzWriter::add(const std::string& name, std::span<const std::int64_t> shape,
                    std::span<const float> values) {
  add_bytes(name, npy_bytes(shape, values));
}

void NpzWriter::add(const std::string& name, std::span<const std::int64_t> shape,
                    std::span<const std::int32_t> values) {
  add_bytes(name, npy_bytes(shape, values));
}

void NpzWriter::add(const std::string& name, std::span<const std::int64_t> shape,
                    std::span<const std::int64_t> values) {
  add_bytes(name, npy_bytes(shape, values));
}

void NpzWriter::add_bytes(const std::string& name, std::string npy) {
  if (name.empty()) throw std::invalid_argument("npz: an array needs a name");
  for (const char c : name) {
    if (c >= 0x20 && c < 0x7F && c != '/' && c != '\\' && c != ':') continue;
    throw std::invalid_argument("npz: the name " + excerpt(name) +
                                " must be printable ASCII without /, \\ and :, as it becomes that of a file");
  }
  if (!members_.emplace(name + std::string(extension), std::move(npy)).second)
    throw std::invalid_argument("npz: the name \"" + name + "\" is taken");
}

std::string NpzWriter::bytes() const {
  ZipError error;
  const auto require = [&](bool ok) {
    if (!ok) throw std::runtime_error("npz: libzip refused to write: " + error.text());
  };
  const Source target(zip_source_buffer_create(nullptr, 0, 0, &error.error));
  require(target != nullptr);
  zip_source_keep(target.get());  // one reference for the archive, one to read the result
  Archive archive(zip_open_from_source(target.get(), ZIP_TRUNCATE, &error.error));
  if (archive == nullptr) {
    zip_source_free(target.get());
    require(false);
  }
  for (const auto& [name, npy] : members_) {
    Source source(zip_source_buffer(archive.get(), npy.data(), npy.size(), 0));
    require(source != nullptr);
    const zip_int64_t index = zip_file_add(archive.get(), name.c_str(), source.get(), 0);
    require(index >= 0);
    static_cast<void>(source.release());
    const auto at = static_cast<zip_uint64_t>(index);
    require(zip_set_file_compression(archive.get(), at, ZIP_CM_STORE, 0) == 0);
    // The first day that a zip archive knows.
    require(zip_file_set_dostime(archive.get(), at, 0, 1 << 5 | 1, 0) == 0);
  }
  require(zip_close(archive.get()) == 0);
  static_cast<void>(archive.release());

  // libzip writes no archive without members; this is the end record of one.
  if (members_.empty()) return std::string("PK\5\6") + std::string(18, '\0');
  zip_stat_t stat;
  zip_stat_init(&stat);
  require(zip_source_stat(target.get(), &stat) == 0 && zip_source_open(target.get()) == 0);
  std::string result(stat.size, '\0');
  const zip_int64_t got = zip_source_read(target.get(), result.data(), result.size());
  zip_source_close(target.get());
  require(got == static_cast<zip_int64_t>(result.size()));
  return result;
}

void NpzWriter::write(const std::filesystem::path& path) const { write_file(path, bytes()); }

}  // namespace reel::data
