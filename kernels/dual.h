#pragma once

namespace reel {

/// A dual number a + b eps with eps^2 = 0: a value and its derivative along one direction.
/// Running a computation on dual numbers gives exact directional derivatives (forward mode; Wengert 1964).
/// Comparisons look at the value only.
struct Dual {
  double value = 0;
  double tangent = 0;

  constexpr Dual() = default;
  constexpr Dual(double v, double t = 0) : value(v), tangent(t) {}  // NOLINT: numbers convert
  explicit constexpr operator double() const { return value; }
  explicit constexpr operator float() const { return static_cast<float>(value); }

  constexpr Dual& operator+=(Dual b) { return *this = {value + b.value, tangent + b.tangent}; }
  constexpr Dual& operator-=(Dual b) { return *this = {value - b.value, tangent - b.tangent}; }
  constexpr Dual& operator*=(Dual b) {
    return *this = {value * b.value, chain(tangent, b.value) + chain(b.tangent, value)};
  }
  constexpr Dual& operator/=(Dual b) {
    const double q = value / b.value;
    const double t = tangent - chain(b.tangent, q);
    return *this = {q, t == 0 ? 0 : t / b.value};
  }

  /// The chain rule, for a function with this slope. A constant does not move, however steep the function is
  /// there: the score of -inf of a mask that is scaled, the log of a mask's 0.
  static constexpr double chain(double tangent, double slope) { return tangent == 0 ? 0 : tangent * slope; }

  friend constexpr Dual operator-(Dual a) { return {-a.value, -a.tangent}; }
  friend constexpr Dual operator+(Dual a, Dual b) { return a += b; }
  friend constexpr Dual operator-(Dual a, Dual b) { return a -= b; }
  friend constexpr Dual operator*(Dual a, Dual b) { return a *= b; }
  friend constexpr Dual operator/(Dual a, Dual b) { return a /= b; }
  friend constexpr bool operator<(Dual a, Dual b) { return a.value < b.value; }
  friend constexpr bool operator>(Dual a, Dual b) { return a.value > b.value; }
  friend constexpr bool operator<=(Dual a, Dual b) { return a.value <= b.value; }
  friend constexpr bool operator>=(Dual a, Dual b) { return a.value >= b.value; }
  friend constexpr bool operator==(Dual a, Dual b) { return a.value == b.value; }
};

}  // namespace reel
