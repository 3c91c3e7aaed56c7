#include "autograd/arena.h"

#include <algorithm>
#include <new>

namespace reel {
namespace {

constexpr std::size_t first_chunk = std::size_t{64} << 10;

std::size_t round_up(std::size_t bytes, std::size_t step) { return (bytes + step - 1) / step * step; }

}  // namespace

Arena::Chunk Arena::make_chunk(std::size_t bytes) {
  return {kernels::make_block<std::byte>(static_cast<std::int64_t>(bytes)), bytes, 0};
}

void Arena::enter(std::size_t chunk, std::size_t used) {
  current_ = chunk;
  begin_ = chunks_[chunk].memory.get();
  next_ = begin_ + used;
  end_ = begin_ + chunks_[chunk].size;
}

void Arena::make_room(std::size_t bytes) {
  const std::size_t wanted = round_up(std::max<std::size_t>(bytes, 1), alignment);
  if (wanted < bytes) throw std::bad_alloc();
  // A later chunk may be left from before a rewind; it is used again if it is large enough,
  // else a larger one comes in front of it.
  const std::size_t next = chunks_.empty() ? 0 : current_ + 1;
  if (next == chunks_.size() || chunks_[next].size < wanted) {
    Chunk chunk =
        make_chunk(std::max({wanted, first_chunk, bytes_reserved(), chunks_.empty() ? high_water_ : 0}));
    chunks_.insert(chunks_.begin() + static_cast<std::ptrdiff_t>(next), std::move(chunk));
  }
  if (next > 0) {
    chunks_[current_].used = static_cast<std::size_t>(next_ - begin_);
    before_ += chunks_[current_].used;
  }
  enter(next, 0);
}

void Arena::rewind_chunks(Mark mark) {
  if (mark.chunk == 0 && mark.used == 0) {
    // The next allocation asks for one block of the high-water size, which serves all that came here in
    // pieces. It is not asked for now: this runs in destructors, which must not throw.
    chunks_.clear();
    current_ = 0;
    begin_ = next_ = end_ = nullptr;
    before_ = 0;
    return;
  }
  for (std::size_t i = mark.chunk; i < current_; ++i) before_ -= chunks_[i].used;
  enter(mark.chunk, mark.used);
}

std::size_t Arena::bytes_reserved() const {
  std::size_t total = 0;
  for (const Chunk& chunk : chunks_) total += chunk.size;
  return total;
}

}  // namespace reel
