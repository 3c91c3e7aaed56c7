#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <stdexcept>

namespace reel::testing {

/// Memory whose last byte lies at the end of a page, behind which nobody may read: a vector instruction that
/// reads a number too far ends the program, in any build.
template <class T>
class Guarded {
 public:
  explicit Guarded(std::size_t count) {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const std::size_t bytes = count * sizeof(T);
    const std::size_t room = (bytes + page - 1) / page * page;
    size_ = room + page;
    start_ = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start_ == MAP_FAILED) throw std::runtime_error("no memory");
    char* const end = static_cast<char*>(start_) + room;
    if (::mprotect(end, page, PROT_NONE) != 0) throw std::runtime_error("no guard");
    data_ = reinterpret_cast<T*>(end - bytes);
  }
  ~Guarded() { ::munmap(start_, size_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  T* data() const { return data_; }

 private:
  void* start_ = nullptr;
  std::size_t size_ = 0;
  T* data_ = nullptr;
};

}  // namespace reel::testing
