#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

namespace reel::kernels {

/// Four words of 32 bits from a counter and a key: Philox 4x32-10 (Salmon, Moraes, Dror, Shaw 2011,
/// section 4.3).
///
/// Every round multiplies two words by constants, and mixes the high halves into the other two words and the
/// key.
inline std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                               std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53} * counter[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57} * counter[2];
    counter = {static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(b),
               static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(a)};
    key = {key[0] + 0x9E3779B9U, key[1] + 0xBB67AE85U};
  }
  return counter;
}

/// Random numbers by index: a pure function of (seed, stream, index), without state or call order.
///
/// A stream is a purpose (initialisation, dropout, shuffling): streams of one seed have different keys. All
/// formulas use integers, + - * / and square roots only, so the numbers are the same on every machine and
/// with every C library.
class Philox {
 public:
  explicit Philox(std::uint64_t seed, std::uint64_t stream = 0) {
    // For a fixed seed this maps streams to keys one to one, and the other way round.
    const std::uint64_t mixed = mix(mix(seed) + 0x9E3779B97F4A7C15U * (stream + 1));
    key_ = {static_cast<std::uint32_t>(mixed), static_cast<std::uint32_t>(mixed >> 32)};
  }

  const std::array<std::uint32_t, 2>& key() const { return key_; }

  /// The four words at a counter of 128 bits.
  std::array<std::uint32_t, 4> block(std::uint64_t counter_lo, std::uint64_t counter_hi = 0) const {
    return philox4x32({static_cast<std::uint32_t>(counter_lo), static_cast<std::uint32_t>(counter_lo >> 32),
                       static_cast<std::uint32_t>(counter_hi), static_cast<std::uint32_t>(counter_hi >> 32)},
                      key_);
  }

  /// 64 random bits: one half of block(index / 2).
  std::uint64_t bits(std::uint64_t index) const { return half(block(index >> 1), index & 1); }

  /// A number in (0, 1), never 0 or 1: (k + 1/2) / 2^52 for the 52 highest bits k of bits(index). It is made
  /// of the bits that normal() of this index is made of, too: take uniform and normal numbers from two
  /// streams, or by indices far apart.
  double uniform(std::uint64_t index) const { return to_unit(bits(index)); }

  /// A standard normal number: one of normal_pair(index / 2), which both take half the time of two calls.
  double normal(std::uint64_t index) const { return normal_pair(index >> 1)[index & 1]; }

  /// normal(2 pair) and normal(2 pair + 1) (Box, Muller 1958): sqrt(-2 log u) times cos 2 pi v and sin 2 pi
  /// v, with u, v from block(pair). Takes little longer than one of them.
  std::array<double, 2> normal_pair(std::uint64_t pair) const {
    const std::array<std::uint32_t, 4> words = block(pair);
    const double radius = std::sqrt(-2.0 * log_unit(to_unit(half(words, 0))));
    const std::array<double, 2> point = turn(to_unit(half(words, 1)));
    return {radius * point[0], radius * point[1]};
  }

  /// An integer in [0, n): floor(bits * n / 2^64), so each has probability 1/n up to 2^-64. 0 if n is 0.
  std::uint64_t below(std::uint64_t index, std::uint64_t n) const { return scale(bits(index), n); }

  /// Fills `out` with a permutation of 0 .. size - 1 that depends on (seed, stream, epoch, size) only
  /// (Fisher, Yates 1938).
  template <class Integer>
  void permutation(std::uint64_t epoch, std::span<Integer> out) const {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<Integer>(i);
    // The high counter counts down from the top, where no step number of another use gets to.
    const std::uint64_t high = ~epoch;
    for (std::size_t i = out.size(); i > 1; --i) {
      const std::uint64_t random = half(block(i >> 1, high), i & 1);
      std::swap(out[i - 1], out[static_cast<std::size_t>(scale(random, i))]);
    }
  }

 private:
  __extension__ using Wide = unsigned __int128;

  static std::uint64_t half(const std::array<std::uint32_t, 4>& words, std::uint64_t which) {
    return which == 0 ? words[0] | std::uint64_t{words[1]} << 32 : words[2] | std::uint64_t{words[3]} << 32;
  }
  static std::uint64_t scale(std::uint64_t random, std::uint64_t n) {
    return static_cast<std::uint64_t>(Wide{random} * n >> 64);
  }
  // 52 bits and not 53: with 53 the largest sum k + 1/2 would round up, to 1.
  static double to_unit(std::uint64_t random) { return (static_cast<double>(random >> 12) + 0.5) * 0x1p-52; }

  /// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection in which every bit depends on every
  /// bit.
  static std::uint64_t mix(std::uint64_t x) {
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9U;
    x = (x ^ x >> 27) * 0x94D049BB133111EBU;
    return x ^ x >> 31;
  }

  /// log u for u in (0, 1), from log m = 2 artanh((m - 1) / (m + 1)) for the mantissa m in [sqrt(1/2), sqrt
  /// 2).
  static double log_unit(double u) {
    int exponent = 0;
    double m = std::frexp(u, &exponent);
    if (m < 0.70710678118654752440) {
      m *= 2;
      --exponent;
    }
    const double s = (m - 1) / (m + 1);
    const double s2 = s * s;
    double series = 0;
    for (int k = 23; k >= 3; k -= 2) series = (series + 1.0 / k) * s2;
    return exponent * 0.69314718055994530942 + 2 * (s + s * series);
  }

  /// cos 2 pi v and sin 2 pi v for v in (0, 1): Taylor series around the nearest multiple of a quarter turn.
  static std::array<double, 2> turn(double v) {
    const int quarter = static_cast<int>(4 * v + 0.5);
    const double a = 6.28318530717958647693 * (v - 0.25 * quarter);  // |a| <= pi/4; the difference is exact
    const double a2 = a * a;
    double c = 1;
    for (int k = 18; k >= 2; k -= 2) c = 1 - a2 / (k * (k - 1)) * c;
    double s = 1;
    for (int k = 19; k >= 3; k -= 2) s = 1 - a2 / (k * (k - 1)) * s;
    s *= a;
    switch (quarter & 3) {
      case 0:
        return {c, s};
      case 1:
        return {-s, c};
      case 2:
        return {-c, -s};
      default:
        return {s, -c};
    }
  }

  std::array<std::uint32_t, 2> key_;
};

/// A number that stands for a name, as the stream of a Philox: FNV-1a (Fowler, Noll, Vo).
inline std::uint64_t stream_of(std::string_view name) {
  std::uint64_t hash = 0xCBF29CE484222325U;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  return hash;
}

}  // namespace reel::kernels
