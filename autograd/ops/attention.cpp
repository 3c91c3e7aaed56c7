#include "kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "autograd/ops/rules.h"

namespace reel {
namespace {

using kernels::Attention;
using kernels::Heads;
using kernels::HeadsInto;
using kernels::Into;

// The options as they are recorded: the mask in the tape's memory, and for a packed projection the number of
// heads.
struct Recorded {
  AttentionOptions options;
  std::int64_t heads;
};

// The mask's size along an axis of the weights, [leading..., queries, keys].
std::int64_t mask_size(const Shape& mask, const Shape& weights, int axis) {
  const int own = axis - (weights.rank() - mask.rank());
  return own < 0 ? 1 : mask[own];
}

// Whether the mask repeats along some of the leading axes but the last, and not along others: one stride
// cannot say that.
bool repeats_unevenly(const Shape& mask, const Shape& weights) {
  bool once = false;
  bool again = false;
  for (int axis = 0; axis + 3 < weights.rank(); ++axis) {
    if (weights[axis] == 1) continue;
    (mask_size(mask, weights, axis) == 1 ? again : once) = true;
  }
  return once && again;
}

kernels::AttentionMask mask_of(const AttentionOptions& options, const Shape& weights) {
  if (options.mask.empty()) return {};
  std::int64_t strides[4] = {};  // keys, queries, heads, batch
  std::int64_t stride = 1;
  for (int axis = weights.rank() - 1; axis >= 0; --axis) {
    const int from_back = weights.rank() - 1 - axis;
    const std::int64_t size = mask_size(options.mask_shape, weights, axis);
    if (size == 1) continue;
    // The axes of the batch make one axis; its stride is that of the innermost.
    if (from_back <= 3) {
      strides[from_back] = stride;
    } else if (strides[3] == 0) {
      strides[3] = stride;
    }
    stride *= size;
  }
  return {options.mask.data(), strides[3], strides[2], strides[1], strides[0]};
}

// The mask that goes onto the tape; one that repeats unevenly is written out. What does not fit is left to
// the shape rule.
AttentionOptions with_kept_mask(AttentionOptions options, std::initializer_list<Here> inputs,
                                const Shape& weights) {
  if (options.mask.empty()) return options;
  const Place place = inputs.begin()->place;
  Shape common;
  const bool fits = static_cast<std::int64_t>(options.mask.size()) == options.mask_shape.size(place) &&
                    broadcast(options.mask_shape, weights, common) && common == weights;
  if (!fits || !repeats_unevenly(options.mask_shape, weights)) {
    options.mask = keep(inputs, options.mask);
    return options;
  }
  const std::int64_t size_of_whole = weights.size(place);
  std::vector<std::uint8_t> whole(static_cast<std::size_t>(size_of_whole));
  for (std::int64_t i = 0; i < size_of_whole; ++i) {
    std::int64_t rest = i;
    std::int64_t from = 0;
    std::int64_t stride = 1;
    for (int axis = weights.rank() - 1; axis >= 0; --axis) {
      const std::int64_t size = mask_size(options.mask_shape, weights, axis);
      from += size == 1 ? 0 : rest % weights[axis] * stride;
      stride *= size;
      rest /= weights[axis];
    }
    whole[static_cast<std::size_t>(i)] = options.mask[static_cast<std::size_t>(from)];
  }
  options.mask = keep(inputs, whole);
  options.mask_shape = weights;
  return options;
}

void check_options(const Call& c, const AttentionOptions& options, const Shape& weights) {
  if (static_cast<std::int64_t>(options.mask.size()) != options.mask_shape.size() &&
      !(options.mask.empty() && options.mask_shape.rank() == 0)) {
    c.fail("the mask has " + std::to_string(options.mask.size()) + " elements, its shape " +
               to_string(options.mask_shape) + " says " + std::to_string(options.mask_shape.size()),
           "give mask and mask_shape");
  }
  Shape common;
  if (!options.mask.empty() && (!broadcast(options.mask_shape, weights, common) || !(common == weights))) {
    c.fail("the mask " + to_string(options.mask_shape) + " does not stretch to the weights " +
               to_string(weights),
           "only sizes of 1 are repeated");
  }
  if (!std::isfinite(options.scale)) c.refuse("scale " + short_number(options.scale) + " is not a number");
  if (!(options.dropout >= 0 && options.dropout < 1)) {
    c.refuse("dropout " + short_number(options.dropout) + " is not in [0, 1)");
  }
}

template <class T>
void set_options(const AttentionOptions& options, const Shape& weights, Attention<T>& p) {
  const double channels = static_cast<double>(p.channels > 0 ? p.channels : 1);
  p.scale = static_cast<T>(options.scale == 0 ? 1 / std::sqrt(channels) : options.scale);
  p.causal = options.causal;
  p.mask = mask_of(options, weights);
  p.dropout = options.dropout;
  p.seed = options.seed;
  p.stream = options.stream;
  p.step = options.step;
}

template <class T>
T* kept_by(Context<T>& c, const Attention<T>& p) {
  return c.wants_gradient() ? c.save(kernels::attention_kept(p)) : nullptr;
}

// ---- separate queries, keys and values

// How many keys count: all of them for a number that the shape rule is going to refuse.
std::int64_t keys_of(const AttentionOptions& options, const Shape& k) {
  const std::int64_t all = k[k.rank() - 2];
  const std::int64_t keys = options.keys.value_or(all);
  return keys >= 0 && keys <= all ? keys : all;
}

Shape weights_shape(const AttentionOptions& options, const Shape& q, const Shape& k) {
  Shape weights = q;
  weights.set(q.rank() - 1, keys_of(options, k));
  return weights;
}

// Leading dimensions as batch and heads.
std::int64_t heads_of(const Shape& x) { return x.rank() > 2 ? x[x.rank() - 3] : 1; }
std::int64_t batch_of(const Shape& x) { return x.rank() > 3 ? x.product(0, x.rank() - 3) : 1; }

template <class T>
Heads<T> heads_at(T* data, const Shape& x) {
  const std::int64_t head = x[x.rank() - 2] * x.back();
  return {data, heads_of(x) * head, head, x.back()};
}
template <class T>
HeadsInto<T> heads_into(Into<T> into, const Shape& x) {
  const Heads<T> heads = heads_at(into.data, x);
  return {into, heads.batch, heads.head, heads.time};
}

Shape check_queries_and_keys(const Call& c) {
  const Shape& q = c[0];
  const Shape& k = c[1];
  if (q.rank() < 2 || k.rank() < 2) c.fail("q and k must be [..., time, channels]");
  if (q.back() != k.back()) {
    c.fail("queries have " + std::to_string(q.back()) + " channels, keys " + std::to_string(k.back()),
           "every query is multiplied with every key, channel by channel");
  }
  if (!(q.slice(0, q.rank() - 2) == k.slice(0, k.rank() - 2)))
    c.fail("the leading dimensions of q and k differ", "expand() k and v where several queries share them");
  const AttentionOptions& options = c.options<Recorded>().options;
  if (options.keys && *options.keys != keys_of(options, k)) {
    c.refuse(std::to_string(*options.keys) + " keys are not some of the " + std::to_string(k[k.rank() - 2]) +
             " of k");
  }
  const Shape weights = weights_shape(options, q, k);
  check_options(c, options, weights);
  return weights;
}

template <class C>
auto attention_on(const C& c) {
  using T = typename C::Scalar;
  const Shape& q = c.shape(0);
  const Shape& k = c.shape(1);
  const AttentionOptions& options = c.template options<Recorded>().options;
  Attention<T> p;
  p.batch = batch_of(q);
  p.heads = heads_of(q);
  p.queries = q[q.rank() - 2];
  p.keys = keys_of(options, k);
  p.channels = q.back();
  p.q = heads_at(c.x(0), q);
  p.k = heads_at(c.x(1), k);
  if (c.inputs() == 3) {
    p.value_channels = c.shape(2).back();
    p.v = heads_at(c.x(2), c.shape(2));
  }
  set_options(options, weights_shape(options, q, k), p);
  return p;
}

// Keys and values that do not count get no gradient: [..., time, channels] from row `keys` of each head on.
template <class T>
void leave_out_rest(Into<T> into, const Shape& x, std::int64_t keys) {
  const Heads<T> heads = heads_at(into.data, x);
  if (!into || into.add || keys == x[x.rank() - 2]) return;
  for (std::int64_t i = 0; i < x.product(0, x.rank() - 2); ++i)
    std::fill(into.data + i * heads.head + keys * heads.time, into.data + (i + 1) * heads.head, T(0));
}

// For the samples: query 1 sees nothing.
const std::uint8_t some_mask[] = {1, 0, 1, 0, 0, 0, 1, 1, 0, 0, 1, 1};

// Vaswani et al. (2017), section 3.2.1; the weights of long heads are never all in memory, see kernels/attention.h.
const Op& attention_op = define({
    .name = "scaled_dot_product_attention",
    .formula = "y = P v,  P = softmax(scale q k^T);  dS = P (dy v^T - sum(dy y)),  dq = scale dS k,  dk = "
               "scale dS^T q,  dv = P^T dy",
    .inputs = {"q", "k", "v"},
    .shape = {"attention",
              [](const Call& c) {
                check_queries_and_keys(c);
                const Shape& k = c[1];
                const Shape& v = c[2];
                if (!(v.rank() == k.rank() && v.slice(0, v.rank() - 1) == k.slice(0, k.rank() - 1))) {
                  c.fail("there must be one value for every key",
                         "k is [..., keys, channels], v [..., keys, value_channels]");
                }
                Shape y = c[0];
                y.set(y.rank() - 1, v.back());
                return y;
              }},
    .reads = Reads::both,
    .forward =
        [](auto& c) {
          const auto p = attention_on(c);
          kernels::attention(p, heads_at(c.y(), c.shape_y()), kept_by(c, p));
        },
    .backward =
        [](auto& c) {
          using T = typename std::remove_reference_t<decltype(c)>::Scalar;
          const auto p = attention_on(c);
          const Into<T> dk = c.dx(1);
          const Into<T> dv = c.dx(2);
          kernels::attention_grad(p, heads_at<const T>(c.y(), c.shape_y()), c.saved(),
                                  heads_at(c.dy(), c.shape_y()), heads_into(c.dx(0), c.shape(0)),
                                  heads_into(dk, c.shape(1)), heads_into(dv, c.shape(2)));
          leave_out_rest(dk, c.shape(1), p.keys);
          leave_out_rest(dv, c.shape(2), p.keys);
        },
    .samples = {on({3, 2}, {4, 2}, {4, 3}).call([](Tensors x) {
                  return scaled_dot_product_attention(x[0], x[1], x[2]);
                }),
                on({2, 2, 3, 4}, {2, 2, 3, 4}, {2, 2, 3, 4}).call([](Tensors x) {
                  return scaled_dot_product_attention(x[0], x[1], x[2], {.causal = true});
                }),
                on({2, 3, 2}, {2, 4, 2}, {2, 4, 1}).call([](Tensors x) {
                  return scaled_dot_product_attention(
                      x[0], x[1], x[2], {.mask = some_mask, .mask_shape = {3, 4}, .scale = 0.7});
                }),
                on({1, 3, 2}, {1, 3, 2}, {1, 3, 2}).call([](Tensors x) {
                  return scaled_dot_product_attention(x[0], x[1], x[2],
                                                      {.causal = true, .dropout = 0.4, .seed = 3});
                }),
                on({2, 2, 2}, {2, 4, 2}, {2, 4, 3}).call([](Tensors x) {
                  return scaled_dot_product_attention(x[0], x[1], x[2], {.causal = true, .keys = 3});
                }),
                on({2, 2}, {0, 2}, {0, 3}).call([](Tensors x) {
                  return scaled_dot_product_attention(x[0], x[1], x[2]);
                })},
});

const Op& attention_weights_op = define({
    .name = "attention_weights",
    .formula = "P = softmax(scale q k^T), 0 where the mask is 0",
    .inputs = {"q", "k"},
    .shape = {"attention", check_queries_and_keys},
    .forward = [](auto& c) { kernels::attention_weights(attention_on(c), c.y()); },
    .stops = true,
    .samples = {on({2, 3, 2}, {2, 4, 2}).call([](Tensors x) {
      return attention_weights(x[0], x[1], {.causal = true, .mask = some_mask, .mask_shape = {3, 4}});
    })},
});

// ---- one packed projection

Shape packed_weights_shape(const Shape& x, std::int64_t heads) {
  Shape weights = x.slice(0, x.rank() - 2);
  weights.append(heads);
  weights.append(x[x.rank() - 2]);
  weights.append(x[x.rank() - 2]);
  return weights;
}

// Memory [batch, time, row] with heads side by side in each row.
template <class T>
Heads<T> packed_heads(T* data, std::int64_t row, std::int64_t time, std::int64_t channels) {
  return {data, time * row, channels, row};
}
template <class T>
HeadsInto<T> packed_into(Into<T> dx, std::int64_t part, std::int64_t width, std::int64_t time,
                         std::int64_t channels) {
  return {{dx.data + part * width, dx.add}, time * 3 * width, channels, 3 * width};
}

template <class C>
auto packed_attention_on(const C& c) {
  using T = typename C::Scalar;
  const Recorded& recorded = c.template options<Recorded>();
  const Shape& x = c.shape();
  const std::int64_t row = x.back();
  const std::int64_t width = row / 3;
  const std::int64_t time = x[x.rank() - 2];
  Attention<T> p;
  p.batch = x.product(0, x.rank() - 2);
  p.heads = recorded.heads;
  p.queries = time;
  p.keys = time;
  p.channels = width / recorded.heads;
  p.value_channels = p.channels;
  p.q = packed_heads(c.x(), row, time, p.channels);
  p.k = packed_heads(c.x() + width, row, time, p.channels);
  p.v = packed_heads(c.x() + 2 * width, row, time, p.channels);
  set_options(recorded.options, packed_weights_shape(x, p.heads), p);
  return p;
}

const Op& self_attention_op = define({
    .name = "self_attention",
    .formula = "y = softmax(scale q k^T) v for every head of x = [q, k, v], side by side in each row;  dx = [dq, dk, "
               "dv] of each head, as in scaled_dot_product_attention",
    .inputs = {"qkv"},
    .shape = {"self_attention",
              [](const Call& c) {
                const Recorded& recorded = c.options<Recorded>();
                const Shape& x = c[0];
                if (x.rank() < 2 || x.rank() + 1 > Shape::max_rank) c.fail("takes [batch, time, 3 width]");
                check_packed(c, recorded.heads, 1, "one size");
                check_options(c, recorded.options, packed_weights_shape(x, recorded.heads));
                Shape y = x;
                y.set(y.rank() - 1, x.back() / 3);
                return y;
              }},
    .reads = Reads::both,
    .forward =
        [](auto& c) {
          const auto p = packed_attention_on(c);
          kernels::attention(p, packed_heads(c.y(), c.shape_y().back(), p.queries, p.channels), kept_by(c, p));
        },
    .backward =
        [](auto& c) {
          using T = typename std::remove_reference_t<decltype(c)>::Scalar;
          const auto p = packed_attention_on(c);
          const std::int64_t width = c.shape_y().back();
          const auto into = [&](std::int64_t part) {
            return packed_into(c.dx(), part, width, p.queries, p.channels);
          };
          kernels::attention_grad(p, packed_heads<const T>(c.y(), width, p.queries, p.channels), c.saved(),
                                  packed_heads(c.dy(), width, p.queries, p.channels), into(0), into(1),
                                  into(2));
        },
    .samples =
        {on({2, 3, 12}).call([](Tensors x) { return self_attention(x[0], {.heads = 2, .causal = true}); }),
         on({4, 6}).call([](Tensors x) { return self_attention(x[0]); }), on({2, 3, 9}).call([](Tensors x) {
           return self_attention(
               x[0], {.heads = 3, .mask = std::span(some_mask, 9), .mask_shape = {3, 1, 3}, .scale = 1.5});
         }),
         on({1, 3, 12}).call([](Tensors x) {
           return self_attention(
               x[0], {.heads = 2, .causal = true, .dropout = 0.3, .seed = 1, .stream = 2, .step = 3});
         }),
         on({0, 3, 6}).call([](Tensors x) { return self_attention(x[0], {.heads = 2}); })},
});

}  // namespace

Tensor scaled_dot_product_attention(Here q, Here k, Here v, const AttentionOptions& options) {
  const Shape sq = q.shape();
  const Shape sk = k.shape();
  Recorded recorded{options, 0};
  if (sq.rank() >= 2 && sk.rank() >= 2)
    recorded.options = with_kept_mask(options, {q, k, v}, weights_shape(options, sq, sk));
  return record(attention_op, {q, k, v}, recorded);
}

Tensor attention_weights(Here q, Here k, const AttentionOptions& options) {
  const Shape sq = q.shape();
  const Shape sk = k.shape();
  Recorded recorded{options, 0};
  if (sq.rank() >= 2 && sk.rank() >= 2)
    recorded.options = with_kept_mask(options, {q, k}, weights_shape(options, sq, sk));
  return record(attention_weights_op, {q, k}, recorded);
}

Tensor self_attention(Here qkv, const SelfAttentionOptions& options) {
  const Shape x = qkv.shape();
  Recorded recorded{{.causal = options.causal,
                     .mask = options.mask,
                     .mask_shape = options.mask_shape,
                     .scale = options.scale,
                     .dropout = options.dropout,
                     .seed = options.seed,
                     .stream = options.stream,
                     .step = options.step},
                    options.heads};
  if (x.rank() >= 2 && x.rank() < Shape::max_rank && options.heads > 0 && options.heads <= most_heads) {
    recorded.options = with_kept_mask(recorded.options, {qkv}, packed_weights_shape(x, options.heads));
  }
  return record(self_attention_op, {qkv}, recorded);
}

}  // namespace reel
