#include "kernels/map.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/math.h"

namespace reel::kernels {
namespace {

std::int64_t product(const std::vector<std::int64_t>& sizes) {
  std::int64_t n = 1;
  for (const std::int64_t size : sizes) n *= size;
  return n;
}

// How an array whose sizes are 1 where it is repeated is stretched to `sizes`.
Stretch stretch(const std::vector<std::int64_t>& sizes, const std::vector<bool>& repeated) {
  Stretch result;
  result.rank = static_cast<int>(sizes.size());
  std::int64_t stride = 1;
  for (std::size_t d = sizes.size(); d-- > 0;) {
    result.sizes[d] = sizes[d];
    result.strides[d] = repeated[d] ? 0 : stride;
    if (!repeated[d]) stride *= sizes[d];
  }
  return result;
}

std::int64_t small_size(const std::vector<std::int64_t>& sizes, const std::vector<bool>& repeated) {
  std::int64_t n = 1;
  for (std::size_t d = 0; d < sizes.size(); ++d) n *= repeated[d] ? 1 : sizes[d];
  return n;
}

// Where element i of the stretched array comes from, by the definition.
std::int64_t origin(const Stretch& s, std::int64_t i) {
  std::int64_t from = 0;
  for (int d = s.rank - 1; d >= 0; --d) {
    from += i % s.sizes[d] * s.strides[d];
    i /= s.sizes[d];
  }
  return from;
}

template <class T>
std::vector<T> numbers(std::int64_t n, int seed) {
  std::vector<T> x(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) {
    x[static_cast<std::size_t>(i)] = T(static_cast<float>((i * 7919 + seed * 104729) % 2003) / 500.0f - 2.0f);
  }
  return x;
}

template <class T>
void expect_same(const std::vector<T>& a, const std::vector<T>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) ASSERT_EQ(a[i], b[i]) << "element " << i;
}

struct Shapes {
  std::vector<std::int64_t> sizes;
  std::vector<bool> repeated;
};
const Shapes shapes[] = {
    {{1}, {true}},
    {{5}, {true}},
    {{3000}, {true}},
    {{3, 5}, {true, false}},
    {{3, 5}, {false, true}},
    {{37, 129}, {true, false}},
    {{129, 37}, {false, true}},
    {{4, 6, 5}, {false, true, false}},
    {{4, 6, 5}, {true, false, true}},
    {{70, 2, 300}, {false, true, false}},
    {{2, 3, 4, 5, 6, 7}, {true, false, true, false, true, false}},
    {{2, 3, 4, 5, 6, 7}, {false, true, false, true, false, true}},
    {{7, 1, 1, 1, 900}, {false, true, false, true, true}},
    {{1, 2049}, {true, false}},
    {{2049, 1}, {false, false}},
};

template <class T>
class Map : public testing::Test {};
using Scalars = testing::Types<float, double, Dual>;
TYPED_TEST_SUITE(Map, Scalars);

TYPED_TEST(Map, StretchesItsArgumentsAsTheDefinitionSays) {
  using T = TypeParam;
  for (const Shapes& shape : shapes) {
    const std::int64_t n = product(shape.sizes);
    const Stretch stretched = stretch(shape.sizes, shape.repeated);
    const auto small = numbers<T>(small_size(shape.sizes, shape.repeated), 1);
    const auto large = numbers<T>(n, 2);
    const auto before = numbers<T>(n, 3);
    for (const bool add : {false, true}) {
      std::vector<T> y = before, expected = before;
      for (std::size_t i = 0; i < expected.size(); ++i) {
        const T value =
            large[i] -
            T(2) * small[static_cast<std::size_t>(origin(stretched, static_cast<std::int64_t>(i)))];
        expected[i] = add ? before[i] + value : value;
      }
      map(
          Sink<T>{{y.data(), add}, n}, [](T a, T b) { return a - T(2) * b; },
          Source<T>{large.data(), nullptr}, Source<T>{small.data(), &stretched});
      expect_same(y, expected);
    }
  }
}

TYPED_TEST(Map, CopiesAnyPartOfAStretchedArray) {
  using T = TypeParam;
  for (const Shapes& shape : shapes) {
    const std::int64_t n = std::min<std::int64_t>(product(shape.sizes), 60);
    const Stretch stretched = stretch(shape.sizes, shape.repeated);
    const auto small = numbers<T>(small_size(shape.sizes, shape.repeated), 1);
    for (std::int64_t first = 0; first < n; ++first) {
      for (std::int64_t count = 0; count <= n - first; ++count) {
        std::vector<T> part(static_cast<std::size_t>(count) + 1, T(99));
        stretched.copy(small.data(), first, count, part.data());
        for (std::int64_t i = 0; i < count; ++i) {
          ASSERT_EQ(part[static_cast<std::size_t>(i)],
                    small[static_cast<std::size_t>(origin(stretched, first + i))]);
        }
        ASSERT_EQ(part.back(), T(99));
      }
    }
  }
}

TYPED_TEST(Map, TakesThreeArguments) {
  using T = TypeParam;
  const auto a = numbers<T>(2000, 1), b = numbers<T>(2000, 2), c = numbers<T>(2000, 3);
  std::vector<T> y(2000);
  map(
      Sink<T>{{y.data(), false}, 2000}, [](T p, T q, T r) { return p * q + r; }, Source<T>{a.data(), nullptr},
      Source<T>{b.data(), nullptr}, Source<T>{c.data(), nullptr});
  for (std::size_t i = 0; i < y.size(); ++i) ASSERT_EQ(y[i], a[i] * b[i] + c[i]);
}

TYPED_TEST(Map, LeavesTheNeighboursAlone) {
  using T = TypeParam;
  const auto x = numbers<T>(1200, 1);
  for (const std::int64_t n : {0, 1, 15, 16, 17, 255, 1023, 1024, 1025, 1100}) {
    std::vector<T> y(1200, T(99));
    map(
        Sink<T>{{y.data() + 1, false}, n}, [](T a) { return -a; }, Source<T>{x.data(), nullptr});
    EXPECT_EQ(y[0], T(99));
    for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) ASSERT_EQ(y[i + 1], -x[i]);
    for (std::size_t i = static_cast<std::size_t>(n) + 1; i < y.size(); ++i) ASSERT_EQ(y[i], T(99));
  }
}

TYPED_TEST(Map, MayWriteOverItsArgument) {
  using T = TypeParam;
  auto x = numbers<T>(1500, 1);
  const auto before = x;
  map(
      Sink<T>{{x.data(), false}, 1500}, [](T a) { return a + T(1); }, Source<T>{x.data(), nullptr});
  for (std::size_t i = 0; i < x.size(); ++i) ASSERT_EQ(x[i], before[i] + T(1));
}

TYPED_TEST(Map, DoesNothingIfNobodyWantsTheResult) {
  using T = TypeParam;
  bool called = false;
  const T x(1);
  map(
      Sink<T>{{}, 1},
      [&called](T a) {
        called = true;
        return a;
      },
      Source<T>{&x, nullptr});
  EXPECT_FALSE(called);
}

TYPED_TEST(Map, GivesTheSameBitsForAnyNumberOfThreads) {
  using T = TypeParam;
  const std::vector<std::int64_t> sizes = {300, 701};
  const std::int64_t n = product(sizes);
  const Stretch row = stretch(sizes, {true, false});
  const Stretch col = stretch(sizes, {false, true});
  const auto x = numbers<T>(n, 1), b = numbers<T>(701, 2), s = numbers<T>(300, 3), before = numbers<T>(n, 4);
  const int usual = threads();
  for (const bool add : {false, true}) {
    std::vector<T> one;
    for (const int count : {1, 2, 3, 5}) {
      set_threads(count);
      std::vector<T> y = before;
      map(
          Sink<T>{{y.data(), add}, n}, [](T a, T p, T q) { return tanh(a * q + p); },
          Source<T>{x.data(), nullptr}, Source<T>{b.data(), &row}, Source<T>{s.data(), &col});
      if (count == 1) one = y;
      expect_same(y, one);
    }
  }
  set_threads(usual);
}

}  // namespace
}  // namespace reel::kernels
