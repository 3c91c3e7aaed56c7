#include "kernels/strided.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "kernels/dual.h"
#include "kernels/parallel.h"

namespace reel::kernels {
namespace {

struct Example {
  std::int64_t array;  // elements of the array that is looked at
  Strided view;
};

// A row-major array of 4 x 5 x 6, and others, looked at in all the ways that the ops need.
const Example examples[] = {
    {120, {3, {4, 5, 6}, {30, 6, 1}, 0}},                          // all of it
    {120, {3, {6, 5, 4}, {1, 6, 30}, 0}},                          // turned round
    {120, {3, {5, 4, 6}, {6, 30, 1}, 0}},                          // two outer dimensions swapped
    {120, {3, {4, 2, 3}, {30, 12, 2}, 7}},                         // every second of a part
    {120, {3, {4, 5, 6}, {-30, 6, -1}, 95}},                       // two dimensions flipped
    {120, {3, {4, 1, 6}, {30, 6, 1}, 12}},                         // a slice of one
    {7, {1, {1}, {1}, 6}},                                         // one element
    {7, {0, {}, {}, 3}},                                           // a number
    {7, {2, {0, 3}, {3, 1}, 0}},                                   // nothing
    {7, {2, {3, 0}, {1, 1}, 0}},                                   // nothing either
    {720, {6, {6, 5, 4, 3, 2, 1}, {1, 6, 30, 120, 360, 720}, 0}},  // six dimensions turned round
    {90000, {2, {300, 300}, {1, 300}, 0}},                         // a square transposed, on several threads
    {40000, {2, {2, 20000}, {20000, 1}, 0}},                       // long rows
    {7400, {3, {5, 40, 37}, {1480, 1, 40}, 0}},                    // transposed matrices
    {13860, {4, {3, 33, 4, 35}, {4620, 1, 33, 132}, 0}},           // and a dimension between the two
    {3000, {2, {20, 19}, {1, 60}, 1213}},                          // a part, transposed
    {3000, {2, {19, 20}, {1, -100}, 2017}},                        // turned and flipped
    {410000, {3, {16, 16, 160}, {160, 1, 2560}, 40}},              // steps of which the innermost is longest
};
// An element may be read twice, but not written twice.
const Example repeated[] = {
    {11, {2, {3, 4}, {2, 2}, 0}},  // steps of the same length, which are not one stretch
    {6, {3, {4, 5, 6}, {0, 0, 1}, 0}},
    {4, {3, {4, 5, 6}, {1, 0, 0}, 0}},
    {1, {2, {40, 50}, {0, 0}, 0}},
    {300, {2, {300, 300}, {1, 0}, 0}},
    {2000, {3, {3, 40, 50}, {0, 1, 40}, 0}},  // the same matrix transposed
                                              // thrice
    {90, {2, {50, 40}, {1, 1}, 0}},           // windows that move by one
    {170, {2, {50, 40}, {1, 3}, 0}},          // and by three
};

std::int64_t size(const Strided& view) {
  std::int64_t n = 1;
  for (int d = 0; d < view.rank; ++d) n *= view.sizes[d];
  return n;
}

// Where element i of the view lies, by the definition.
std::size_t place(const Strided& view, std::int64_t i) {
  std::int64_t offset = view.start;
  for (int d = view.rank - 1; d >= 0; --d) {
    offset += i % view.sizes[d] * view.strides[d];
    i /= view.sizes[d];
  }
  return static_cast<std::size_t>(offset);
}

template <class T>
std::vector<T> numbers(std::int64_t n, int seed) {
  std::vector<T> x(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i)
    x[static_cast<std::size_t>(i)] = T(static_cast<float>(i * seed % 1009));
  return x;
}

template <class T>
void expect_same(const std::vector<T>& a, const std::vector<T>& b, const char* what, std::size_t example) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(a[i], b[i]) << what << ", example " << example << ", element " << i;
  }
}

template <class T>
void check_gather(const Example& example, std::size_t index) {
  const std::int64_t n = size(example.view);
  const auto from = numbers<T>(example.array, 7);
  for (const bool add : {false, true}) {
    auto y = numbers<T>(n + 1, 3);  // one more than is written
    auto expected = y;
    for (std::int64_t i = 0; i < n; ++i) {
      T& e = expected[static_cast<std::size_t>(i)];
      e = (add ? e : T(0)) + from[place(example.view, i)];
    }
    gather_strided(from.data(), example.view, Into<T>{y.data(), add});
    expect_same(y, expected, add ? "gather, add" : "gather", index);
  }
}

template <class T>
void check_scatter(const Example& example, std::size_t index) {
  const std::int64_t n = size(example.view);
  const auto from = numbers<T>(n, 7);
  for (const bool add : {false, true}) {
    auto y = numbers<T>(example.array, 3);
    auto expected = y;
    for (std::int64_t i = 0; i < n; ++i) {
      T& e = expected[place(example.view, i)];
      e = (add ? e : T(0)) + from[static_cast<std::size_t>(i)];
    }
    scatter_strided(from.data(), example.view, Into<T>{y.data(), add});
    expect_same(y, expected, add ? "scatter, add" : "scatter", index);
  }
}

template <class T>
class StridedView : public testing::Test {};
using Scalars = testing::Types<float, double, Dual>;
TYPED_TEST_SUITE(StridedView, Scalars);

TYPED_TEST(StridedView, IsReadAsTheDefinitionSays) {
  std::size_t index = 0;
  for (const Example& example : examples) check_gather<TypeParam>(example, index++);
  for (const Example& example : repeated) check_gather<TypeParam>(example, index++);
}

TYPED_TEST(StridedView, IsWrittenAsTheDefinitionSays) {
  std::size_t index = 0;
  for (const Example& example : examples) check_scatter<TypeParam>(example, index++);
}

TYPED_TEST(StridedView, GivesTheSameBitsForAnyNumberOfThreads) {
  const int usual = threads();
  for (const int count : {1, 2, 3, 5}) {
    set_threads(count);
    std::size_t index = 0;
    for (const Example& example : examples) {
      check_gather<TypeParam>(example, index);
      check_scatter<TypeParam>(example, index++);
    }
  }
  set_threads(usual);
}

TYPED_TEST(StridedView, IsLeftAloneIfNobodyWantsTheResult) {
  const TypeParam x(1);
  gather_strided(&x, {1, {1}, {1}, 0}, Into<TypeParam>{});
  scatter_strided(&x, {1, {1}, {1}, 0}, Into<TypeParam>{});
}

}  // namespace
}  // namespace reel::kernels
