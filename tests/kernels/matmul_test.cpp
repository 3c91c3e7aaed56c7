#include "kernels/matmul.h"

#define EIGEN_DONT_VECTORIZE  // as plain an oracle as it gets
#include <gtest/gtest.h>

#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "kernels/dual.h"
#include "kernels/parallel.h"
#include "tests/kernels/matmul_problem.h"
#include "tests/support/guarded.h"

namespace reel::kernels {
namespace {

using namespace testing;

// What the compiler's double precision makes of the definition.
template <class T>
void expect_product(const Case& c, std::mt19937& random) {
  SCOPED_TRACE(name_of(c));
  Problem<T> p(c, random);
  const Matrices<T> before = p.result;
  Matrices<T> expected = p.result;
  if (!c.add) {
    for (Index b = 0; b < c.batch; ++b) {
      for (Index i = 0; i < c.m; ++i) {
        for (Index j = 0; j < c.n; ++j) p.result.at(b, i, j) = poison<T>();
      }
    }
  }
  matmul(p.arguments());
  const double epsilon = std::is_same_v<T, float> ? 6e-8 : 1.2e-16;
  for (Index b = 0; b < c.batch; ++b) {
    for (Index i = 0; i < c.m; ++i) {
      for (Index j = 0; j < c.n; ++j) {
        double value = 0;
        double tangent = 0;
        double size = 0;
        const auto plus = [&](double v, double t) {
          value += v;
          tangent += t;
          size += std::fabs(v) + std::fabs(t);
        };
        const T start = c.add ? expected.at(b, i, j) : c.bias ? p.bias[static_cast<std::size_t>(j)] : T(0);
        plus(static_cast<double>(start), tangent_of(start));
        if (c.addend && !c.add)
          plus(static_cast<double>(p.addend.at(b, i, j)), tangent_of(p.addend.at(b, i, j)));
        for (Index k = 0; k < c.k; ++k) {
          const T x = p.left(b, i, k);
          const T y = p.right(b, k, j);
          plus(static_cast<double>(x) * static_cast<double>(y),
               tangent_of(x) * static_cast<double>(y) + static_cast<double>(x) * tangent_of(y));
        }
        const T got = p.result.at(b, i, j);
        const double slack = epsilon * size * (4 + std::sqrt(static_cast<double>(c.k)));
        if (c.relu && !c.add) {
          ASSERT_GE(static_cast<double>(got), 0);
          if (got == T(0)) {
            tangent = 0;
            if (value < slack) value = 0;
          }
        }
        ASSERT_NEAR(static_cast<double>(got), value, slack)
            << "matrix " << b << " element " << i << ", " << j;
        ASSERT_NEAR(tangent_of(got), tangent, slack) << "matrix " << b << " element " << i << ", " << j;
      }
    }
  }
  // What lies between the rows and behind them is as it was.
  for (Index b = 0; b < c.batch; ++b) {
    for (Index i = 0; i < c.m; ++i) {
      for (Index j = 0; j < c.n; ++j) p.result.at(b, i, j) = poison<T>();
    }
  }
  for (const T x : p.result.memory) ASSERT_TRUE(is_poison(x));
}

TEST(Matmul, EqualsTheTripleLoop) {
  std::mt19937 random(1);
  for (int i = 0; i < 600; ++i) expect_product<float>(any_case(random, 257), random);
  for (int i = 0; i < 200; ++i) expect_product<double>(any_case(random, 100), random);
  for (int i = 0; i < 200; ++i) expect_product<Dual>(any_case(random, 33), random);
}

TEST(Matmul, EqualsTheTripleLoopForEverySmallSize) {
  std::mt19937 random(2);
  for (Index m = 1; m <= 14; ++m) {
    for (Index n = 1; n <= 34; n += n < 10 ? 1 : 3) {
      for (const Index k : {1, 2, 4, 5, 17}) {
        for (int kind = 0; kind < 4; ++kind) {
          const Case c{.m = m,
                       .n = n,
                       .k = k,
                       .transpose_a = kind / 2 == 1,
                       .transpose_b = kind % 2 == 1,
                       .add = coin(random),
                       .addend = coin(random),
                       .relu = coin(random),
                       .pad_c = 1};
          expect_product<float>(c, random);
          if (m % 4 == 0) expect_product<double>(c, random);
        }
      }
    }
  }
}

TEST(Matmul, EqualsTheTripleLoopBeyondOneBlockOfDepth) {
  std::mt19937 random(3);
  for_every_depth({255, 256, 257, 511, 512, 513, 1000, 1025, 2100}, {0, 7, 12, 64}, {0, 15, 31, 64}, random,
                  [&](const Case& c) {
                    expect_product<float>(c, random);
                    expect_product<double>(c, random);
                  });
  expect_product<Dual>({.m = 3, .n = 5, .k = 700}, random);
}

// Columns of A whose rows lie far apart are lined up by the first of several tiles that read them.
TEST(Matmul, EqualsTheTripleLoopWhereTheRowsOfATurnedOverAreFarApart) {
  std::mt19937 random(31);
  for (const Index m : {1, 3, 6, 11, 12, 13, 25}) {
    for (const Index n : {8, 33, 64, 97, 300}) {
      for (const Index k : {1, 4, 19, 600}) {
        Case c{.m = m, .n = n, .k = k, .transpose_a = true, .transpose_b = coin(random), .add = coin(random)};
        c.pad_a = 384 + pick(random, {0, 1});
        expect_product<float>(c, random);
        if (k < 600) expect_product<double>(c, random);
        if (k < 19 && n < 100) expect_product<Dual>(c, random);
      }
    }
  }
}

// Rows of A a multiple of 4096 bytes apart compete for a cache: eight tiles are lined up at a time.
TEST(Matmul, EqualsTheTripleLoopWhereTheRowsOfATurnedOverCompete) {
  std::mt19937 random(32);
  for (const Index m : {1, 12, 25, 95, 97, 205}) {
    for (const Index n : {8, 33, 97, 300}) {
      for (const Index k : {1, 8, 19, 600}) {
        if (m * n * k > 10'000'000) continue;
        const Case c{.m = m,
                     .n = n,
                     .k = k,
                     .transpose_a = true,
                     .transpose_b = coin(random),
                     .add = coin(random),
                     .pad_a = 1024 - m};
        expect_product<float>(c, random);
        if (k < 600) expect_product<double>(c, random);
        if (k < 19 && n < 100) expect_product<Dual>(c, random);
      }
    }
  }
}

// Columns of B a multiple of 2048 bytes apart compete for a cache: a pass of its own turns them over.
TEST(Matmul, EqualsTheTripleLoopWhereTheColumnsOfBTurnedOverCompete) {
  std::mt19937 random(35);
  for (const Index m : {1, 5, 12, 61}) {
    for (const Index n : {8, 32, 33, 97}) {
      for (const Index k : {1, 4, 19, 512, 600}) {
        const Case c{.m = m,
                     .n = n,
                     .k = k,
                     .transpose_a = coin(random),
                     .transpose_b = true,
                     .add = coin(random),
                     .pad_b = 1024 - k};
        expect_product<float>(c, random);
        if (k < 600) expect_product<double>(c, random);
      }
    }
  }
}

// A wide task goes along its panels of B, which it packs in several blocks, with one block of k after
// another. How many tasks there are follows from the number of threads.
TEST(Matmul, EqualsTheTripleLoopInWideTasks) {
  std::mt19937 random(33);
  const int threads_before = threads();
  for (const int count : {1, 3}) {
    set_threads(count);
    for (int kind = 0; kind < 8; ++kind) {
      const bool transpose_b = kind % 2 == 1, add = kind / 2 % 2 == 1, large_a = kind / 4 == 1;
      Case c{.transpose_b = transpose_b,
             .add = add,
             .bias = !add,
             .addend = large_a,
             .relu = transpose_b,
             .pad_c = 1};
      if (large_a) {  // more than a MiB
        c.m = 61, c.n = 75, c.k = 4400;
      } else {  // columns that are lined up
        c.m = 50 + pick(random, {0, 11, 100}), c.n = 610, c.k = 530;
        c.transpose_a = true;
        c.pad_a = 128;
      }
      expect_product<float>(c, random);
      if (!large_a) expect_product<double>(c, random);
    }
  }
  set_threads(threads_before);
}

// The factors and the result end where nobody may read or write.
template <class T>
void expect_within_bounds(Case c, Products products, std::mt19937& random) {
  SCOPED_TRACE(name_of(c));
  Problem<T> p(c, random);
  const auto count = [](Index rows, Index stride, Index cols) {
    return static_cast<std::size_t>((rows - 1) * stride + cols);
  };
  const std::size_t size_a = count(p.a.rows, p.a.stride, p.a.cols);
  const std::size_t size_b = count(p.b.rows, p.b.stride, p.b.cols);
  const std::size_t size_c = count(c.m, p.result.stride, c.n);
  reel::testing::Guarded<T> a(size_a), b(size_b), result(size_c);
  std::copy_n(p.a.data(), size_a, a.data());
  std::copy_n(p.b.data(), size_b, b.data());
  std::copy_n(p.result.data(), size_c, result.data());
  Matmul<T> guarded = p.arguments();
  guarded.products = products;
  guarded.a = a.data();
  guarded.b = b.data();
  guarded.c.data = result.data();
  matmul(guarded);
  Matmul<T> plain = p.arguments();
  plain.products = products;
  matmul(plain);
  for (Index i = 0; i < c.m; ++i) {
    for (Index j = 0; j < c.n; ++j)
      ASSERT_TRUE(same_bits(result.data()[i * p.result.stride + j], p.result.at(0, i, j)));
  }
}

TEST(Matmul, ReadsNothingBehindItsFactors) {
  std::mt19937 random(32);
  for (const Index m : {1, 5, 12, 13, 30, 70}) {
    for (const Index n : {1, 17, 40, 270}) {  // and so many that tiles of one task share their rows of A
      for (const Index k : {1, 3, 8, 70}) {
        for (int kind = 0; kind < 8; ++kind) {
          const Case c{.m = m,
                       .n = n,
                       .k = k,
                       .transpose_a = kind / 2 % 2 == 1,
                       .transpose_b = kind % 2 == 1,
                       .add = coin(random),
                       .pad_a = kind >= 4 ? 400 : 0};
          expect_within_bounds<float>(c, Products::full, random);
          expect_within_bounds<float>(c, Products::bf16, random);
          expect_within_bounds<float>(c, Products::bf16x6, random);
          expect_within_bounds<double>(c, Products::full, random);
        }
      }
    }
  }
}

TEST(Matmul, AnEmptyInnerSizeGivesTheBiasOrZero) {
  const float bias[3] = {1, 2, 3};
  float c[2][3] = {{7, 7, 7}, {7, 7, 7}};
  Matmul<float> p{.m = 2, .n = 3, .k = 0, .c = {&c[0][0], true}, .ldc = 3};
  matmul(p);
  EXPECT_EQ(c[1][2], 7);
  p.c.add = false;
  p.bias = bias;
  matmul(p);
  EXPECT_EQ(c[0][0], 1);
  EXPECT_EQ(c[1][2], 3);
  p.bias = nullptr;
  matmul(p);
  EXPECT_EQ(c[0][0], 0);
  EXPECT_EQ(c[1][2], 0);
}

TEST(Matmul, AgreesWithEigen) {
  using Dense = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  std::mt19937 random(4);
  for (const auto& [m, n, k] : {std::array<Index, 3>{96, 70, 300}, {257, 129, 64}, {13, 400, 530}}) {
    Problem<double> p({.m = m, .n = n, .k = k}, random);
    matmul(p.arguments());
    const Eigen::Map<const Dense> a(p.a.data(), m, k);
    const Eigen::Map<const Dense> b(p.b.data(), k, n);
    const Eigen::Map<const Dense> c(p.result.data(), m, n);
    EXPECT_LT((c - a * b).cwiseAbs().maxCoeff(), 1e-12);
  }
}

template <class T>
std::vector<T> product(Problem<T>& p) {
  Matrices<T> result = p.result;
  Matmul<T> arguments = p.arguments();
  arguments.c.data = result.data();
  matmul(arguments);
  return result.memory;
}

TEST(Matmul, GivesTheSameBitsForAnyNumberOfThreads) {
  std::mt19937 random(5);
  const int threads_before = threads();
  for (int kind = 0; kind < 8; ++kind) {
    for (const auto& [m, n, k] : {std::array<Index, 3>{65, 100, 784},
                                  {500, 65, 130},
                                  {1200, 130, 90},
                                  {10, 784, 64},
                                  {300, 10, 700},
                                  {150, 610, 530},
                                  {61, 75, 4400},
                                  {1, 1000, 300}}) {
      Problem<float> p({.m = m,
                        .n = n,
                        .k = k,
                        .transpose_a = kind / 2 % 2 == 1,
                        .transpose_b = kind % 2 == 1,
                        .add = kind >= 4},
                       random);
      set_threads(1);
      const std::vector<float> one = product(p);
      for (const int count : {2, 3, 5}) {
        set_threads(count);
        const std::vector<float> many = product(p);
        for (std::size_t i = 0; i < one.size(); ++i) {
          if (is_poison(one[i])) continue;
          ASSERT_TRUE(same_bits(one[i], many[i])) << name_of(p.c) << ", " << count << " threads";
        }
      }
    }
  }
  set_threads(threads_before);
}

// A key-value cache multiplies one row where training multiplies many: both must see the same numbers.
template <class T>
void expect_rows_independent(Index m, Index n, Index k, int kind, std::mt19937& random) {
  Problem<T> p({.m = m,
                .n = n,
                .k = k,
                .transpose_a = kind / 2 % 2 == 1,
                .transpose_b = kind % 2 == 1,
                .bias = kind >= 4},
               random);
  SCOPED_TRACE(name_of(p.c));
  matmul(p.arguments());
  for (const Index rows : {1, 2, 5, 12, 13, 40}) {
    for (Index first = 0; first + rows <= m; first += rows + 3) {
      Matmul<T> some = p.arguments();
      some.m = rows;
      some.a += first * (some.transpose_a ? 1 : some.lda);
      std::vector<T> c(static_cast<std::size_t>(rows * n), poison<T>());
      some.c = {c.data(), false};
      some.ldc = n;
      matmul(some);
      for (Index i = 0; i < rows; ++i) {
        for (Index j = 0; j < n; ++j) {
          ASSERT_TRUE(same_bits(c[static_cast<std::size_t>(i * n + j)], p.result.at(0, first + i, j)))
              << rows << " rows from " << first << ", element " << i << ", " << j;
        }
      }
    }
  }
}

TEST(Matmul, ARowHasTheSameBitsAloneAndAmongOthers) {
  std::mt19937 random(6);
  for (int kind = 0; kind < 8; ++kind) {
    for (const auto& [n, k] :
         {std::array<Index, 2>{65, 128}, {32, 16}, {7, 3}, {130, 600}, {1, 40}, {17, 1025}, {33, 1024}}) {
      expect_rows_independent<float>(257, n, k, kind, random);
      expect_rows_independent<double>(61, n, k, kind, random);
    }
  }
}

// Columns and the inner dimension are computed wherever they are stored, so the transposition does not matter
// either.
TEST(Matmul, TheBitsDoNotDependOnHowTheOperandsAreStored) {
  std::mt19937 random(7);
  for (const auto& [m, n, k] :
       {std::array<Index, 3>{64, 65, 300}, {5, 3, 2}, {33, 100, 700}, {200, 10, 64}}) {
    Problem<float> p({.m = m, .n = n, .k = k}, random);
    matmul(p.arguments());
    for (int kind = 1; kind < 4; ++kind) {
      Problem<float> q(
          {.m = m, .n = n, .k = k, .transpose_a = kind / 2 == 1, .transpose_b = kind % 2 == 1, .pad_b = 2},
          random);
      for (Index i = 0; i < m; ++i) {
        for (Index l = 0; l < k; ++l) (q.c.transpose_a ? q.a.at(0, l, i) : q.a.at(0, i, l)) = p.a.at(0, i, l);
      }
      for (Index j = 0; j < n; ++j) {
        for (Index l = 0; l < k; ++l) (q.c.transpose_b ? q.b.at(0, j, l) : q.b.at(0, l, j)) = p.b.at(0, l, j);
      }
      matmul(q.arguments());
      for (Index i = 0; i < m; ++i) {
        for (Index j = 0; j < n; ++j)
          ASSERT_TRUE(same_bits(p.result.at(0, i, j), q.result.at(0, i, j))) << name_of(q.c);
      }
    }
  }
}

TEST(Matmul, TheBitsDoNotDependOnAlignment) {
  for (int kind = 0; kind < 4; ++kind) {
    std::vector<float> first;
    for (Index shift = 0; shift < 17; ++shift) {
      std::mt19937 random(8);
      Problem<float> p({.m = 45,
                        .n = 49,
                        .k = 67,
                        .transpose_a = kind / 2 == 1,
                        .transpose_b = kind % 2 == 1,
                        .shift = shift},
                       random);
      matmul(p.arguments());
      std::vector<float> c;
      for (Index i = 0; i < p.c.m; ++i) {
        for (Index j = 0; j < p.c.n; ++j) c.push_back(p.result.at(0, i, j));
      }
      if (shift == 0) first = c;
      ASSERT_EQ(c, first) << "shift " << shift;
    }
  }
}

// A NaN or an infinity reaches exactly the elements that the mathematics says, however the tiles lie.
TEST(Matmul, ANanStaysInItsRowAndColumn) {
  std::mt19937 random(9);
  for (int kind = 0; kind < 4; ++kind) {
    for (const auto& [row, column] : {std::array<Index, 2>{0, 0}, {13, 16}, {36, 66}}) {
      Problem<float> p(
          {.m = 37, .n = 67, .k = 20, .transpose_a = kind / 2 == 1, .transpose_b = kind % 2 == 1}, random);
      (p.c.transpose_a ? p.a.at(0, 3, row) : p.a.at(0, row, 3)) = poison<float>();
      (p.c.transpose_b ? p.b.at(0, column, 7) : p.b.at(0, 7, column)) =
          std::numeric_limits<float>::infinity();
      matmul(p.arguments());
      for (Index i = 0; i < p.c.m; ++i) {
        for (Index j = 0; j < p.c.n; ++j) {
          const float c = p.result.at(0, i, j);
          ASSERT_EQ(std::isnan(c), i == row) << i << ", " << j;
          ASSERT_EQ(std::isinf(c), i != row && j == column) << i << ", " << j;
        }
      }
    }
  }
}

// max(x, 0) of NaN is NaN, lest a model goes on training with it.
TEST(Matmul, ReluLeavesNan) {
  std::mt19937 random(34);
  for (const Products products : {Products::full, Products::bf16, Products::bf16x6}) {
    for (const Index m : {2, 70}) {
      Problem<float> p({.m = m, .n = 70, .k = 40, .transpose_b = true, .relu = true}, random);
      p.a.at(0, 1, 39) = poison<float>();
      Matmul<float> arguments = p.arguments();
      arguments.products = products;
      matmul(arguments);
      for (Index i = 0; i < m; ++i) {
        for (Index j = 0; j < 70; ++j) {
          const float c = p.result.at(0, i, j);
          if (i == 1) {
            ASSERT_TRUE(std::isnan(c)) << j;
          } else {
            ASSERT_GE(c, 0.0f) << i << ", " << j;
          }
        }
      }
    }
  }
}

struct Counted : reel::testing::Guarded<float> {
  explicit Counted(Index count) : Guarded(static_cast<std::size_t>(count)) {
    for (Index i = 0; i < count; ++i) data()[i] = static_cast<float>(i % 7) - 3;
  }
};

TEST(Matmul, TouchesNothingBehindItsOperands) {
  for (int kind = 0; kind < 4; ++kind) {
    for (const auto& [m, n, k] :
         {std::array<Index, 3>{3, 5, 7}, {13, 33, 17}, {70, 45, 100}, {60, 64, 31}, {1, 1, 1}}) {
      const Counted a(m * k);
      const Counted b(k * n);
      const Counted c(m * n);
      const Counted bias(n);
      const bool ta = kind / 2 == 1;
      const bool tb = kind % 2 == 1;
      matmul(Matmul<float>{.m = m,
                           .n = n,
                           .k = k,
                           .a = a.data(),
                           .lda = ta ? m : k,
                           .transpose_a = ta,
                           .b = b.data(),
                           .ldb = tb ? k : n,
                           .transpose_b = tb,
                           .c = {c.data(), false},
                           .ldc = n,
                           .bias = bias.data()});
      double sum = bias.data()[n - 1];
      for (Index l = 0; l < k; ++l) {
        sum += static_cast<double>(ta ? a.data()[l * m + m - 1] : a.data()[(m - 1) * k + l]) *
               static_cast<double>(tb ? b.data()[(n - 1) * k + l] : b.data()[l * n + n - 1]);
      }
      EXPECT_EQ(static_cast<double>(c.data()[m * n - 1]), sum);
    }
  }
}

}  // namespace
}  // namespace reel::kernels
