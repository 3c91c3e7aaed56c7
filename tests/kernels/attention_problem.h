#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "kernels/attention.h"
#include "kernels/dual.h"
#include "kernels/philox.h"

// Attention problems for the tests, and the same by the definition, one number at a time.

namespace reel::kernels {

inline constexpr double nan = std::numeric_limits<double>::quiet_NaN();
inline constexpr double infinity = std::numeric_limits<double>::infinity();

// A whole problem with contiguous heads, [batch, heads, time, channels].
template <class T>
struct Problem {
  std::int64_t batch = 1, heads = 1, queries = 1, keys = 1, channels = 1, value_channels = 1;
  bool causal = false;
  double scale = 0.5;
  double dropout = 0;
  std::vector<std::uint8_t> mask = {};  // [mask_shape]
  std::int64_t mask_shape[4] = {1, 1, 1, 1};
  std::vector<T> q = {}, k = {}, v = {}, dy = {};
  std::vector<T> y = {}, kept = {}, dq = {}, dk = {}, dv = {};

  void fill(std::uint64_t seed) {
    const auto random = [&](std::int64_t n, std::uint64_t stream) {
      std::vector<T> x(static_cast<std::size_t>(n));
      for (std::size_t i = 0; i < x.size(); ++i) x[i] = T(Philox(seed, stream).uniform(i) * 4 - 2);
      return x;
    };
    const std::int64_t all = batch * heads;
    q = random(all * queries * channels, 1);
    k = random(all * keys * channels, 2);
    v = random(all * keys * value_channels, 3);
    dy = random(all * queries * value_channels, 4);
  }
  void fill_mask(std::initializer_list<bool> whole, std::uint64_t seed, double visible) {
    const std::int64_t sizes[4] = {batch, heads, queries, keys};
    std::int64_t n = 1;
    int d = 0;
    for (const bool w : whole) {
      mask_shape[d] = w ? sizes[d] : 1;
      n *= mask_shape[d++];
    }
    mask.resize(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = Philox(seed, 9).uniform(i) < visible;
  }
  Attention<T> attention_of() const {
    Attention<T> p;
    p.batch = batch, p.heads = heads, p.queries = queries, p.keys = keys;
    p.channels = channels, p.value_channels = value_channels;
    p.q = {q.data(), heads * queries * channels, queries * channels, channels};
    p.k = {k.data(), heads * keys * channels, keys * channels, channels};
    p.v = {v.data(), heads * keys * value_channels, keys * value_channels, value_channels};
    p.scale = T(scale);
    p.causal = causal;
    p.dropout = dropout;
    p.seed = 5, p.stream = 6, p.step = 7;
    if (!mask.empty()) {
      std::int64_t stride = 1;
      std::int64_t strides[4];
      for (int d = 3; d >= 0; --d) {
        strides[d] = mask_shape[d] == 1 ? 0 : stride;
        stride *= mask_shape[d];
      }
      p.mask = {mask.data(), strides[0], strides[1], strides[2], strides[3]};
    }
    return p;
  }
  bool sees(std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) const {
    if (causal && j > i + keys - queries) return false;
    const AttentionMask m = attention_of().mask;
    return m.data == nullptr || m.data[b * m.batch + h * m.head + i * m.query + j * m.key] != 0;
  }
  void forward() {
    y.assign(dy.size(), T(nan));
    const Attention<T> p = attention_of();
    kept.assign(static_cast<std::size_t>(attention_kept(p)), T(nan));
    attention(p, {y.data(), heads * queries * value_channels, queries * value_channels, value_channels},
              kept.data());
  }
  // What is kept of a row of all heads: its largest score, and the factor to its weights.
  const T* kept_of(std::int64_t row) const {
    return kept.data() + kept.size() - 2 * (batch * heads * queries - row);
  }
  void run() {
    forward();
    dq.assign(q.size(), T(nan)), dk.assign(k.size(), T(nan)), dv.assign(v.size(), T(nan));
    const Attention<T> p = attention_of();
    const auto like = [](Heads<const T> h, T* data) {
      return HeadsInto<T>{{data, false}, h.batch, h.head, h.time};
    };
    const Heads<const T> rows{y.data(), heads * queries * value_channels, queries * value_channels,
                              value_channels};
    attention_grad(p, rows, kept.data(), {dy.data(), rows.batch, rows.head, rows.time}, like(p.q, dq.data()),
                   like(p.k, dk.data()), like(p.v, dv.data()));
  }
};

// The weights by the definition, one by one: [batch, heads, queries, keys].
template <class T>
std::vector<double> naive_weights(const Problem<T>& p) {
  std::vector<double> w(static_cast<std::size_t>(p.batch * p.heads * p.queries * p.keys));
  for (std::int64_t row = 0; row < p.batch * p.heads * p.queries; ++row) {
    const std::int64_t head = row / p.queries;
    double* weights = w.data() + row * p.keys;
    double most = -infinity;
    double sum = 0;
    for (std::int64_t j = 0; j < p.keys; ++j) {
      weights[j] = 0;
      for (std::int64_t c = 0; c < p.channels; ++c) {
        weights[j] +=
            static_cast<double>(p.q[static_cast<std::size_t>(row * p.channels + c)]) *
            static_cast<double>(p.k[static_cast<std::size_t>((head * p.keys + j) * p.channels + c)]);
      }
      weights[j] =
          p.sees(head / p.heads, head % p.heads, row % p.queries, j) ? weights[j] * p.scale : -infinity;
      most = std::max(most, weights[j]);
    }
    for (std::int64_t j = 0; j < p.keys; ++j)
      sum += weights[j] = most == -infinity ? 0 : std::exp(weights[j] - most);
    for (std::int64_t j = 0; j < p.keys && sum > 0; ++j) weights[j] /= sum;
  }
  return w;
}

template <class T>
std::vector<double> naive_attention(const Problem<T>& p) {
  const std::vector<double> w = naive_weights(p);
  std::vector<double> y(p.dy.size(), 0);
  for (std::int64_t row = 0; row < p.batch * p.heads * p.queries; ++row) {
    for (std::int64_t j = 0; j < p.keys; ++j) {
      for (std::int64_t c = 0; c < p.value_channels; ++c) {
        y[static_cast<std::size_t>(row * p.value_channels + c)] +=
            w[static_cast<std::size_t>(row * p.keys + j)] *
            static_cast<double>(
                p.v[static_cast<std::size_t>((row / p.queries * p.keys + j) * p.value_channels + c)]);
      }
    }
  }
  return y;
}

// By the formulas of the header, without tiles.
template <class T>
void naive_gradient(const Problem<T>& p, std::vector<double>& dq, std::vector<double>& dk,
                    std::vector<double>& dv) {
  const std::vector<double> w = naive_weights(p);
  dq.assign(p.q.size(), 0), dk.assign(p.k.size(), 0), dv.assign(p.v.size(), 0);
  const auto at = [](const std::vector<T>& x, std::int64_t row, std::int64_t n, std::int64_t c) {
    return static_cast<double>(x[static_cast<std::size_t>(row * n + c)]);
  };
  for (std::int64_t row = 0; row < p.batch * p.heads * p.queries; ++row) {
    const std::int64_t first_key = row / p.queries * p.keys;
    std::vector<double> dp(static_cast<std::size_t>(p.keys), 0);
    double delta = 0;
    for (std::int64_t j = 0; j < p.keys; ++j) {
      const double weight = w[static_cast<std::size_t>(row * p.keys + j)];
      for (std::int64_t c = 0; c < p.value_channels; ++c) {
        dp[static_cast<std::size_t>(j)] +=
            at(p.dy, row, p.value_channels, c) * at(p.v, first_key + j, p.value_channels, c);
        dv[static_cast<std::size_t>((first_key + j) * p.value_channels + c)] +=
            weight * at(p.dy, row, p.value_channels, c);
      }
      delta += weight * dp[static_cast<std::size_t>(j)];
    }
    for (std::int64_t j = 0; j < p.keys; ++j) {
      const double ds =
          w[static_cast<std::size_t>(row * p.keys + j)] * (dp[static_cast<std::size_t>(j)] - delta) * p.scale;
      for (std::int64_t c = 0; c < p.channels; ++c) {
        dq[static_cast<std::size_t>(row * p.channels + c)] += ds * at(p.k, first_key + j, p.channels, c);
        dk[static_cast<std::size_t>((first_key + j) * p.channels + c)] += ds * at(p.q, row, p.channels, c);
      }
    }
  }
}

template <class T>
void expect_close(const std::vector<T>& x, const std::vector<double>& expected, double tolerance,
                  const std::string& what) {
  ASSERT_EQ(x.size(), expected.size()) << what;
  for (std::size_t i = 0; i < x.size(); ++i) {
    ASSERT_NEAR(static_cast<double>(x[i]), expected[i], tolerance * (1 + std::fabs(expected[i])))
        << what << " element " << i;
  }
}

template <class T>
void expect_like_naive(Problem<T> p, double tolerance, const std::string& what) {
  p.run();
  expect_close(p.y, naive_attention(p), tolerance, what + " y");
  std::vector<double> dq, dk, dv;
  naive_gradient(p, dq, dk, dv);
  expect_close(p.dq, dq, 4 * tolerance, what + " dq");
  expect_close(p.dk, dk, 4 * tolerance, what + " dk");
  expect_close(p.dv, dv, 4 * tolerance, what + " dv");
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

}  // namespace reel::kernels
