#include "autograd/arena.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

namespace reel {
namespace {

constexpr std::size_t alignment = 64;
constexpr std::size_t first_chunk = std::size_t{64} << 10;
// Chunks this large start on a huge page boundary, which the kernel may then back with huge pages.
constexpr std::size_t huge_page = std::size_t{2} << 20;

std::size_t align_of(std::size_t bytes) { return bytes >= huge_page ? huge_page : alignment; }
std::size_t round_up(std::size_t bytes, std::size_t step) { return (bytes + step - 1) / step * step; }

}  // namespace

void Arena::Release::operator()(std::byte* memory) const { std::free(memory); }

Arena::Chunk Arena::make_chunk(std::size_t bytes) {
  const std::size_t size = round_up(bytes, align_of(bytes));
  void* memory = std::aligned_alloc(align_of(bytes), size);
  if (memory == nullptr) throw std::bad_alloc();
  return {std::unique_ptr<std::byte, Release>(static_cast<std::byte*>(memory)), size, 0};
}

void* Arena::allocate(std::size_t bytes) {
  const std::size_t wanted = round_up(std::max<std::size_t>(bytes, 1), alignment);
  if (wanted < bytes) throw std::bad_alloc();
  if (chunks_.empty() || chunks_[current_].size - chunks_[current_].used < wanted) {
    // A later chunk may be left from before a rewind; it is used again if it is large enough, else replaced.
    const std::size_t next = chunks_.empty() ? 0 : current_ + 1;
    if (next == chunks_.size() || chunks_[next].size < wanted) {
      Chunk chunk =
          make_chunk(std::max({wanted, first_chunk, bytes_reserved(), chunks_.empty() ? high_water_ : 0}));
      chunks_.insert(chunks_.begin() + static_cast<std::ptrdiff_t>(next), std::move(chunk));
    }
    current_ = next;
    chunks_[current_].used = 0;
  }
  Chunk& chunk = chunks_[current_];
  std::byte* result = chunk.memory.get() + chunk.used;
  chunk.used += wanted;
  high_water_ = std::max(high_water_, bytes_used());
  if (poison_) std::memset(result, 0xFF, wanted);
  return result;
}

void Arena::rewind(Mark mark) {
  if (chunks_.empty()) return;
  current_ = mark.chunk;
  chunks_[current_].used = mark.used;
  if (mark.chunk == 0 && mark.used == 0 && chunks_.size() > 1) {
    // The next allocation asks for one block of the high-water size, which serves all that came here in
    // pieces. It is not asked for now: this runs in destructors, which must not throw.
    chunks_.clear();
    current_ = 0;
  }
}

std::size_t Arena::bytes_used() const {
  std::size_t total = 0;
  for (std::size_t i = 0; i < chunks_.size() && i <= current_; ++i) total += chunks_[i].used;
  return total;
}

std::size_t Arena::bytes_reserved() const {
  std::size_t total = 0;
  for (const Chunk& chunk : chunks_) total += chunk.size;
  return total;
}

}  // namespace reel
