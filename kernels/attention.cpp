#include "kernels/attention.h"

#include <algorithm>
#include <limits>

#include "kernels/attention_tile.h"
#include "kernels/math.h"
#include "kernels/parallel.h"
#include "kernels/workspace.h"

namespace reel::kernels {
namespace {

using tile::Extent;
using tile::head_of;
using tile::Matrix;
using tile::padded;
using tile::Sight;
using tile::tile_keys;
using tile::tile_queries;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double cost_of_exp = 16;

// scores [rows, limit of the last] = q times the scaled keys for queries [first, first + rows), unseen keys
// included.
template <class T, class Beside>
void scores_of(const Attention<T>& p, const Sight<T>& sight, Matrix<const T> q, Matrix<const T> kt,
               std::int64_t first, std::int64_t rows, Matrix<T> scores, const Beside& beside) {
  constexpr std::int64_t lanes = tile::lanes_in_64<T>;
  const std::int64_t width = padded<T>(sight.limit(first + rows - 1));
  for (std::int64_t j = 0; j < width; j += tile_keys) {
    const std::int64_t most = std::min(tile_keys, width - j);
    tile::product<T, false>(
        rows, {q.row(first), q.stride}, {kt.data + j, kt.stride}, {scores.data + j, scores.stride},
        {.fresh = true},
        [&](std::int64_t, std::int64_t last_row) {
          const std::int64_t n = std::clamp(sight.limit(first + last_row - 1) - j, std::int64_t{0}, most);
          return Extent{0, p.channels, padded<T>(n) / lanes};
        },
        beside);
  }
}

// The same for one query, which reads the keys where they lie: a copy for it alone would cost more than the
// scores. Those of the last few keys go through a copy in `room`, [channels, lanes_in_64].
template <class T>
void scores_of_one(const Attention<T>& p, const T* q, Matrix<const T> k, std::int64_t keys, T* room,
                   T* scores) {
  using S = Simd<T>;
  constexpr std::int64_t lanes = tile::lanes_in_64<T>;
  std::int64_t j = 0;
  if constexpr (S::lanes > 1) {
    constexpr int vectors = static_cast<int>(lanes) / S::lanes;
    constexpr int step = lanes_in_16<T>;
    const std::int64_t in_squares = p.channels % step == 0 ? keys / lanes * lanes : 0;
    for (; j < in_squares; j += lanes) {
      const T* const next = k.row(j + lanes);
      typename S::Vector sums[vectors] = {};
      for (std::int64_t c = 0; c < p.channels; c += step) {
        // The next keys, where they lie side by side, each line of them once: a long cache comes from memory.
#pragma GCC unroll 4
        for (int i = 0; i < step; ++i) __builtin_prefetch(next + (c + i) * lanes, 0, 2);
#pragma GCC unroll 4
        for (int v = 0; v < vectors; ++v) {
          typename S::Vector columns[step];
          turn_columns<T>([&](int i) { return k.row(j + v * S::lanes + i) + c; }, columns);
#pragma GCC unroll 4
          for (int i = 0; i < step; ++i) sums[v] = S::fma(S::all(q[c + i]), columns[i] * p.scale, sums[v]);
        }
      }
      for (int v = 0; v < vectors; ++v) S::store(scores + j + v * S::lanes, sums[v]);
    }
  }
  const std::int64_t rest = keys - j;
  const Matrix<const T> kt = tile::transposed({k.row(j), k.stride}, rest, p.channels, p.scale, room);
  const Matrix<T> to{scores + j, 0};
  tile::rows_block<T, false, 1>(
      {q, 0}, kt, to, 0, Extent{0, p.channels, padded<T>(rest) / lanes}, true, [] {}, tile::Keep<T>{to});
}

// The scores of some queries on their way to weights, [rows, keys]. Each step is done for all rows before the
// next, so that a processor has several rows to work on at once.
template <class T>
struct Softmax {
  T most[tile_queries];  // the largest score of each row
  T sum[tile_queries];   // of e^(score - most); 0 if the query sees nothing

  // For queries [first, first + rows): scores become e^(score - most), and 0 where a query does not see a
  // key, up to `width`.
  void run(const Sight<T>& sight, std::int64_t first, std::int64_t rows, std::int64_t width,
           Matrix<T> scores) {
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int64_t limit = sight.limit(first + r);
      T* row = scores.row(r);
      sight.hide(first + r, 0, limit, T(-infinity), row);
      tile::fill_tail(row, limit, T(-infinity));
    }
    for (std::int64_t r = 0; r < rows; ++r) {
      most[r] = tile::largest(scores.row(r), padded<T>(sight.limit(first + r)));
    }
    for (std::int64_t r = 0; r < rows; ++r) {
      const std::int64_t limit = sight.limit(first + r);
      T* row = scores.row(r);
      sum[r] = T(1);
      if (!(most[r] > T(-infinity)) && !sight.sees_any(first + r)) {
        std::fill_n(row, width, T(0));
        sum[r] = T(0);
        continue;
      }
      // A row of scores that are no numbers goes on, and shows.
      const T shift = most[r];
      for (std::int64_t j = 0; j < limit; j += lanes) {
        for (std::int64_t l = 0; l < lanes; ++l) row[j + l] = exp_of_negative(row[j + l] - shift);
      }
      tile::fill_after(row, limit, width, T(0));
    }
    for (std::int64_t r = 0; r < rows; ++r) {
      if (sum[r] == T(0)) continue;
      tile::Sums<T> sums;
      for (std::int64_t j = 0; j < sight.limit(first + r); j += lanes) sums.add(scores.row(r) + j);
      sum[r] = sums.total();
    }
  }
  T factor(std::int64_t r) const { return sum[r] == T(0) ? T(0) : T(1) / sum[r]; }

 private:
  static constexpr std::int64_t lanes = tile::lanes_in_64<T>;
};

// Takes away weights of the rows [first, first + rows) of a tile, and enlarges the others.
template <class T>
void drop(const tile::WeightDropout<T>& dropout, std::int64_t first, std::int64_t rows, std::int64_t limit,
          Matrix<T> weights) {
  T factors[2 * tile_keys];
  for (std::int64_t r = 0; r < rows; r += 2) {
    for (std::int64_t j = 0; j < limit; j += tile_keys) {
      const std::int64_t some = std::min(tile_keys, limit - j);
      dropout.factors(first + r, j, factors);
      for (std::int64_t l = 0; l < some; ++l) weights.row(r)[j + l] *= factors[l];
      for (std::int64_t l = 0; l < some && r + 1 < rows; ++l)
        weights.row(r + 1)[j + l] *= factors[tile_keys + l];
    }
  }
}

template <class T>
void forward_rows(const Attention<T>& p, std::int64_t b, std::int64_t h, std::int64_t begin, std::int64_t end,
                  tile::Room<T> room, Heads<T> y, T* kept_of_all) {
  constexpr std::int64_t lanes = tile::lanes_in_64<T>;
  const Sight<T> sight(p, b, h);
  const std::int64_t seen = sight.limit(end - 1);
  const std::int64_t value_width = padded<T>(p.value_channels);
  const Matrix<const T> q = head_of(p.q, b, h);
  const Matrix<const T> k = head_of(p.k, b, h);
  Matrix<const T> v = head_of(p.v, b, h);
  const bool alone = end - begin == 1;
  T* const room_of_keys = room.take(p.channels * padded<T>(seen));
  Matrix<const T> kt;
  if (!alone) kt = tile::transposed(k, seen, p.channels, p.scale, room_of_keys);
  // Nor does a query alone need a copy of values that are whole vectors and all seen.
  tile::Finite<T> finite;
  if (!alone || p.mask.data != nullptr || p.value_channels != value_width)
    v = tile::packed_rows(v, seen, p.value_channels, room.take(seen * value_width), finite);
  // Exponentials that are kept stay where they are made.
  const tile::Kept<T> kept(p, b, h, kept_of_all);
  const bool keeps = kept.exponentials.data != nullptr;
  const Matrix<T> own{room.take(tile_queries * padded<T>(seen)), padded<T>(seen)};
  const Matrix<T> sums{room.take(tile_queries * value_width), value_width};
  const bool careful = sight.hides() && !finite;
  const Matrix<T> to = head_of(y, b, h);
  tile::Ahead<T> ahead(p, b, h);
  ahead.add(to.row(begin), to.stride, end - begin, p.value_channels);
  ahead.add_next_exponentials(kept_of_all);
  ahead.add_next(p.k, p.keys, p.channels);
  ahead.add_next(p.q, p.queries, p.channels);
  ahead.add_next(p.v, p.keys, p.value_channels);
  const auto beside = [&ahead] { ahead.ask(); };

  for (std::int64_t first = begin; first < end; first += tile_queries) {
    const std::int64_t rows = std::min(tile_queries, end - first);
    const std::int64_t limit = sight.limit(first + rows - 1);
    const Matrix<T> scores = keeps ? Matrix<T>{kept.exponentials.row(first), kept.exponentials.stride} : own;
    if (alone) {
      scores_of_one(p, q.row(first), k, seen, room_of_keys, scores.data);
    } else {
      scores_of(p, sight, q, kt, first, rows, scores, beside);
    }
    Softmax<T> softmax;
    softmax.run(sight, first, rows, padded<T>(limit), scores);
    for (std::int64_t r = 0; r < rows && kept.rows != nullptr; ++r) {
      T* row = kept.rows + 2 * (first + r);
      row[0] = softmax.most[r];
      row[1] = softmax.factor(r);
    }
    for (std::int64_t r = 0; r < rows && careful; ++r) {
      sight.hide(first + r, 0, sight.limit(first + r), tile::unseen<T>(), scores.row(r));
    }
    if (p.dropout > 0) drop(tile::WeightDropout<T>(p, b, h), first, rows, limit, scores);
    T factors[tile_queries];
    for (std::int64_t r = 0; r < rows; ++r) factors[r] = softmax.factor(r);
    const tile::Give give{Matrix<T>{to.row(first), to.stride}, p.value_channels,
                          [&factors](std::int64_t r) { return factors[r]; }, false};
    if (limit == 0) tile::give_zeros(rows, value_width, give);
    // The values of a stretch of keys stay in the first cache while all rows use them.
    for (std::int64_t j = 0; j < limit; j += tile_keys) {
      const std::int64_t most = std::min(tile_keys, limit - j);
      const auto multiply = [&](const auto& done) {
        tile::product<T, false>(
            rows, {scores.data + j, scores.stride}, {v.row(j), v.stride}, sums,
            {.fresh = j == 0, .careful = careful},
            [&](std::int64_t, std::int64_t last_row) {
              const std::int64_t n = std::clamp(sight.limit(first + last_row - 1) - j, std::int64_t{0}, most);
              return Extent{0, n, value_width / lanes};
            },
            beside, done);
      };
      j + most < limit ? multiply(tile::Keep<T>{sums}) : multiply(give);
    }
  }
}

// Heads are the tasks; where they are few, pieces of their rows.
std::int64_t rows_per_task(std::int64_t heads, std::int64_t queries) {
  constexpr std::int64_t enough = 16;
  constexpr std::int64_t piece = 256;
  return heads >= enough ? std::max<std::int64_t>(queries, 1) : piece;
}

template <class T, class Body>
void for_rows(const Attention<T>& p, std::int64_t elements, Body body) {
  const std::int64_t rows = rows_per_task(p.batch * p.heads, p.queries);
  const std::int64_t pieces = (p.queries + rows - 1) / rows;
  const double work = (2.0 * static_cast<double>(p.channels + p.value_channels) + cost_of_exp) *
                      static_cast<double>(p.queries) * static_cast<double>(p.keys) / (p.causal ? 2 : 1);
  const Workspace<T> memory(elements);
  parallel_for(p.batch * p.heads * pieces, work * static_cast<double>(p.batch * p.heads), memory.workers(),
               [&](std::int64_t task, int worker) {
                 const std::int64_t head = task / pieces;
                 // From both ends inwards: later pieces of a causal head are longer, and neighbours among the
                 // tasks share a thread.
                 const std::int64_t turn = task % pieces;
                 const std::int64_t first = (turn % 2 == 0 ? turn / 2 : pieces - 1 - turn / 2) * rows;
                 body(head / p.heads, head % p.heads, first, std::min(p.queries, first + rows),
                      tile::Room<T>(memory.of(worker)));
               });
}

}  // namespace

template <class T>
std::int64_t attention_kept(const Attention<T>& p) {
  return tile::Kept<T>::count(p);
}

template <class T>
void attention(const Attention<T>& p, Heads<T> y, T* kept) {
  const std::int64_t keys = padded<T>(p.keys);
  const std::int64_t elements =
      (p.channels + tile_queries) * keys + (p.keys + tile_queries) * padded<T>(p.value_channels);
  for_rows(p, elements,
           [&](std::int64_t b, std::int64_t h, std::int64_t begin, std::int64_t end, tile::Room<T> room) {
             forward_rows(p, b, h, begin, end, room, y, kept);
           });
}

template <class T>
void attention_weights(const Attention<T>& p, T* w) {
  const std::int64_t elements = (p.channels + tile_queries) * padded<T>(p.keys);
  for_rows(p, elements,
           [&](std::int64_t b, std::int64_t h, std::int64_t begin, std::int64_t end, tile::Room<T> room) {
             const Sight<T> sight(p, b, h);
             const std::int64_t seen = sight.limit(end - 1);
             const Matrix<const T> q = head_of(p.q, b, h);
             const Matrix<const T> kt = tile::transposed(head_of(p.k, b, h), seen, p.channels, p.scale,
                                                         room.take(p.channels * padded<T>(seen)));
             const Matrix<T> scores{room.take(tile_queries * padded<T>(seen)), padded<T>(seen)};
             for (std::int64_t first = begin; first < end; first += tile_queries) {
               const std::int64_t rows = std::min(tile_queries, end - first);
               scores_of(p, sight, q, kt, first, rows, scores, [] {});
               Softmax<T> softmax;
               softmax.run(sight, first, rows, padded<T>(sight.limit(first + rows - 1)), scores);
               for (std::int64_t r = 0; r < rows; ++r) {
                 const std::int64_t limit = sight.limit(first + r);
                 const T factor = softmax.factor(r);
                 T* to = w + ((b * p.heads + h) * p.queries + first + r) * p.keys;
                 for (std::int64_t j = 0; j < limit; ++j) to[j] = scores.row(r)[j] * factor;
                 std::fill(to + limit, to + p.keys, T(0));
               }
             }
           });
}

#define REEL_INSTANTIATE(T)                                   \
  template void attention(const Attention<T>&, Heads<T>, T*); \
  template std::int64_t attention_kept(const Attention<T>&);  \
  template void attention_weights(const Attention<T>&, T*)
REEL_INSTANTIATE(float);
REEL_INSTANTIATE(double);
REEL_INSTANTIATE(Dual);
#undef REEL_INSTANTIATE

}  // namespace reel::kernels
