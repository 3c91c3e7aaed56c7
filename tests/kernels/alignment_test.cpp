#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <new>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/attention.h"
#include "kernels/matmul.h"
#include "kernels/norm.h"
#include "kernels/optimizer.h"
#include "kernels/philox.h"
#include "kernels/reduce.h"
#include "kernels/softmax.h"

// Kernels give the same bits wherever their numbers lie: every pointer is moved by 4 to 60 bytes from a
// boundary of 64, each by its own number of bytes.

namespace reel::kernels {
namespace {

constexpr std::size_t boundary = 64;
constexpr std::size_t floats = boundary / sizeof(float);

/// Hands out arrays of floats, each at its own distance from the boundary.
class Floats {
 public:
  explicit Floats(std::size_t shift) : shift_(shift) {}

  float* filled(std::int64_t n) {
    float* x = place(n);
    const Philox random(11, static_cast<std::uint64_t>(arrays_.size()));
    for (std::int64_t i = 0; i < n; ++i)
      x[i] = static_cast<float>(4 * random.uniform(static_cast<std::uint64_t>(i)) - 2);
    return x;
  }
  /// For a result, which is compared.
  float* result(std::int64_t n) {
    float* x = place(n);
    for (std::int64_t i = 0; i < n; ++i) x[i] = std::numeric_limits<float>::quiet_NaN();
    results_.push_back({x, static_cast<std::size_t>(n)});
    return x;
  }
  /// As result, with values that the kernel changes.
  float* state(std::int64_t n) {
    float* x = filled(n);
    results_.push_back({x, static_cast<std::size_t>(n)});
    return x;
  }

  std::string bits() const {
    std::string all;
    for (const Result& r : results_)
      all.append(reinterpret_cast<const char*>(r.data), r.count * sizeof(float));
    return all;
  }
  bool any_nan() const {
    for (const Result& r : results_) {
      for (std::size_t i = 0; i < r.count; ++i) {
        if (std::isnan(r.data[i])) return true;
      }
    }
    return false;
  }

 private:
  struct Result {
    const float* data;
    std::size_t count;
  };
  struct Free {
    void operator()(float* x) const { ::operator delete(x, std::align_val_t(boundary)); }
  };

  float* place(std::int64_t n) {
    const std::size_t bytes = (static_cast<std::size_t>(n) + floats) * sizeof(float);
    arrays_.emplace_back(static_cast<float*>(::operator new(bytes, std::align_val_t(boundary))));
    // The first array moves by shift, the second by 3 shift, ...: no two of them lie alike.
    return arrays_.back().get() + shift_ * (2 * arrays_.size() - 1) % floats;
  }

  std::size_t shift_;
  std::vector<std::unique_ptr<float, Free>> arrays_;
  std::vector<Result> results_;
};

void same_everywhere(const std::string& what, const std::function<void(Floats&)>& compute) {
  Floats aligned(0);
  compute(aligned);
  ASSERT_FALSE(aligned.bits().empty()) << what;
  EXPECT_FALSE(aligned.any_nan()) << what;
  for (std::size_t shift = 1; shift < floats; ++shift) {
    Floats moved(shift);
    compute(moved);
    EXPECT_TRUE(moved.bits() == aligned.bits()) << what << ", moved by " << shift * sizeof(float) << " bytes";
  }
}

TEST(Alignment, ProductsAndTheirSums) {
  const std::int64_t sizes[][3] = {{1, 1, 1},    {2, 3, 5},     {1, 70, 33},
                                   {17, 31, 33}, {64, 100, 65}, {130, 70, 300}};
  for (const auto& [m, n, k] : sizes) {
    for (const int transposed : {0, 1, 2, 3}) {
      for (const bool add : {false, true}) {
        same_everywhere("matmul", [&, m = m, n = n, k = k](Floats& f) {
          Matmul<float> p{.m = m, .n = n, .k = k};
          p.transpose_a = (transposed & 1) != 0;
          p.transpose_b = (transposed & 2) != 0;
          p.a = f.filled(m * k), p.lda = p.transpose_a ? m : k;
          p.b = f.filled(k * n), p.ldb = p.transpose_b ? k : n;
          p.bias = add ? nullptr : f.filled(n);
          p.c = {f.state(m * n), add}, p.ldc = n;
          matmul(p);
        });
      }
    }
    same_everywhere("sum_rows", [&, m = m, n = n](Floats& f) {
      const float* x = f.filled(m * n);
      sum_rows(x, m, n, Into<float>{f.result(n)});
    });
  }
}

TEST(Alignment, RowsOfEveryLength) {
  for (const std::int64_t cols : {1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 257}) {
    const std::int64_t rows = 5;
    const std::int64_t n = rows * cols;
    same_everywhere("softmax", [&](Floats& f) {
      const float* x = f.filled(n);
      float* y = f.result(n);
      softmax(x, rows, cols, 0.7F, y);
      softmax_grad(y, f.filled(n), rows, cols, 0.7F, Into<float>{f.result(n)});
      log_softmax(x, rows, cols, 0.7F, y);
      log_softmax_grad(y, f.filled(n), rows, cols, 0.7F, Into<float>{f.result(n)});
      float* kept = f.result(2 * rows);
      logsumexp(x, rows, cols, f.result(rows), kept);
      logsumexp_grad(x, kept, f.filled(rows), rows, cols, Into<float>{f.result(n)});
    });
    same_everywhere("cross-entropy", [&](Floats& f) {
      const std::vector<std::int32_t> labels = {0, static_cast<std::int32_t>(cols - 1), -1, 0, 0};
      const CrossEntropy ce{rows, cols, labels.data(), -1, 0.1};
      const float* x = f.filled(n);
      float* kept = f.result(2 * rows);
      cross_entropy(ce, x, f.result(rows), kept);
      cross_entropy_grad(ce, x, kept, f.filled(rows), Into<float>{f.result(n)});
    });
    same_everywhere("norms", [&](Floats& f) {
      const float* x = f.filled(n);
      const float* w = f.filled(cols);
      float* saved = f.result(rows * layer_norm_saved);
      layer_norm(x, w, f.filled(cols), rows, cols, 1e-5, f.result(n), saved);
      layer_norm_grad(x, w, saved, f.filled(n), rows, cols, Into<float>{f.result(n)},
                      Into<float>{f.result(cols)}, Into<float>{f.result(cols)});
      float* root = f.result(rows);
      rms_norm(x, w, rows, cols, 1e-5, f.result(n), root);
      rms_norm_grad(x, w, root, f.filled(n), rows, cols, Into<float>{f.result(n)},
                    Into<float>{f.result(cols)});
    });
    same_everywhere("reductions", [&](Floats& f) {
      const float* x = f.filled(n);
      *f.result(1) = sum(x, n);
      sum_axis(x, rows, cols, 1, Into<float>{f.result(rows)});
      sum_axis(x, 1, rows, cols, Into<float>{f.result(cols)});
      row_max(x, rows, cols, f.result(rows));
      row_var(x, rows, cols, 0, f.result(rows));
      row_norm(x, rows, cols, f.result(rows));
      row_cumsum(x, rows, cols, f.result(n));
    });
  }
}

TEST(Alignment, OptimizersOnBlocksOfEveryLength) {
  for (const std::int64_t n : {1, 3, 16, 17, 63, 1000, 5001}) {
    same_everywhere("optimizers", [&](Floats& f) {
      const float* g = f.filled(n);
      const AdamRule adam_rule{.weight_decay = 0.1, .decoupled = true};
      float* v = f.state(n);
      for (std::int64_t i = 0; i < n; ++i) v[i] = std::fabs(v[i]);
      adam(f.state(n), g, f.state(n), v, n, adam_rule, adam_correction(adam_rule, 3), 0.5);
      sgd(f.state(n), g, f.state(n), n, {.momentum = 0.9, .weight_decay = 0.1, .nesterov = true}, 3, 0.5);
      scale(f.state(n), n, 0.3);
      clamp(f.state(n), n, 0.3);
    });
  }
}

TEST(Alignment, AttentionAndItsGradient) {
  const std::int64_t shapes[][3] = {{1, 1, 1}, {5, 7, 3}, {16, 16, 16}, {33, 40, 24}, {70, 70, 17}};
  for (const auto& [queries, keys, channels] : shapes) {
    for (const bool drops : {false, true})
      same_everywhere("attention", [&, t = queries, s = keys, c = channels](Floats& f) {
        const std::int64_t heads = 2;
        Attention<float> p;
        p.heads = heads, p.queries = t, p.keys = s, p.channels = c, p.value_channels = c;
        const auto laid_out = [&](auto* data, std::int64_t time) {
          return Heads<std::remove_pointer_t<decltype(data)>>{data, heads * time * c, time * c, c};
        };
        const auto constant = [&](std::int64_t time) {
          return laid_out(static_cast<const float*>(f.filled(heads * time * c)), time);
        };
        const auto into = [&](std::int64_t time) {
          return HeadsInto<float>{{f.result(heads * time * c), false}, heads * time * c, time * c, c};
        };
        p.q = constant(t), p.k = constant(s), p.v = constant(s);
        p.scale = 0.3F, p.causal = drops, p.dropout = drops ? 0.2 : 0;
        float* y = f.result(heads * t * c);
        float* kept = f.result(attention_kept(p));
        attention(p, laid_out(y, t), kept);
        attention_grad(p, laid_out(static_cast<const float*>(y), t), kept, constant(t), into(t), into(s),
                       into(s));
      });
  }
}

}  // namespace
}  // namespace reel::kernels
