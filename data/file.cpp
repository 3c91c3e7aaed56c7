#include "data/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>

#include "data/error.h"
#include "data/utf8.h"

namespace reel::data {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& reason) {
  throw IoError(printable(path) + ": " + reason);
}

// Whether a character turns the direction of the text behind it: with U+202E in front, gpj.exe reads exe.jpg.
bool turns_direction(std::string_view character) {
  const auto starts = [&](std::string_view two, char least, char most) {
    return character.starts_with(two) && character[2] >= least && character[2] <= most;
  };
  return character == "\xD8\x9C" ||             // U+061C
         starts("\xE2\x80", '\x8E', '\x8F') ||  // U+200E, U+200F
         starts("\xE2\x80", '\xAA', '\xAE') ||  // U+202A to U+202E
         starts("\xE2\x81", '\xA6', '\xA9');    // U+2066 to U+2069
}

// How many bytes the first character takes; 0 if it is a control character or no UTF-8.
std::size_t first_printable(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  if (byte(0) < 0x80) return (byte(0) >= 0x20 && byte(0) != 0x7F) || byte(0) == '\n' ? 1 : 0;
  const std::size_t length = byte(0) < 0xE0 ? 2 : byte(0) < 0xF0 ? 3 : 4;
  if (valid_utf8(text.substr(0, length)) != length) return 0;
  const bool escapes = byte(0) == 0xC2 && byte(1) < 0xA0;  // to a terminal U+009B is an escape, too
  return escapes || turns_direction(text.substr(0, length)) ? 0 : length;
}

}  // namespace

std::string printable(const std::filesystem::path& path) {
  std::string text;
  for (const char c : printable_lines(path.native())) {
    if (c == '\n') {
      text += "\\x0a";
    } else {
      text += c;
    }
  }
  return text;
}

std::string printable_lines(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const std::size_t length = first_printable(text);
    if (length > 0) {
      result += text.substr(0, length);
    } else {
      char hex[8];
      std::snprintf(hex, sizeof hex, "\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(text[0])));
      result += hex;
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return result;
}

std::string excerpt(std::string_view text) {
  constexpr std::size_t most = 200;
  const std::string shown = printable(cut_utf8(text, most));
  return text.size() <= most ? shown : shown + "... (" + std::to_string(text.size()) + " bytes)";
}

std::string read_file(const std::filesystem::path& path) {
  // Without O_NONBLOCK, opening a pipe would wait for somebody to write to it.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) fail(path, std::string("cannot be opened: ") + std::strerror(errno));
  struct stat status {};
  if (::fstat(file.get(), &status) != 0)
    fail(path, std::string("cannot be examined: ") + std::strerror(errno));
  if (S_ISDIR(status.st_mode)) fail(path, "is a directory; name a file in it");
  if (!S_ISREG(status.st_mode)) fail(path, "is not a regular file (a pipe or a device)");
  const auto size = static_cast<std::size_t>(status.st_size);
  std::string bytes;
  try {
    bytes.resize(size);
  } catch (const std::exception&) {
    // bad_alloc, or length_error for a size that no string can have.
    fail(path, "has " + std::to_string(size) + " bytes, more than there is memory for");
  }
  std::size_t done = 0;
  while (done < size) {
    const ssize_t got = ::read(file.get(), bytes.data() + done, size - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(path, std::string("cannot be read: ") + std::strerror(errno));
    if (got == 0) {
      fail(path, "became shorter while it was read: " + std::to_string(done) + " of " + std::to_string(size) +
                     " bytes");
    }
    done += static_cast<std::size_t>(got);
  }
  char more = 0;
  if (::read(file.get(), &more, 1) > 0)
    fail(path, "became longer while it was read; try again when it is complete");
  return bytes;
}

void write_file(const std::filesystem::path& path, const std::string& bytes) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "we"), std::fclose);
  if (file == nullptr) fail(path, std::string("cannot be opened: ") + std::strerror(errno));
  // The flush shows an error that fclose, called by a destructor, would hide.
  if (std::fwrite(bytes.data(), 1, bytes.size(), file.get()) != bytes.size() || std::fflush(file.get()) != 0)
    fail(path, std::string("cannot be written: ") + std::strerror(errno));
}

}  // namespace reel::data
