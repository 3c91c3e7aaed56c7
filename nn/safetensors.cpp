#include "nn/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <tuple>

#include "kernels/half.h"
#include "nn/error.h"
#include "nn/file_descriptor.h"
#include "nn/safetensors_header.h"

namespace reel::nn {
namespace {

static_assert(std::endian::native == std::endian::little, "tensors are copied as they stand in the file");

constexpr std::size_t prefix = 8;  // bytes of the header's length

// The header's length, compared with the size of the file before anything is allocated.
std::uint64_t header_length(const unsigned char* bytes, std::uint64_t file_size, const std::string& name) {
  std::uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | bytes[i];
  if (length == 0) throw FileError(name + ": byte 0: the header has length 0");
  if (length > Safetensors::max_header) {
    throw FileError(name + ": byte 0: the header claims " + std::to_string(length) +
                    " bytes, at most 100000000 are read; is this a safetensors file?");
  }
  if (length > file_size - prefix) {
    throw FileError(name + ": byte 0: the header claims " + std::to_string(length) + " bytes, " +
                    std::to_string(file_size - prefix) + " follow");
  }
  return length;
}

void require_prefix(std::uint64_t size, const std::string& name) {
  if (size < prefix) {
    throw FileError(name + ": it has " + std::to_string(size) +
                    " bytes; a safetensors file starts with 8 bytes of header length");
  }
}

// Every byte of the data belongs to exactly one tensor.
void require_coverage(std::vector<SafetensorsEntry>& entries, std::uint64_t data_size,
                      const std::string& name) {
  std::sort(entries.begin(), entries.end(), [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  std::uint64_t covered = 0;
  for (const SafetensorsEntry& e : entries) {
    if (e.end > data_size) {
      throw FileError(name + ": tensor " + in_quotes(e.name) + ": its data ends at byte " +
                      std::to_string(e.end) + " of the data section, which has " + std::to_string(data_size) +
                      "; the file is cut short or damaged");
    }
    if (e.begin != covered) {
      throw FileError(
          name + ": tensor " + in_quotes(e.name) + ": its data starts at byte " + std::to_string(e.begin) +
          " of the data section, " +
          (e.begin > covered ? "which leaves a hole after byte " : "inside the data that ends at byte ") +
          std::to_string(covered));
    }
    covered = e.end;
  }
  if (covered != data_size) {
    throw FileError(name + ": the tensors fill " + std::to_string(covered) + " of the " +
                    std::to_string(data_size) + " bytes of the data section");
  }
}

// The header of a file of `size` bytes, of which at least the header is there.
SafetensorsHeader header_of(const std::vector<std::byte>& file, std::uint64_t length, std::uint64_t size,
                            const std::string& name) {
  const std::string_view json(reinterpret_cast<const char*>(file.data()) + prefix, length);
  SafetensorsHeader header = parse_safetensors_header(json, name, prefix);
  require_coverage(header.entries, size - prefix - length, name);
  return header;
}

template <class From>
From load(const std::byte* from) {
  From value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <class To>
std::vector<To> converted(const SafetensorsEntry& entry, const std::string& name) {
  std::vector<To> result(entry.count());
  const std::byte* from = entry.bytes.data();
  for (std::size_t i = 0; i < result.size(); ++i) {
    switch (entry.dtype) {
      case Dtype::f32:
        result[i] = static_cast<To>(load<float>(from + 4 * i));
        break;
      case Dtype::f64:
        result[i] = static_cast<To>(load<double>(from + 8 * i));
        break;
      case Dtype::f16:
        result[i] = static_cast<To>(kernels::half_to_float(load<std::uint16_t>(from + 2 * i)));
        break;
      case Dtype::bf16:
        result[i] = static_cast<To>(
            std::bit_cast<float>(static_cast<std::uint32_t>(load<std::uint16_t>(from + 2 * i)) << 16));
        break;
      default:
        throw FileError(name + ": tensor " + in_quotes(entry.name) + ": its dtype is " +
                        std::string(name_of(entry.dtype)) + ", not a floating-point type");
    }
  }
  return result;
}

}  // namespace

std::size_t size_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::boolean:
    case Dtype::u8:
    case Dtype::i8:
      return 1;
    case Dtype::u16:
    case Dtype::i16:
    case Dtype::f16:
    case Dtype::bf16:
      return 2;
    case Dtype::u32:
    case Dtype::i32:
    case Dtype::f32:
      return 4;
    default:
      return 8;
  }
}

std::string_view name_of(Dtype dtype) {
  constexpr std::string_view names[] = {"BOOL", "U8",  "I8",  "U16",  "I16", "U32", "I32",
                                        "U64",  "I64", "F16", "BF16", "F32", "F64"};
  return names[static_cast<std::size_t>(dtype)];
}

Safetensors::Safetensors(const std::string& name, SafetensorsHeader header, std::vector<std::byte> file,
                         std::size_t data_at)
    : name_(name),
      file_(std::move(file)),
      entries_(std::move(header.entries)),
      metadata_(std::move(header.metadata)) {
  std::sort(entries_.begin(), entries_.end(),
            [](const SafetensorsEntry& a, const SafetensorsEntry& b) { return a.name < b.name; });
  for (SafetensorsEntry& e : entries_) {
    e.bytes = std::span<const std::byte>(file_).subspan(data_at + e.begin, e.end - e.begin);
  }
}

Safetensors Safetensors::parse(std::vector<std::byte> file, const std::string& name) {
  require_prefix(file.size(), name);
  const std::uint64_t length =
      header_length(reinterpret_cast<const unsigned char*>(file.data()), file.size(), name);
  SafetensorsHeader header = header_of(file, length, file.size(), name);
  return {name, std::move(header), std::move(file), prefix + length};
}

Safetensors Safetensors::read(const std::filesystem::path& path) {
  const std::string name = in_one_line(path);
  // Without O_NONBLOCK, opening a pipe would wait for somebody to write to it.
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.is_open()) throw_io_error(name, "open", errno);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) throw_io_error(name, "examine", errno);
  if (S_ISDIR(status.st_mode)) throw IoError(name + ": cannot read: it is a directory");
  if (!S_ISREG(status.st_mode)) throw IoError(name + ": cannot read: it is not a regular file");
  const auto size = static_cast<std::uint64_t>(status.st_size);
  const auto fill = [&](std::byte* to, std::uint64_t at, std::uint64_t count) {
    while (count > 0) {
      const ssize_t got = ::pread(file.get(), to, count, static_cast<off_t>(at));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw_io_error(name, "read", errno);
      if (got == 0) throw IoError(name + ": cannot read: it became shorter meanwhile");
      to += got;
      at += static_cast<std::uint64_t>(got);
      count -= static_cast<std::uint64_t>(got);
    }
  };
  require_prefix(size, name);
  std::byte first[prefix];
  fill(first, 0, prefix);
  const std::uint64_t begin =
      prefix + header_length(reinterpret_cast<const unsigned char*>(first), size, name);
  std::vector<std::byte> bytes(begin);
  fill(bytes.data(), 0, begin);
  // What no tensor names takes no memory: the size of a file is not to be trusted either.
  SafetensorsHeader header = header_of(bytes, begin - prefix, size, name);
  bytes.resize(size);
  fill(bytes.data() + begin, begin, size - begin);
  return {name, std::move(header), std::move(bytes), begin};
}

const SafetensorsEntry* Safetensors::find(std::string_view name) const {
  const auto at = std::lower_bound(entries_.begin(), entries_.end(), name,
                                   [](const SafetensorsEntry& e, std::string_view n) { return e.name < n; });
  return at != entries_.end() && at->name == name ? &*at : nullptr;
}

const SafetensorsEntry& Safetensors::at(std::string_view name) const {
  if (const SafetensorsEntry* entry = find(name)) return *entry;
  throw FileError(name_ + ": there is no tensor \"" + std::string(name) + "\"");
}

std::vector<float> Safetensors::to_floats(const SafetensorsEntry& entry) const {
  if (entry.dtype == Dtype::f32) return values<float>(entry);  // the bits as they are, also of a NaN
  return converted<float>(entry, name_);
}

std::vector<double> Safetensors::to_doubles(const SafetensorsEntry& entry) const {
  return converted<double>(entry, name_);
}

void Safetensors::require_dtype(const SafetensorsEntry& entry, Dtype dtype) const {
  if (entry.dtype == dtype) return;
  throw FileError(name_ + ": tensor " + in_quotes(entry.name) + ": its dtype is " +
                  std::string(name_of(entry.dtype)) + ", not " + std::string(name_of(dtype)));
}

}  // namespace reel::nn
