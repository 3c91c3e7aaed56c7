#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <vector>

#include "autograd/shape.h"
#include "autograd/tensor.h"

// All ops. The formula, the shape rule and the derivative of each stand on its card in autograd/ops/; `reel
// ops` lists them. Axes count from the front, or from the back if negative. Shapes that do not fit throw
// ShapeError, numbers out of range ValueError; both name the line of the call.

namespace reel {

/// A short list of dimensions; empty means all of them.
struct Axes {
  Axes() = default;
  /// Throws ShapeError for more than 6.
  Axes(std::initializer_list<int> list, Place where = Place::here());
  int count = 0;
  int axis[Shape::max_rank] = {};
};

// ---- arithmetic: two operands are broadcast by NumPy's rules ----
Tensor add(Here x, Here y);
Tensor sub(Here x, Here y);
Tensor mul(Here x, Here y);
Tensor div(Here x, Here y);
Tensor div(Here x, double divisor);
Tensor div(double dividend, Here x);
Tensor pow(Here x, Here y);
Tensor pow(Here x, double exponent);  ///< to the 0.5: sqrt(x), also at -0 and -inf
Tensor pow(double base, Here exponent);
Tensor maximum(Here x, Here y);  ///< gradient of a tie: to x
Tensor minimum(Here x, Here y);
Tensor neg(Here x);
Tensor scale(Here x, double factor);  ///< factor * x
Tensor shift(Here x, double offset);  ///< x + offset

inline Tensor operator+(Here x, Here y) { return add(x, y); }
inline Tensor operator-(Here x, Here y) { return sub(x, y); }
inline Tensor operator*(Here x, Here y) { return mul(x, y); }
inline Tensor operator/(Here x, Here y) { return div(x, y); }
inline Tensor operator-(Here x) { return neg(x); }
inline Tensor operator+(Here x, double c) { return shift(x, c); }
inline Tensor operator+(double c, Here x) { return shift(x, c); }
inline Tensor operator-(Here x, double c) { return shift(x, -c); }
inline Tensor operator-(double c, Here x) { return shift(x.with(neg(x)), c); }
inline Tensor operator*(Here x, double c) { return scale(x, c); }
inline Tensor operator*(double c, Here x) { return scale(x, c); }
inline Tensor operator/(Here x, double c) { return div(x, c); }
inline Tensor operator/(double c, Here x) { return div(c, x); }

/// The tensor on the left of `+=` and its like, and where that stands. `loss += penalty` is
/// `loss = loss + penalty`: loss names a new tensor, and other names of the one before keep it.
struct Assigned {
  Assigned(Tensor& t, const char* file = __builtin_FILE(), int line = __builtin_LINE())  // NOLINT
      : tensor(t), place{file, line} {}
  Here here() const { return {tensor, place.file, place.line}; }
  Tensor& tensor;
  Place place;
};
inline Tensor& operator+=(Assigned x, Here y) { return x.tensor = x.here() + y; }
inline Tensor& operator-=(Assigned x, Here y) { return x.tensor = x.here() - y; }
inline Tensor& operator*=(Assigned x, Here y) { return x.tensor = x.here() * y; }
inline Tensor& operator/=(Assigned x, Here y) { return x.tensor = x.here() / y; }
inline Tensor& operator+=(Assigned x, double c) { return x.tensor = x.here() + c; }
inline Tensor& operator-=(Assigned x, double c) { return x.tensor = x.here() - c; }
inline Tensor& operator*=(Assigned x, double c) { return x.tensor = x.here() * c; }
inline Tensor& operator/=(Assigned x, double c) { return x.tensor = x.here() / c; }

// ---- comparisons, element by element: 1 where it holds, else 0; of NaN only ne holds; no gradient ----
// "And" is a product, (0.0 < x) * (x < 1.0), and "not" is 1.0 - c. Do not chain: 0.0 < x < 1.0 compares the 0
// or 1 of 0.0 < x with 1.
Tensor gt(Here x, Here y);
Tensor gt(Here x, double y);
Tensor ge(Here x, Here y);
Tensor ge(Here x, double y);
Tensor lt(Here x, Here y);
Tensor lt(Here x, double y);
Tensor le(Here x, Here y);
Tensor le(Here x, double y);
Tensor eq(Here x, Here y);
Tensor eq(Here x, double y);
Tensor ne(Here x, Here y);
Tensor ne(Here x, double y);
Tensor operator==(Here x, Here y) = delete;    // write eq(x, y) or ne(x, y)
Tensor operator==(Here x, double y) = delete;  // write eq(x, y) or ne(x, y)
inline Tensor operator>(Here x, Here y) { return gt(x, y); }
inline Tensor operator>(Here x, double y) { return gt(x, y); }
inline Tensor operator>(double x, Here y) { return lt(y, x); }
inline Tensor operator>=(Here x, Here y) { return ge(x, y); }
inline Tensor operator>=(Here x, double y) { return ge(x, y); }
inline Tensor operator>=(double x, Here y) { return le(y, x); }
inline Tensor operator<(Here x, Here y) { return lt(x, y); }
inline Tensor operator<(Here x, double y) { return lt(x, y); }
inline Tensor operator<(double x, Here y) { return gt(y, x); }
inline Tensor operator<=(Here x, Here y) { return le(x, y); }
inline Tensor operator<=(Here x, double y) { return le(x, y); }
inline Tensor operator<=(double x, Here y) { return ge(y, x); }

// ---- a choice, element by element ----
/// x where the condition is not 0, else y; all three are broadcast: where(x > 0.0, x, -1.0). NaN is not 0.
///
/// The condition gets no gradient, and what is not chosen gets 0. That 0 becomes NaN on its way back through
/// an infinite slope: replace the argument, too, where(c, sqrt(where(c, x, 1.0)), 0.0).
Tensor where(Here condition, Here x, Here y);
Tensor where(Here condition, Here x, double y);
Tensor where(Here condition, double x, Here y);
Tensor where(Here condition, double x, double y);
/// The same with a condition of bytes, one per element of the broadcast shape of x and y.
Tensor where(std::span<const std::uint8_t> condition, Here x, Here y);
Tensor where(std::span<const std::uint8_t> condition, Here x, double y);
Tensor where(std::span<const std::uint8_t> condition, double x, Here y);

// ---- functions of one number ----
Tensor exp(Here x);
Tensor expm1(Here x);
Tensor log(Here x);
Tensor log1p(Here x);
Tensor sqrt(Here x);
Tensor rsqrt(Here x);
Tensor square(Here x);
Tensor abs(Here x);   ///< derivative at 0: 0
Tensor sign(Here x);  ///< passes no gradient
Tensor sin(Here x);
Tensor cos(Here x);
Tensor tanh(Here x);
Tensor erf(Here x);
Tensor clamp(Here x, double low, double high);  ///< gradient 1 on [low, high], 0 outside
// With a number they are a clamp to one side: the gradient of a tie goes to x.
Tensor maximum(Here x, double low);
Tensor minimum(Here x, double high);
inline Tensor maximum(double low, Here x) { return maximum(x, low); }
inline Tensor minimum(double high, Here x) { return minimum(x, high); }

// ---- activations ----
Tensor sigmoid(Here x);
Tensor relu(Here x);  ///< derivative at 0: 0
Tensor leaky_relu(Here x, double negative_slope);
Tensor elu(Here x, double alpha);
// Functions of their own, so that they can be an activation like the others: Mlp(..., {.activation = elu}).
inline Tensor leaky_relu(Here x) { return leaky_relu(x, 0.01); }
inline Tensor elu(Here x) { return elu(x, 1.0); }
Tensor gelu(Here x);      ///< the tanh form, as in GPT-2
Tensor gelu_erf(Here x);  ///< the exact form
Tensor silu(Here x);
Tensor softplus(Here x);

// ---- products ----
struct MatmulOptions {
  bool transpose_a = false;
  bool transpose_b = false;
};
/// [..., m, k] times [..., k, n] is [..., m, n]; the leading dimensions are broadcast.
Tensor matmul(Here a, Here b, MatmulOptions options = {});
/// x [..., in], weight [out, in], bias [out]: x weight^T + bias, [..., out].
Tensor linear(Here x, Here weight, Here bias);
Tensor linear(Here x, Here weight);
/// relu(linear(x, weight, bias)), bit for bit, without storing what lies between: faster where that is large.
/// So detect_anomaly does not see a sum of -inf, which becomes 0.
Tensor linear_relu(Here x, Here weight, Here bias);
Tensor linear_relu(Here x, Here weight);
/// gelu(linear(x, weight, bias)), bit for bit, likewise: what is kept instead is the slope for backward.
Tensor linear_gelu(Here x, Here weight, Here bias);
Tensor linear_gelu(Here x, Here weight);
/// add(addend, linear(x, weight, bias)), bit for bit, likewise. The addend has the shape of the result.
Tensor add_linear(Here addend, Here x, Here weight, Here bias);
Tensor add_linear(Here addend, Here x, Here weight);
Tensor outer(Here x, Here y);  ///< [m] and [n]: [m, n]
Tensor dot(Here x, Here y);    ///< [n] and [n]: a scalar

// ---- reductions ----
struct ReduceOptions {
  Axes axes = {};        ///< which; all of them if empty
  bool keepdim = false;  ///< leave them with size 1
};
Tensor sum(Here x, ReduceOptions options = {});
Tensor mean(Here x, ReduceOptions options = {});
Tensor max(Here x, ReduceOptions options = {});  ///< gradient of a tie: to the first
Tensor min(Here x, ReduceOptions options = {});
struct VarOptions {
  Axes axes = {};
  bool keepdim = false;
  int correction = 1;  ///< divides by n - correction
};
Tensor var(Here x, VarOptions options = {});
Tensor norm(Here x, ReduceOptions options = {});  ///< Euclidean; gradient at 0: 0
Tensor logsumexp(Here x, ReduceOptions options = {});
Tensor cumsum(Here x, int axis = -1);
/// Where along the axis the largest element stands, the first of several; a NaN counts as largest. Numbers,
/// no tensor: one for each position in the other dimensions, row-major, as take_along() and the labels of
/// cross_entropy() are given. Throws ShapeError for an axis of size 0.
std::vector<std::int32_t> argmax(Here x, int axis = -1);

// ---- softmax and losses ----
struct SoftmaxOptions {
  int axis = -1;
  double temperature = 1;  ///< the logits are divided by it
};
/// Both throw ValueError for a row that is -inf everywhere, which has no softmax.
Tensor softmax(Here x, SoftmaxOptions options = {});
Tensor log_softmax(Here x, SoftmaxOptions options = {});

enum class Reduction : std::uint8_t { mean, sum, none };
struct CrossEntropyOptions {
  double label_smoothing = 0;
  std::int32_t ignore_index = -100;  ///< rows with this label count for nothing
  Reduction reduction = Reduction::mean;
};
/// logits [..., classes], one label per row. The mean is over the rows that are not ignored; 0 if all are, of
/// which standard error is told once in a program. Throws ValueError for a row that counts and is -inf
/// everywhere.
Tensor cross_entropy(Here logits, std::span<const std::int32_t> labels, CrossEntropyOptions options = {});
struct SoftCrossEntropyOptions {
  double label_smoothing = 0;
  Reduction reduction = Reduction::mean;
};
/// logits and probabilities [..., classes]. Throws ValueError for a row of logits that is -inf everywhere.
Tensor cross_entropy(Here logits, Here probabilities, SoftCrossEntropyOptions options = {});
struct NllOptions {
  std::int32_t ignore_index = -100;  ///< rows with this label count for nothing
  Reduction reduction = Reduction::mean;
};
/// log_probabilities [..., classes], one label per row. The mean as for cross_entropy.
Tensor nll(Here log_probabilities, std::span<const std::int32_t> labels, NllOptions options = {});
// Of one number and its target each; both tensors have one shape, and nothing is broadcast.
Tensor mse(Here x, Here target, Reduction reduction = Reduction::mean);
Tensor l1(Here x, Here target, Reduction reduction = Reduction::mean);
Tensor huber(Here x, Here target, double delta = 1.0, Reduction reduction = Reduction::mean);
/// Binary cross-entropy of sigmoid(x) with targets in [0, 1].
Tensor bce_with_logits(Here x, Here target, Reduction reduction = Reduction::mean);
/// Of log-probabilities x and probabilities target: target (log target - x).
Tensor kl_div(Here x, Here target, Reduction reduction = Reduction::mean);

// ---- moving data ----
/// One size may be -1: it follows from the others. Costs nothing.
Tensor reshape(Here x, std::initializer_list<Size> sizes);
Tensor reshape(Here x, const Shape& shape);
/// The axes from `first` to `last` as one: a reshape, like the next two. Of a scalar: [1].
Tensor flatten(Here x, int first = 0, int last = -1);
Tensor squeeze(Here x, int axis);    ///< without this axis, whose size must be 1
Tensor unsqueeze(Here x, int axis);  ///< with another axis of size 1, which is this one of the result
Tensor transpose(Here x, int axis_a = -2, int axis_b = -1);
Tensor permute(Here x, Axes order);
Tensor expand(Here x, const Shape& shape);
Tensor concat(std::span<const Tensor> tensors, int axis = 0, Place place = Place::here());
Tensor concat(std::initializer_list<Tensor> tensors, int axis = 0, Place place = Place::here());
Tensor stack(std::span<const Tensor> tensors, int axis = 0, Place place = Place::here());
Tensor stack(std::initializer_list<Tensor> tensors, int axis = 0, Place place = Place::here());
/// Pieces of `size` along the axis, one at least; the last may be smaller.
std::vector<Tensor> split(Here x, std::int64_t size, int axis = 0);
/// Elements [first, last) along the axis; negative positions count from the end.
Tensor slice(Here x, int axis, std::int64_t first, std::int64_t last);
/// Adds `before` and `after` elements with this value along the axis.
Tensor pad(Here x, int axis, std::int64_t before, std::int64_t after, double value = 0);
Tensor flip(Here x, Axes axes);
/// Slices x[index[i]] of the axis; an index may repeat.
Tensor index_select(Here x, std::span<const std::int32_t> index, int axis = 0);
/// Rows of a table: index_select along axis 0. What PyTorch calls gather is take_along().
Tensor gather(Here x, std::span<const std::int32_t> rows);
/// x [n, ...] with row i of source [count, ...] added to row index[i]; an index may repeat. Sums over
/// segments are index_add of zeros: index_add(tape.constant(zeros, {n, ...}), segments, source).
Tensor index_add(Here x, std::span<const std::int32_t> index, Here source);
/// One element per row: x [..., n], index one per row; the result lacks the last dimension.
Tensor take_along(Here x, std::span<const std::int32_t> index);
/// table [rows, channels] and tokens of any shape: [shape..., channels].
Tensor embedding(Here table, std::span<const std::int32_t> tokens, const Shape& shape);
Tensor embedding(Here table, std::span<const std::int32_t> tokens);
/// The same values; backward does not go past it.
Tensor stop_gradient(Here x);
/// What changes nothing: the tensor itself; for a parameter, which is none yet, a product with 1.
inline Tensor tensor_of(Here x) { return x.parameter == nullptr ? x.tensor : scale(x, 1); }

// ---- layers ----
struct DropoutOptions {
  double p = 0.5;            ///< probability of a zero; the rest is scaled by 1 / (1 - p)
  std::uint64_t seed = 0;    ///< which run
  std::uint64_t stream = 0;  ///< which layer
  std::uint64_t step = 0;    ///< which step: the same three numbers give the same mask
};
Tensor dropout(Here x, DropoutOptions options);
/// Over the last dimension. weight and bias [channels]. Throws ValueError unless epsilon is positive and
/// finite, also as a float.
Tensor layer_norm(Here x, Here weight, Here bias, double epsilon = 1e-5);
Tensor rms_norm(Here x, Here weight, double epsilon = 1e-5);

// ---- attention ----
struct AttentionOptions {
  bool causal = false;  ///< query i stands at position i + keys - queries and sees no later key
  std::span<const std::uint8_t> mask = {};  ///< 1: may look; a row without any gives 0
  Shape mask_shape = {};                    ///< broadcast to [..., queries, keys]
  double scale = 0;                         ///< 0: 1 / sqrt(channels)
  double dropout = 0;                       ///< of the weights; seed, stream and step as in DropoutOptions
  std::uint64_t seed = 0;
  std::uint64_t stream = 0;
  std::uint64_t step = 0;
  /// Only so many keys and values, the first of k and v, count: a cache has room for more. {}: all of them.
  std::optional<std::int64_t> keys = {};
};
/// softmax(scale q k^T) v for q [..., queries, channels], k [..., keys, channels], v [..., keys,
/// value_channels]. Leading dimensions are those of q in all three: expand() k and v where several queries
/// share them.
Tensor scaled_dot_product_attention(Here q, Here k, Here v, const AttentionOptions& options = {});
struct SelfAttentionOptions {
  std::int64_t heads = 1;
  bool causal = false;
  std::span<const std::uint8_t> mask = {};
  Shape mask_shape = {};  ///< broadcast to [batch, heads, time, time]
  double scale = 0;
  double dropout = 0;
  std::uint64_t seed = 0;
  std::uint64_t stream = 0;
  std::uint64_t step = 0;
};
/// The same on a packed projection, queries, keys and values side by side: [batch, time, 3 width] to [batch,
/// time, width].
Tensor self_attention(Here qkv, const SelfAttentionOptions& options = {});
/// The weights softmax(scale q k^T), [..., queries, keys], for looking: passes no gradient, drops nothing.
Tensor attention_weights(Here q, Here k, const AttentionOptions& options = {});
struct RotaryOptions {
  double base = 10000;
  std::int64_t first_position = 0;  ///< of the first row; later than 0 when continuing a sequence
};
/// Rotary position embedding of x [..., time, channels]: turns each pair (i, i + channels / 2) by position *
/// base^(-2i / channels).
Tensor rotary(Here x, RotaryOptions options = {});
struct PackedRotaryOptions {
  std::int64_t heads = 1;
  double base = 10000;
  std::int64_t first_position = 0;
};
/// The same for the queries and keys of a packed projection [batch, time, 3 width], as self_attention takes
/// it.
Tensor packed_rotary(Here qkv, PackedRotaryOptions options = {});

// ---- integers written in braces: cross_entropy(logits, {1, 0}) ----
inline Tensor where(std::initializer_list<std::uint8_t> condition, Here x, Here y) {
  return where(std::span(condition.begin(), condition.size()), x, y);
}
inline Tensor where(std::initializer_list<std::uint8_t> condition, Here x, double y) {
  return where(std::span(condition.begin(), condition.size()), x, y);
}
inline Tensor where(std::initializer_list<std::uint8_t> condition, double x, Here y) {
  return where(std::span(condition.begin(), condition.size()), x, y);
}
inline Tensor cross_entropy(Here logits, std::initializer_list<std::int32_t> labels,
                            CrossEntropyOptions options = {}) {
  return cross_entropy(logits, std::span(labels.begin(), labels.size()), options);
}
inline Tensor nll(Here log_probabilities, std::initializer_list<std::int32_t> labels,
                  NllOptions options = {}) {
  return nll(log_probabilities, std::span(labels.begin(), labels.size()), options);
}
inline Tensor index_select(Here x, std::initializer_list<std::int32_t> index, int axis = 0) {
  return index_select(x, std::span(index.begin(), index.size()), axis);
}
inline Tensor gather(Here x, std::initializer_list<std::int32_t> rows) {
  return gather(x, std::span(rows.begin(), rows.size()));
}
inline Tensor index_add(Here x, std::initializer_list<std::int32_t> index, Here source) {
  return index_add(x, std::span(index.begin(), index.size()), source);
}
inline Tensor take_along(Here x, std::initializer_list<std::int32_t> index) {
  return take_along(x, std::span(index.begin(), index.size()));
}
inline Tensor embedding(Here table, std::initializer_list<std::int32_t> tokens, const Shape& shape) {
  return embedding(table, std::span(tokens.begin(), tokens.size()), shape);
}
inline Tensor embedding(Here table, std::initializer_list<std::int32_t> tokens) {
  return embedding(table, std::span(tokens.begin(), tokens.size()));
}

}  // namespace reel
