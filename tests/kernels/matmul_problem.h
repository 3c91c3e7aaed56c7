#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/dual.h"
#include "kernels/matmul.h"

// A product of random matrices for the tests: any storage, with NaN around every matrix.

namespace reel::kernels::testing {

using Index = std::int64_t;

struct Case {
  Index m = 0, n = 0, k = 0;
  bool transpose_a = false, transpose_b = false, add = false, bias = false, addend = false, relu = false;
  Index batch = 1;
  bool one_a = false, one_b = false;      // stride 0: the same matrix for the whole batch
  Index pad_a = 0, pad_b = 0, pad_c = 0;  // how much longer rows are than they need be
  Index shift = 0;                        // elements by which the matrices miss their alignment
};

inline std::string name_of(const Case& c) {
  return std::to_string(c.m) + "x" + std::to_string(c.n) + "x" + std::to_string(c.k) +
         (c.transpose_a ? " A^T" : "") + (c.transpose_b ? " B^T" : "") + (c.add ? " add" : "") +
         (c.bias ? " bias" : "") + (c.addend ? " addend" : "") + (c.relu ? " relu" : "") + " batch " +
         std::to_string(c.batch) + (c.one_a ? " one A" : "") + (c.one_b ? " one B" : "") + " shift " +
         std::to_string(c.shift);
}

inline double tangent_of(double) { return 0; }
inline double tangent_of(Dual x) { return x.tangent; }
template <class T>
T poison() {
  return T(std::numeric_limits<double>::quiet_NaN());
}
template <class T>
bool is_poison(T x) {
  return std::isnan(static_cast<double>(x));
}
template <class T>
bool same_bits(T a, T b) {
  return a == b && std::signbit(a) == std::signbit(b);
}

template <class T>
T number(std::mt19937& random) {
  const auto uniform = [&] { return static_cast<double>(random()) / 4294967296.0 * 2 - 1; };
  if constexpr (std::is_same_v<T, Dual>) {
    const double value = uniform();
    return {value, uniform()};
  } else {
    return static_cast<T>(uniform());
  }
}

// A matrix for every element of the batch; everything around the elements is NaN.
template <class T>
struct Matrices {
  Index rows, cols, stride, step, shift;
  std::vector<T> memory;

  Matrices(Index batch, Index rows_, Index cols_, Index pad, bool one, Index shift_, std::mt19937& random)
      : rows(rows_), cols(cols_), stride(cols_ + pad), step(one ? 0 : rows_ * stride + 5), shift(shift_) {
    memory.assign(static_cast<std::size_t>(shift + (one ? 1 : batch) * (rows * stride + 5) + 5), poison<T>());
    for (Index b = 0; b < (one ? 1 : batch); ++b) {
      for (Index i = 0; i < rows; ++i) {
        for (Index j = 0; j < cols; ++j) at(b, i, j) = number<T>(random);
      }
    }
  }
  T* data() { return memory.data() + shift; }
  T& at(Index b, Index i, Index j) {
    return memory[static_cast<std::size_t>(shift + b * step + i * stride + j)];
  }
};

template <class T>
struct Problem {
  Case c;
  Matrices<T> a, b, result, addend;
  std::vector<T> bias;

  Problem(const Case& c_, std::mt19937& random)
      : c(c_),
        a(c.batch, c.transpose_a ? c.k : c.m, c.transpose_a ? c.m : c.k, c.pad_a, c.one_a, c.shift, random),
        b(c.batch, c.transpose_b ? c.n : c.k, c.transpose_b ? c.k : c.n, c.pad_b, c.one_b, c.shift, random),
        result(c.batch, c.m, c.n, c.pad_c, false, c.shift, random),
        addend(c.batch, c.m, c.n, c.pad_c, false, c.shift, random) {
    for (Index j = 0; j < c.n; ++j) bias.push_back(number<T>(random));
  }

  T left(Index batch, Index i, Index k) { return c.transpose_a ? a.at(batch, k, i) : a.at(batch, i, k); }
  T right(Index batch, Index k, Index j) { return c.transpose_b ? b.at(batch, j, k) : b.at(batch, k, j); }

  Matmul<T> arguments() {
    return {.m = c.m,
            .n = c.n,
            .k = c.k,
            .a = a.data(),
            .lda = a.stride,
            .transpose_a = c.transpose_a,
            .b = b.data(),
            .ldb = b.stride,
            .transpose_b = c.transpose_b,
            .c = {result.data(), c.add},
            .ldc = result.stride,
            .bias = c.bias ? bias.data() : nullptr,
            .addend = c.addend ? addend.data() : nullptr,
            .relu = c.relu,
            .batch = c.batch,
            .stride_a = a.step,
            .stride_b = b.step,
            .stride_c = result.step};
  }
};

// Bit for bit, and nothing outside of C was written.
inline void expect_result(Problem<float>& p, Problem<float>& expected) {
  for (std::size_t i = 0; i < p.result.memory.size(); ++i) {
    const float want = expected.result.memory[i];
    if (is_poison(want)) {
      ASSERT_TRUE(is_poison(p.result.memory[i])) << "written outside of C";
    } else {
      ASSERT_TRUE(same_bits(p.result.memory[i], want)) << p.result.memory[i] << " instead of " << want;
    }
  }
}

inline Index pick(std::mt19937& random, const std::vector<Index>& from) {
  return from[random() % static_cast<unsigned>(from.size())];
}
inline bool coin(std::mt19937& random) { return random() % 2 == 0; }

inline Case any_case(std::mt19937& random, Index most) {
  std::vector<Index> sizes{0, 1, 2, 3, 5, 7, 8, 9, 11, 12, 13, 16, 17, 31, 32, 33, 64, 65, 100, 257};
  std::erase_if(sizes, [most](Index s) { return s > most; });
  Case c;
  c.m = pick(random, sizes);
  c.n = pick(random, sizes);
  c.k = pick(random, sizes);
  c.transpose_a = coin(random);
  c.transpose_b = coin(random);
  c.add = coin(random);
  c.bias = coin(random);
  c.addend = coin(random);
  c.relu = coin(random);
  c.batch = pick(random, {1, 1, 1, 2, 3});
  c.one_a = random() % 4 == 0;
  c.one_b = random() % 4 == 0;
  c.pad_a = pick(random, {0, 1, 16});
  c.pad_b = pick(random, {0, 1, 16});
  c.pad_c = pick(random, {0, 1, 16});
  c.shift = pick(random, {0, 0, 1, 3});
  if (c.add) c.bias = false;
  return c;
}

// Sizes around those of tiles, in each of four storages.
template <class Check>
void for_every_small_size(const std::vector<Index>& rows, std::mt19937& random, Check check) {
  for (const Index m : rows) {
    for (const Index n : {1, 2, 15, 16, 17, 31, 32, 33}) {
      for (const Index k : {1, 2, 3, 16, 31, 32, 33, 34}) {
        for (int kind = 0; kind < 4; ++kind) {
          check({.m = m,
                 .n = n,
                 .k = k,
                 .transpose_a = kind / 2 == 1,
                 .transpose_b = kind % 2 == 1,
                 .add = coin(random),
                 .addend = coin(random),
                 .relu = coin(random)});
        }
      }
    }
  }
}

// One more row and column than one of these sizes, for each k.
template <class Check>
void for_every_depth(const std::vector<Index>& depths, const std::vector<Index>& rows,
                     const std::vector<Index>& columns, std::mt19937& random, Check check) {
  for (const Index k : depths) {
    for (int kind = 0; kind < 8; ++kind) {
      check({.m = 1 + pick(random, rows),
             .n = 1 + pick(random, columns),
             .k = k,
             .transpose_a = kind / 2 % 2 == 1,
             .transpose_b = kind % 2 == 1,
             .add = kind >= 4,
             .bias = kind < 4 && coin(random),
             .addend = coin(random),
             .relu = coin(random),
             .pad_a = 3,
             .pad_c = 1});
    }
  }
}

}  // namespace reel::kernels::testing
