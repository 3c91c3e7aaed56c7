#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "autograd/gradcheck.h"
#include "autograd/ops.h"
#include "autograd/tape.h"
#include "kernels/philox.h"

namespace reel {
namespace {

std::vector<double> numbers(std::int64_t n, std::uint64_t stream) {
  std::vector<double> x(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = kernels::Philox(3, stream).uniform(i) * 4 - 2;
  return x;
}

void expect_near(const std::vector<double>& a, const std::vector<double>& b, double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], tolerance) << "element " << i;
}

std::vector<std::uint8_t> lower_triangle(std::int64_t queries, std::int64_t keys) {
  std::vector<std::uint8_t> mask;
  for (std::int64_t i = 0; i < queries; ++i) {
    for (std::int64_t j = 0; j < keys; ++j) mask.push_back(j <= i + keys - queries);
  }
  return mask;
}

// The same from plain ops: every weight in memory, and hidden scores far below the others.
Tensor unfused(Tensor q, Tensor k, Tensor v, double factor, const std::vector<std::uint8_t>& mask) {
  Tensor scores = matmul(q, k, {.transpose_b = true}) * factor;
  if (!mask.empty()) {
    std::vector<std::uint8_t> all;
    while (static_cast<std::int64_t>(all.size()) < scores.size())
      all.insert(all.end(), mask.begin(), mask.end());
    scores = where(all, scores, scores.tape().constant(-1e30));
  }
  return matmul(softmax(scores), v);
}

struct Outcome {
  std::vector<double> y, dq, dk, dv;
};

template <class Attend>
Outcome run(const Shape& q_shape, const Shape& k_shape, const Shape& v_shape, Attend attend) {
  Tape tape(Precision::f64);
  const auto step = tape.record();
  const Tensor q = tape.variable(numbers(q_shape.size(), 1), q_shape);
  const Tensor k = tape.variable(numbers(k_shape.size(), 2), k_shape);
  const Tensor v = tape.variable(numbers(v_shape.size(), 3), v_shape);
  const Tensor y = attend(q, k, v);
  tape.backward(y, numbers(y.size(), 4));
  return {y.values(), q.gradient(), k.gradient(), v.gradient()};
}

void expect_same(const Outcome& a, const Outcome& b) {
  expect_near(a.y, b.y, 1e-13);
  expect_near(a.dq, b.dq, 1e-12);
  expect_near(a.dk, b.dk, 1e-12);
  expect_near(a.dv, b.dv, 1e-12);
}

TEST(AttentionOps, EqualsPlainOps) {
  const Shape q{2, 3, 5, 4}, k{2, 3, 7, 4}, v{2, 3, 7, 6};
  expect_same(
      run(q, k, v, [](Tensor a, Tensor b, Tensor c) { return scaled_dot_product_attention(a, b, c); }),
      run(q, k, v, [](Tensor a, Tensor b, Tensor c) { return unfused(a, b, c, 0.5, {}); }));
  expect_same(
      run(q, k, v,
          [](Tensor a, Tensor b, Tensor c) {
            return scaled_dot_product_attention(a, b, c, {.causal = true, .scale = 0.9});
          }),
      run(q, k, v, [](Tensor a, Tensor b, Tensor c) { return unfused(a, b, c, 0.9, lower_triangle(5, 7)); }));
}

TEST(AttentionOps, ACausalMaskIsTheCausalOption) {
  const Shape q{5, 4}, k{7, 4}, v{7, 6};
  const auto mask = lower_triangle(5, 7);
  const Outcome a = run(q, k, v, [](Tensor x, Tensor y, Tensor z) {
    return scaled_dot_product_attention(x, y, z, {.causal = true});
  });
  const Outcome b = run(q, k, v, [&](Tensor x, Tensor y, Tensor z) {
    return scaled_dot_product_attention(x, y, z, {.mask = mask, .mask_shape = {5, 7}});
  });
  EXPECT_EQ(a.y, b.y);
  EXPECT_EQ(a.dk, b.dk);
}

TEST(AttentionOps, MasksAreBroadcastLikeShapes) {
  const Shape q{2, 1, 3, 4, 2}, k{2, 1, 3, 5, 2}, v{2, 1, 3, 5, 2};  // batches in two axes, 3 heads
  const Shape weights{2, 1, 3, 4, 5};
  for (const Shape& shape : {Shape{5}, Shape{4, 5}, Shape{4, 1}, Shape{3, 1, 5}, Shape{1, 3, 4, 5},
                             Shape{2, 1, 1, 4, 5}, Shape{2, 1, 3, 1, 1}, Shape{1, 1, 1, 1, 5}, Shape{}}) {
    std::vector<std::uint8_t> mask;
    for (std::int64_t i = 0; i < shape.size(); ++i)
      mask.push_back(kernels::Philox(1, 1).uniform(static_cast<std::uint64_t>(i)) < 0.7);
    std::vector<std::uint8_t> whole;
    {
      Tape tape(Precision::f64);
      const auto step = tape.record();
      const Tensor small = tape.constant(std::vector<double>(mask.begin(), mask.end()), shape);
      for (const double m : expand(small, weights).values()) whole.push_back(m != 0);
    }
    const Outcome a = run(q, k, v, [&](Tensor x, Tensor y, Tensor z) {
      return scaled_dot_product_attention(x, y, z, {.mask = mask, .mask_shape = shape});
    });
    const Outcome b = run(q, k, v, [&](Tensor x, Tensor y, Tensor z) {
      return scaled_dot_product_attention(x, y, z, {.mask = whole, .mask_shape = weights});
    });
    EXPECT_EQ(a.y, b.y) << to_string(shape);
    EXPECT_EQ(a.dq, b.dq) << to_string(shape);
  }
}

TEST(AttentionOps, AMaskMayRepeatAlongSomeBatchAxesOnly) {
  const Shape q{2, 3, 1, 4, 2}, k{2, 3, 1, 5, 2};
  const std::vector<std::uint8_t> per_first = {1, 0, 1, 1, 1, 0, 1, 1, 0, 1};  // [2, 1, 1, 1, 5]
  std::vector<std::uint8_t> whole;
  for (std::size_t b = 0; b < 2; ++b) {
    for (int rest = 0; rest < 3 * 4; ++rest)
      whole.insert(whole.end(), per_first.begin() + static_cast<long>(5 * b),
                   per_first.begin() + static_cast<long>(5 * b + 5));
  }
  const Outcome a = run(q, k, k, [&](Tensor x, Tensor y, Tensor z) {
    return scaled_dot_product_attention(x, y, z, {.mask = per_first, .mask_shape = {2, 1, 1, 1, 5}});
  });
  const Outcome b = run(q, k, k, [&](Tensor x, Tensor y, Tensor z) {
    return scaled_dot_product_attention(x, y, z, {.mask = whole, .mask_shape = {2, 3, 1, 4, 5}});
  });
  EXPECT_EQ(a.y, b.y);
  EXPECT_EQ(a.dk, b.dk);
}

TEST(AttentionOps, TheMaskIsCopied) {
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.variable(numbers(8, 1), {4, 2});
  std::vector<std::uint8_t> mask(16, 1);
  const Tensor y = scaled_dot_product_attention(x, x, x, {.mask = mask, .mask_shape = {4, 4}});
  tape.backward(sum(y), {.retain_graph = true});
  const auto before = x.gradient();
  Tape other;
  const auto other_step = other.record();
  const Tensor x2 = other.variable(numbers(8, 1), {4, 2});
  const Tensor y2 = scaled_dot_product_attention(x2, x2, x2, {.mask = mask, .mask_shape = {4, 4}});
  std::fill(mask.begin(), mask.end(), std::uint8_t{0});
  other.backward(sum(y2));
  EXPECT_EQ(before, x2.gradient());
}

TEST(AttentionOps, SelfAttentionIsAttentionOfItsParts) {
  constexpr std::int64_t batch = 2, time = 6, heads = 3, channels = 4, width = heads * channels;
  std::vector<std::uint8_t> padding(batch * time, 1);
  padding[5] = padding[10] = padding[11] = 0;
  for (const bool masked : {false, true}) {
    Tape tape(Precision::f64);
    const auto step = tape.record();
    const Tensor x = tape.variable(numbers(batch * time * 3 * width, 1), {batch, time, 3 * width});
    const Tensor x2 = tape.variable(numbers(batch * time * 3 * width, 1), {batch, time, 3 * width});
    SelfAttentionOptions options{.heads = heads, .causal = true};
    AttentionOptions plain{.causal = true};
    if (masked) {
      options.mask = plain.mask = padding;
      options.mask_shape = plain.mask_shape = {batch, 1, 1, time};
    }
    const Tensor y = self_attention(x, options);
    const auto part = [&](std::int64_t i) {
      return permute(reshape(slice(x2, 2, i * width, (i + 1) * width), {batch, time, heads, channels}),
                     {0, 2, 1, 3});
    };
    const Tensor apart =
        reshape(permute(scaled_dot_product_attention(part(0), part(1), part(2), plain), {0, 2, 1, 3}),
                {batch, time, width});
    EXPECT_EQ(y.values(), apart.values());
    const auto dy = numbers(y.size(), 5);
    tape.backward(sum(y * tape.constant(dy, y.shape())) + sum(apart * tape.constant(dy, y.shape())));
    EXPECT_EQ(x.gradient(), x2.gradient());
  }
}

TEST(AttentionOps, PackedRotaryIsRotaryOfTheParts) {
  constexpr std::int64_t batch = 2, time = 70, heads = 3, channels = 4, width = heads * channels;
  Tape tape(Precision::f64);
  const auto step = tape.record();
  const Tensor x = tape.variable(numbers(batch * time * 3 * width, 1), {batch, time, 3 * width});
  const Tensor x2 = tape.variable(numbers(batch * time * 3 * width, 1), {batch, time, 3 * width});
  const Tensor y = packed_rotary(x, {.heads = heads, .base = 50, .first_position = 2});
  const auto part = [&](std::int64_t i) {
    return permute(reshape(slice(x2, 2, i * width, (i + 1) * width), {batch, time, heads, channels}),
                   {0, 2, 1, 3});
  };
  const auto row = [&](Tensor t) { return reshape(permute(t, {0, 2, 1, 3}), {batch, time, width}); };
  const RotaryOptions options{.base = 50, .first_position = 2};
  const Tensor apart =
      concat({row(rotary(part(0), options)), row(rotary(part(1), options)), row(part(2))}, 2);
  EXPECT_EQ(y.values(), apart.values());
  const Tensor dy = tape.constant(numbers(y.size(), 5), y.shape());
  tape.backward(sum(y * dy) + sum(apart * dy));
  EXPECT_EQ(x.gradient(), x2.gradient());
}

// Generation with kept keys and values: the newest query alone gives the bits of the whole pass.
TEST(AttentionOps, OneNewQueryGivesTheBitsOfTheWholePass) {
  Tape tape;
  const auto step = tape.inference();
  const Tensor x = tape.constant(numbers(20 * 8, 1), {20, 8});
  const std::vector<double> all = scaled_dot_product_attention(x, x, x, {.causal = true}).values();
  for (std::int64_t t = 0; t < 20; ++t) {
    const Tensor seen = slice(x, 0, 0, t + 1);
    const auto one =
        scaled_dot_product_attention(slice(x, 0, t, t + 1), seen, seen, {.causal = true}).values();
    EXPECT_EQ(one, std::vector<double>(all.begin() + t * 8, all.begin() + (t + 1) * 8)) << t;
  }
}

// A cache has room for more keys than there are: those behind do not count, whatever they are.
TEST(AttentionOps, OnlySoManyKeysCount) {
  constexpr std::int64_t room = 7, channels = 4, value_channels = 3;
  const Shape q{2, 3, 2, channels}, k{2, 3, room, channels}, v{2, 3, room, value_channels};
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto mask_of = [](std::int64_t keys) {
    std::vector<std::uint8_t> mask(static_cast<std::size_t>(2 * keys), 1);
    if (keys > 1) mask[1] = 0;
    return mask;
  };
  for (std::int64_t keys = 0; keys <= room; ++keys) {
    for (const bool masked : {false, true}) {
      const auto mask = mask_of(keys);
      AttentionOptions options{.causal = true};
      if (masked) {
        options.mask = mask;
        options.mask_shape = {2, keys};
      }
      const auto run_with = [&](auto attend, double behind) {
        Tape tape(Precision::f64);
        const auto step = tape.record();
        const auto filled = [&](const Shape& shape, std::uint64_t stream) {
          std::vector<double> x = numbers(shape.size(), stream);
          for (std::size_t i = 0; i < x.size(); ++i) {
            if (static_cast<std::int64_t>(i) / shape.back() % room >= keys) x[i] = behind;
          }
          return tape.variable(x, shape);
        };
        const Tensor x = tape.variable(numbers(q.size(), 1), q);
        const Tensor y = filled(k, 2);
        const Tensor z = filled(v, 3);
        const Tensor result = attend(x, y, z);
        tape.backward(result, numbers(result.size(), 4));
        return Outcome{result.values(), x.gradient(), y.gradient(), z.gradient()};
      };
      const Outcome cut = run_with(
          [&](Tensor x, Tensor y, Tensor z) {
            return scaled_dot_product_attention(x, slice(y, 2, 0, keys), slice(z, 2, 0, keys), options);
          },
          0.5);
      options.keys = keys;
      const Outcome counted = run_with(
          [&](Tensor x, Tensor y, Tensor z) { return scaled_dot_product_attention(x, y, z, options); }, nan);
      EXPECT_EQ(cut.y, counted.y) << keys;
      EXPECT_EQ(cut.dq, counted.dq) << keys;
      EXPECT_EQ(cut.dk, counted.dk) << keys;
      EXPECT_EQ(cut.dv, counted.dv) << keys;
    }
  }
}

TEST(AttentionOps, KeysThatDoNotCountKeepTheGradientsOfOtherOps) {
  const auto gradients = [](bool also_attention) {
    Tape tape(Precision::f64);
    const auto step = tape.record();
    const Tensor k = tape.variable(numbers(8, 1), {4, 2});
    Tensor loss = sum(k * k);
    if (also_attention) loss = loss + 0 * sum(scaled_dot_product_attention(k, k, k, {.keys = 2}));
    tape.backward(loss);
    return k.gradient();
  };
  EXPECT_EQ(gradients(true), gradients(false));
}

TEST(AttentionOps, WeightsOfTheKeysThatCount) {
  Tape tape(Precision::f64);
  const auto step = tape.record();
  const Tensor x = tape.constant(numbers(10, 1), {5, 2});
  const Tensor w = attention_weights(x, x, {.keys = 3});
  EXPECT_EQ(w.shape(), (Shape{5, 3}));
  EXPECT_EQ(w.values(), attention_weights(x, slice(x, 0, 0, 3)).values());
}

TEST(AttentionOps, NumbersThatAreNotSeenMayBeNaN) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto gradients = [&](double poison) {
    Tape tape;
    const auto step = tape.record();
    std::vector<double> keys = numbers(10, 2);
    keys[8] = keys[9] = poison;
    const Tensor q = tape.variable(numbers(6, 1), {3, 2});
    const Tensor k = tape.variable(keys, {5, 2});
    const std::vector<std::uint8_t> mask = {1, 1, 1, 1, 0};
    const Tensor y = scaled_dot_product_attention(q, k, k, {.mask = mask, .mask_shape = {5}});
    tape.backward(sum(y * y));
    return std::vector<std::vector<double>>{y.values(), q.gradient(), k.gradient()};
  };
  EXPECT_EQ(gradients(nan), gradients(0.5));
  EXPECT_EQ(gradients(nan)[2][9], 0);
}

TEST(AttentionOps, ARowWithoutAnyKeyIsZero) {
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.variable(numbers(6, 1), {3, 2});
  const std::vector<std::uint8_t> mask = {1, 1, 1, 0, 0, 0, 1, 0, 1};
  const Tensor y = scaled_dot_product_attention(x, x, x, {.mask = mask, .mask_shape = {3, 3}});
  EXPECT_EQ(y.values()[2], 0);
  EXPECT_EQ(y.values()[3], 0);
  tape.backward(sum(y));
  for (const double g : x.gradient()) EXPECT_TRUE(std::isfinite(g));
  const auto weights = attention_weights(x, x, {.mask = mask, .mask_shape = {3, 3}}).values();
  EXPECT_EQ(std::vector<double>(weights.begin() + 3, weights.begin() + 6), std::vector<double>(3, 0.0));
}

TEST(AttentionOps, WeightsAreASoftmax) {
  Tape tape(Precision::f64);
  const auto step = tape.record();
  const Tensor q = tape.variable(numbers(6, 1), {3, 2});
  const Tensor k = tape.variable(numbers(8, 2), {4, 2});
  expect_near(attention_weights(q, k, {.scale = 0.7}).values(),
              softmax(matmul(q, k, {.transpose_b = true}) * 0.7).values(), 1e-14);
}

TEST(AttentionOps, DropoutFollowsItsSeed) {
  Tape tape;
  const auto step = tape.record();
  const Tensor x = tape.variable(numbers(2 * 16 * 24, 1), {2, 16, 24});
  const auto with = [&](std::uint64_t seed, std::uint64_t stream, std::uint64_t s) {
    return self_attention(x, {.heads = 2, .dropout = 0.3, .seed = seed, .stream = stream, .step = s})
        .values();
  };
  EXPECT_EQ(with(1, 2, 3), with(1, 2, 3));
  EXPECT_NE(with(1, 2, 3), with(2, 2, 3));
  EXPECT_NE(with(1, 2, 3), with(1, 3, 3));
  EXPECT_NE(with(1, 2, 3), with(1, 2, 4));
}

// Two numbers for every row of a head, and the weights where a head is short; all of it for backward alone.
TEST(AttentionOps, KeepsLittleAndOnlyForBackward) {
  Tape tape;
  const auto bytes = [&tape](std::int64_t time, bool wanted) {
    const auto x = wanted ? tape.variable(numbers(2 * time * 96, 5), {2, time, 96})
                          : tape.constant(numbers(2 * time * 96, 5), {2, time, 96});
    const std::size_t before = tape.statistics().value_bytes;
    self_attention(x, {.heads = 2, .causal = true});
    return tape.statistics().value_bytes - before;
  };
  const auto trained = [&](std::int64_t time) {
    const auto step = tape.record();
    return bytes(time, true);
  };
  const auto constant = [&](std::int64_t time) {
    const auto step = tape.record();
    return bytes(time, false);
  };
  const auto inferred = [&](std::int64_t time) {
    const auto step = tape.inference();
    return bytes(time, true);
  };
  EXPECT_EQ(inferred(64), constant(64));
  EXPECT_EQ(trained(64) - constant(64), 2U * 2 * 64 * (64 + 2) * sizeof(float));
  EXPECT_EQ(trained(80) - constant(80), 2U * 2 * 80 * 2 * sizeof(float));
}

TEST(AttentionOps, ACurvatureGoesThroughTheFusedOp) {
  const auto f = [](Tensors x) { return sum(tanh(self_attention(x[0], {.heads = 2, .causal = true}))); };
  const auto report = gradcheck(f, {Array{{2, 5, 24}, numbers(240, 1)}});
  EXPECT_TRUE(report) << report.message;
}

template <class E, class F>
std::string message_of(F f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  }
  return "nothing was thrown";
}

TEST(AttentionOps, ErrorsNameTheOpAndTheShapes) {
  Tape tape;
  const auto step = tape.record();
  const auto zeros = [&](const Shape& s) {
    return tape.constant(std::vector<double>(static_cast<std::size_t>(s.size())), s);
  };
  const auto expect_in = [](const std::string& message, std::initializer_list<const char*> parts) {
    for (const char* part : parts)
      EXPECT_NE(message.find(part), std::string::npos) << part << " in\n" << message;
  };
  const auto attend = [&](const Shape& q, const Shape& k, const Shape& v,
                          const AttentionOptions& options = {}) {
    return message_of<Error>(
        [&] { static_cast<void>(scaled_dot_product_attention(zeros(q), zeros(k), zeros(v), options)); });
  };
  expect_in(attend({3, 4}, {5, 6}, {5, 2}),
            {"attention_test.cpp:", "scaled_dot_product_attention:", "4 channels", "6", "[3, 4]", "[5, 6]"});
  expect_in(attend({2, 3, 4}, {3, 5, 4}, {3, 5, 2}), {"leading dimensions", "[2, 3, 4]", "[3, 5, 4]"});
  expect_in(attend({3, 4}, {5, 4}, {6, 2}), {"one value for every key", "[6, 2]"});
  expect_in(attend({4}, {4}, {4}), {"scaled_dot_product_attention:"});
  const std::vector<std::uint8_t> mask(6, 1);
  expect_in(attend({3, 4}, {5, 4}, {5, 4}, {.mask = mask, .mask_shape = {2, 3}}), {"mask [2, 3]", "[3, 5]"});
  expect_in(attend({3, 4}, {5, 4}, {5, 4}, {.mask = mask, .mask_shape = {3, 5}}),
            {"6 elements", "[3, 5]", "15"});
  expect_in(attend({3, 4}, {5, 4}, {5, 4}, {.mask = mask}), {"6 elements"});
  expect_in(attend({3, 4}, {5, 4}, {5, 4}, {.mask_shape = {3, 5}}), {"0 elements"});
  expect_in(attend({3, 4}, {5, 4}, {5, 4}, {.dropout = 1}), {"dropout", "[0, 1)"});
  expect_in(attend({3, 4}, {5, 4}, {5, 4}, {.scale = std::nan("")}), {"scale"});
  expect_in(attend({3, 4}, {5, 4}, {5, 4}, {.keys = 6}), {"6 keys are not some of the 5 of k"});
  expect_in(attend({3, 4}, {5, 4}, {5, 4}, {.keys = -1}), {"-1 keys are not some of the 5 of k"});
  expect_in(attend({3, 4}, {5, 4}, {5, 4}, {.mask = mask, .mask_shape = {2, 3}, .keys = 2}),
            {"mask [2, 3]", "[3, 2]"});
  expect_in(message_of<ShapeError>([&] {
              static_cast<void>(self_attention(zeros({2, 3, 12}), {.heads = 5}));
            }),
            {"attention_test.cpp:", "self_attention:", "12 channels", "5 heads", "[2, 3, 12]"});
  expect_in(message_of<ValueError>([&] {
              static_cast<void>(self_attention(zeros({2, 3, 12}), {.heads = 0}));
            }),
            {"0 heads"});
  expect_in(message_of<ShapeError>([&] {
              static_cast<void>(rotary(zeros({3, 5})));
            }),
            {"attention_test.cpp:", "rotary:", "5 channels", "[3, 5]"});
  expect_in(message_of<ValueError>([&] {
              static_cast<void>(rotary(zeros({3, 4}), {.base = 0}));
            }),
            {"rotary:", "base"});
}

}  // namespace
}  // namespace reel
