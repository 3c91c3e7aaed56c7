#include <algorithm>

#include "kernels/attention.h"
#include "kernels/attention_tile.h"
#include "kernels/math.h"
#include "kernels/parallel.h"
#include "kernels/workspace.h"

namespace reel::kernels {
namespace {

using tile::Extent;
using tile::give_zeros;
using tile::head_of;
using tile::Matrix;
using tile::padded;
using tile::Sight;
using tile::tile_keys;
using tile::tile_queries;

constexpr double cost_of_exp = 16;

// The way back of one head. One task owns it, so that every sum has one order.
template <class T>
class HeadGradient {
 public:
  HeadGradient(const Attention<T>& p, Heads<const T> y, const T* kept, Heads<const T> dy, std::int64_t b,
               std::int64_t h, T* memory, tile::Ahead<T>& ahead)
      : p_(p),
        b_(b),
        h_(h),
        sight_(p, b, h),
        dropout_(p, b, h),
        seen_(sight_.limit(p.queries - 1)),
        width_(padded<T>(p.channels)),
        value_width_(padded<T>(p.value_channels)),
        room_(memory),
        q_(head_of(p.q, b, h)),
        y_(head_of(y, b, h)),
        dy_(head_of(dy, b, h)),
        kept_(p, b, h, kept),
        ahead_(ahead) {}

  /// How many elements of memory any head needs at most.
  static std::int64_t elements(const Attention<T>& p) {
    return (p.channels + p.value_channels) * padded<T>(p.keys) +
           (p.queries + 2 * p.keys + tile_queries) * padded<T>(p.channels) +
           (p.queries + p.keys) * padded<T>(p.value_channels) + 2 * tile_queries * tile_keys;
  }

  void run(const HeadsInto<T>& dq, const HeadsInto<T>& dk, const HeadsInto<T>& dv) {
    const bool needs_scores = static_cast<bool>(dq) || static_cast<bool>(dk);
    const Matrix<const T> k = head_of(p_.k, b_, h_);
    const Matrix<const T> v = head_of(p_.v, b_, h_);
    if (kept_.exponentials.data == nullptr)
      kt_ = tile::transposed(k, seen_, p_.channels, p_.scale, room_.take(p_.channels * padded<T>(seen_)));
    if (needs_scores)
      vt_ = tile::transposed(v, seen_, p_.value_channels, T(1),
                             room_.take(p_.value_channels * padded<T>(seen_)));
    tile::Finite<T> finite;
    if (dk) q_rows_ = tile::packed_rows(q_, p_.queries, p_.channels, room_.take(p_.queries * width_), finite);
    if (dq) k_rows_ = tile::packed_rows(k, seen_, p_.channels, room_.take(seen_ * width_), finite);
    if (dv)
      dy_rows_ = tile::packed_rows(dy_, p_.queries, p_.value_channels, room_.take(p_.queries * value_width_),
                                   finite);
    careful_ = sight_.hides() && !finite;
    weights_ = {room_.take(tile_queries * tile_keys), tile_keys};
    slopes_ = {room_.take(tile_queries * tile_keys), tile_keys};
    dq_ = {room_.take(tile_queries * width_), width_};
    dk_ = {room_.take(p_.keys * width_), width_};
    dv_ = {room_.take(p_.keys * value_width_), value_width_};

    std::int64_t begun = 0;  // keys whose gradients some query has reached
    for (std::int64_t i = 0; i < p_.queries; i += tile_queries) {
      const std::int64_t rows = std::min(tile_queries, p_.queries - i);
      const std::int64_t limit = sight_.limit(i + rows - 1);
      const bool last = i + rows == p_.queries;
      if (needs_scores) {
        for (std::int64_t r = 0; r < rows; ++r) delta_[r] = delta_of(i + r);
      }
      for (std::int64_t j = 0; j < limit; j += tile_keys) {
        const std::int64_t keys = std::min(tile_keys, limit - j);
        const bool fresh = j >= begun;
        if (!fresh && j + keys > begun) clear(begun, j + keys);
        begun = std::max(begun, j + keys);
        weigh(i, rows, j, keys, needs_scores);
        if (dq) spread_to_queries(i, rows, j, keys, j + keys == limit, dq);
        if (dk)
          spread_to_keys(i, rows, j, keys, fresh, last, slopes_, q_rows_, dk_, width_,
                         to(dk, p_.channels, p_.scale, j));
        if (dv)
          spread_to_keys(i, rows, j, keys, fresh, last, weights_, dy_rows_, dv_, value_width_,
                         to(dv, p_.value_channels, T(1), j));
      }
      if (dq && limit == 0) give_zeros(rows, width_, to(dq, p_.channels, p_.scale, i));
    }
    if (dk) give_zeros(p_.keys - begun, width_, to(dk, p_.channels, p_.scale, begun));
    if (dv) give_zeros(p_.keys - begun, value_width_, to(dv, p_.value_channels, T(1), begun));
  }

 private:
  // Where rows from `first` on of a gradient go.
  auto to(const HeadsInto<T>& x, std::int64_t columns, T factor, std::int64_t first) const {
    T* const data = x.into.data + b_ * x.batch + h_ * x.head + first * x.time;
    return tile::Give{Matrix<T>{data, x.time}, columns, [factor](std::int64_t) { return factor; },
                      x.into.add};
  }

  static constexpr std::int64_t lanes = tile::lanes_in_64<T>;

  void clear(std::int64_t first_key, std::int64_t last_key) {
    std::fill(dk_.row(first_key), dk_.row(last_key), T(0));
    std::fill(dv_.row(first_key), dv_.row(last_key), T(0));
  }

  // sum of dy y over the channels of query i: what the gradient of every weight of the row has in common.
  T delta_of(std::int64_t i) const {
    tile::Sums<T> sums;
    sums.add_products(dy_.row(i), y_.row(i), p_.value_channels);
    return sums.total();
  }

  // The keys of the tile that the queries up to `last_query` see.
  std::int64_t visible(std::int64_t last_query, std::int64_t j, std::int64_t keys) const {
    return std::clamp(sight_.limit(last_query) - j, std::int64_t{0}, keys);
  }

  // The tile of weights P and, if wanted, of dS = P (dy v^T - delta): 0 where a query does not see a key.
  void weigh(std::int64_t i, std::int64_t rows, std::int64_t j, std::int64_t keys, bool needs_scores) {
    const auto beside = [this] { ahead_.ask(); };
    const auto multiply = [&](Matrix<const T> left, Matrix<const T> right, std::int64_t depth, Matrix<T> to) {
      tile::product<T, false>(
          rows, {left.row(i), left.stride}, {right.data + j, right.stride}, to, {.fresh = true},
          [&](std::int64_t, std::int64_t last_row) {
            return Extent{0, depth, padded<T>(visible(i + last_row - 1, j, keys)) / lanes};
          },
          beside);
    };
    const bool known = kept_.exponentials.data != nullptr;
    if (!known) multiply(q_, kt_, p_.channels, weights_);
    if (needs_scores) multiply(dy_, vt_, p_.value_channels, slopes_);
    const T nothing = careful_ ? tile::unseen<T>() : T(0);
    T factors[2 * tile_keys];
    for (std::int64_t r = 0; r < rows; ++r) {
      T* weights = weights_.row(r);
      T* slopes = slopes_.row(r);
      const std::int64_t seen = visible(i + r, j, keys);
      const std::int64_t n = padded<T>(seen);
      const T* kept = kept_.rows + 2 * (i + r);
      if (known) {
        weigh_exponentials(kept_.exponentials.row(i + r) + j, kept[1], n, weights);
      } else {
        weigh_row(kept, n, weights);
      }
      const bool drops = p_.dropout > 0;  // what y was made of were the weights times these factors
      if (drops && r % 2 == 0) dropout_.factors(i + r, j, factors);
      const T* factor = factors + r % 2 * tile_keys;
      if (drops && needs_scores) scale(slopes, factor, n);
      if (needs_scores) slope_row(delta_[r], n, weights, slopes);
      if (drops) scale(weights, factor, n);
      hide(i + r, j, seen, nothing, weights);
      if (needs_scores) hide(i + r, j, seen, nothing, slopes);
    }
  }

  static void scale(T* __restrict row, const T* __restrict factor, std::int64_t n) {
    for (std::int64_t l = 0; l < n; ++l) row[l] *= factor[l];
  }

  static void weigh_exponentials(const T* __restrict exponentials, T factor, std::int64_t n,
                                 T* __restrict weights) {
    for (std::int64_t l = 0; l < n; ++l) weights[l] = exponentials[l] * factor;
  }

  // Scores to weights.
  static void weigh_row(const T* kept, std::int64_t n, T* weights) {
    const T most = kept[0];
    const T factor = kept[1];
    for (std::int64_t j = 0; j < n; j += lanes) {
      for (std::int64_t l = j; l < j + lanes; ++l) weights[l] = exp_of_negative(weights[l] - most) * factor;
    }
  }

  // dP to dS. Adding 0 leaves the negative zero to what is not seen.
  static void slope_row(T delta, std::int64_t n, const T* __restrict weights, T* __restrict slopes) {
    for (std::int64_t j = 0; j < n; j += lanes) {
      for (std::int64_t l = j; l < j + lanes; ++l) slopes[l] = weights[l] * (slopes[l] - delta) + T(0);
    }
  }

  void hide(std::int64_t i, std::int64_t j, std::int64_t seen, T value, T* row) const {
    sight_.hide(i, j, j + seen, value, row);
    tile::fill_tail(row, seen, value);
    tile::fill_after(row, seen, tile_keys, value);
  }

  // dq += dS k for the tile; the `last` keys end the sums.
  void spread_to_queries(std::int64_t i, std::int64_t rows, std::int64_t j, std::int64_t keys, bool last,
                         const HeadsInto<T>& dq) {
    const auto multiply = [&](const auto& done) {
      tile::product<T, false>(
          rows, {slopes_.data, tile_keys}, {k_rows_.row(j), k_rows_.stride}, dq_,
          {.fresh = j == 0, .careful = careful_},
          [&](std::int64_t, std::int64_t last_row) {
            return Extent{0, visible(i + last_row - 1, j, keys), width_ / lanes};
          },
          [this] { ahead_.ask(); }, done);
    };
    last ? multiply(to(dq, p_.channels, p_.scale, i)) : multiply(tile::Keep<T>{dq_});
  }

  // dk += dS^T q, or dv += P^T dy, for the tile: `sums` of all keys, `fresh` ones of which have none yet; the
  // `last` queries end them.
  template <class Give>
  void spread_to_keys(std::int64_t i, std::int64_t rows, std::int64_t j, std::int64_t keys, bool fresh,
                      bool last, Matrix<T> of_tile, Matrix<const T> right, Matrix<T> sums, std::int64_t width,
                      const Give& give) {
    const Matrix<T> of_keys{sums.row(j), sums.stride};
    const auto multiply = [&](const auto& done) {
      tile::product<T, true>(
          keys, {of_tile.data, of_tile.stride}, {right.row(i), right.stride}, of_keys,
          {.fresh = fresh, .careful = careful_},
          [&](std::int64_t first_key, std::int64_t) {
            return Extent{std::clamp(sight_.first_query(j + first_key) - i, std::int64_t{0}, rows), rows,
                          width / lanes};
          },
          [this] { ahead_.ask(); }, done);
    };
    last ? multiply(give) : multiply(tile::Keep<T>{of_keys});
  }

  const Attention<T>& p_;
  std::int64_t b_, h_;
  Sight<T> sight_;
  tile::WeightDropout<T> dropout_;
  std::int64_t seen_;  // keys that any query sees
  std::int64_t width_, value_width_;
  tile::Room<T> room_;
  Matrix<const T> q_, y_, dy_;  // in place
  tile::Kept<const T> kept_;
  tile::Ahead<T>& ahead_;
  Matrix<const T> kt_, vt_;                    // [channels, seen], [value_channels, seen]
  Matrix<const T> q_rows_, k_rows_, dy_rows_;  // with columns up to a whole vector
  Matrix<T> weights_, slopes_;                 // [tile_queries, tile_keys]
  Matrix<T> dq_, dk_, dv_;                     // [tile_queries, width], [keys, width], [keys, value_width]
  T delta_[tile_queries];
  bool careful_ = false;
};

// What the way back of head (b, h) prefetches.
template <class T>
void look_ahead(const Attention<T>& p, const Heads<const T>& y, const T* kept, const Heads<const T>& dy,
                const HeadsInto<T>& dq, const HeadsInto<T>& dk, const HeadsInto<T>& dv, std::int64_t b,
                std::int64_t h, tile::Ahead<T>& ahead) {
  const auto add = [&](const HeadsInto<T>& into, std::int64_t rows, std::int64_t columns) {
    if (into) ahead.add(into.into.data + b * into.batch + h * into.head, into.time, rows, columns);
  };
  add(dq, p.queries, p.channels);
  add(dk, p.keys, p.channels);
  add(dv, p.keys, p.value_channels);
  ahead.add_next(p.v, p.keys, p.value_channels);
  ahead.add_next(p.q, p.queries, p.channels);
  ahead.add_next(p.k, p.keys, p.channels);
  ahead.add_next(dy, p.queries, p.value_channels);
  ahead.add_next(y, p.queries, p.value_channels);
  ahead.add_next_exponentials(kept);
}

}  // namespace

template <class T>
void attention_grad(const Attention<T>& p, Heads<const T> y, const T* kept, Heads<const T> dy,
                    HeadsInto<T> dq, HeadsInto<T> dk, HeadsInto<T> dv) {
  const double work = (4.0 * static_cast<double>(p.channels) +
                       6.0 * static_cast<double>(p.channels + p.value_channels) / 2 + cost_of_exp) *
                      static_cast<double>(p.queries) * static_cast<double>(p.keys) / (p.causal ? 2 : 1);
  const Workspace<T> memory(HeadGradient<T>::elements(p));
  parallel_for(p.batch * p.heads, work * static_cast<double>(p.batch * p.heads), memory.workers(),
               [&](std::int64_t head, int worker) {
                 const std::int64_t b = head / p.heads, h = head % p.heads;
                 tile::Ahead<T> ahead(p, b, h);
                 look_ahead(p, y, kept, dy, dq, dk, dv, b, h, ahead);
                 HeadGradient<T>(p, y, kept, dy, b, h, memory.of(worker), ahead).run(dq, dk, dv);
               });
}

#define REEL_INSTANTIATE(T)                                                                                 \
  template void attention_grad(const Attention<T>&, Heads<const T>, const T*, Heads<const T>, HeadsInto<T>, \
                               HeadsInto<T>, HeadsInto<T>)
REEL_INSTANTIATE(float);
REEL_INSTANTIATE(double);
REEL_INSTANTIATE(Dual);
#undef REEL_INSTANTIATE

}  // namespace reel::kernels
