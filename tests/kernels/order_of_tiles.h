#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

#include "tests/kernels/matmul_problem.h"

// Products of bfloat16 as the matrix unit adds them up, number by number.

namespace reel::kernels::testing {

enum class Tie { to_even, away_from_zero };

// Of the two bfloat16 on either side of x the nearer one by measuring.
inline float nearest_bf16(float x, Tie tie) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const float low = std::bit_cast<float>(bits & 0xffff0000U);
  const float high = std::bit_cast<float>((bits & 0xffff0000U) + 0x10000U);
  const double to_low = std::fabs(static_cast<double>(x) - static_cast<double>(low));
  const double to_high = std::fabs(static_cast<double>(high) - static_cast<double>(x));
  if (to_low != to_high) return to_low < to_high ? low : high;
  return tie == Tie::to_even && (bits >> 16 & 1U) == 0 ? low : high;
}

// The unit takes subnormals as 0, and makes none.
inline float flushed(float x) { return std::fabs(x) < 0x1p-126f ? std::copysign(0.0f, x) : x; }

// What numbers are taken apart into, and which products of those are added up, in order.
struct Piecewise {
  Index most_depth;  // of a block of k
  std::array<float, 3> (*pieces_of)(float);
  std::vector<std::array<std::size_t, 2>> products;
};

inline const Piecewise one_piece = {512, [](float x) { return std::array{x, 0.0f, 0.0f}; }, {{0, 0}}};

inline std::array<float, 3> three_pieces_of(float x) {
  std::array<float, 3> pieces = {};
  for (float& piece : pieces) {
    if (x == 0) break;
    piece = nearest_bf16(x, Tie::away_from_zero);
    x -= piece;
    piece = flushed(piece);
  }
  return pieces;
}
inline const Piecewise three_pieces = {
    128, three_pieces_of, {{0, 0}, {0, 1}, {1, 1}, {1, 0}, {2, 0}, {0, 2}}};

inline void multiply_in_order_of_tiles(Problem<float>& p, const Piecewise& how) {
  // Blocks of the product of floats, in multiples of 16; where those are too long, in multiples of 32.
  const auto depth_of = [&p](Index most, Index unit) {
    const Index blocks = std::max<Index>(1, (p.c.k + most - 1) / most);
    return std::max<Index>(1, ((p.c.k + blocks - 1) / blocks + unit - 1) / unit * unit);
  };
  const Index of_floats = depth_of(512, 16);
  const Index depth = of_floats > how.most_depth ? depth_of(how.most_depth, 32) : of_floats;
  const auto split = [&how](Index count, auto number_at) {
    std::vector<std::array<float, 3>> pieces;
    for (Index k = 0; k < count; ++k) pieces.push_back(how.pieces_of(number_at(k)));
    return pieces;
  };
  for (Index batch = 0; batch < p.c.batch; ++batch) {
    std::vector<std::vector<std::array<float, 3>>> columns;
    for (Index j = 0; j < p.c.n; ++j)
      columns.push_back(split(p.c.k, [&](Index k) { return p.right(batch, k, j); }));
    for (Index i = 0; i < p.c.m; ++i) {
      const auto row = split(p.c.k, [&](Index k) { return p.left(batch, i, k); });
      for (Index j = 0; j < p.c.n; ++j) {
        const auto& column = columns[static_cast<std::size_t>(j)];
        float& c = p.result.at(batch, i, j);
        if (p.c.k == 0 && !p.c.add) c = p.c.bias ? p.bias[static_cast<std::size_t>(j)] : 0.0f;
        for (Index first = 0; first < p.c.k; first += depth) {
          float sum = 0;
          for (Index some = first; some < std::min(p.c.k, first + depth); some += 32) {
            for (const auto& [left, right] : how.products) {
              float chains[2] = {};
              for (Index k = some; k < std::min({p.c.k, first + depth, some + 32}); ++k) {
                const auto at = static_cast<std::size_t>(k);
                chains[k % 2] = flushed(std::fma(row[at][left], column[at][right], chains[k % 2]));
              }
              sum = flushed(sum + flushed(chains[0] + chains[1]));
            }
          }
          if (p.c.add || first > 0) {
            c += sum;
          } else {
            c = p.c.bias ? sum + p.bias[static_cast<std::size_t>(j)] : sum;
          }
        }
        if (p.c.addend && !p.c.add) c += p.addend.at(batch, i, j);
        if (p.c.relu && !p.c.add && c <= 0) c = 0;
      }
    }
  }
}

}  // namespace reel::kernels::testing
