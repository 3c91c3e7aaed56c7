// The speed of kernels::matmul on the products of training, beside OpenBLAS, Eigen and oneDNN, as
// shares of the peak; and of Products::bf16x6, where the processor has AMX.
//
// The peak is what a loop of fused multiply-adds over registers reaches. For each product, all contestants
// and the peak take turns of one length, round by round, so that a busy machine treats them alike; each
// counts with its fastest round.

#include <omp.h>

#include <CLI/CLI.hpp>
#include <Eigen/Core>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "kernels/block.h"
#include "kernels/matmul.h"
#include "kernels/matmul_bf16.h"
#include "kernels/parallel.h"
#include "kernels/simd.h"

#if defined(REEL_ONEDNN)
#include <dnnl.h>
#endif

#if defined(REEL_OPENBLAS)
extern "C" {
void openblas_set_num_threads(int);
void cblas_sgemm(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha,
                 const float* a, int lda, const float* b, int ldb, float beta, float* c, int ldc);
}
#endif

namespace {

using namespace reel;
using kernels::Matmul;

// With one thread, the time that the processor gave to it: other programs then matter less.
double seconds_now(int threads) {
  timespec t;
  clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// What `flops` operations in independent chains reach; sixteen of them hide the latency of a multiply-add.
double peak_flops(int threads, double flops) {
  using S = kernels::Simd<float>;
  constexpr int chains = 16;
  const auto steps = static_cast<std::int64_t>(flops / (2.0 * S::lanes * chains * threads)) + 1;
  float sink = 0;
  double seconds = 0;
#pragma omp parallel num_threads(threads) reduction(+ : sink) reduction(max : seconds)
  {
    S::Vector x[chains];
#pragma GCC unroll 16
    for (int i = 0; i < chains; ++i) x[i] = S::all(1.0F + static_cast<float>(i));
    S::Vector a = S::all(0.999F);
    S::Vector b = S::all(0.001F);
#pragma omp barrier
    const double start = seconds_now(threads);
    for (std::int64_t s = 0; s < steps; ++s) {
#pragma GCC unroll 16
      for (int i = 0; i < chains; ++i) {
        x[i] = S::fma(x[i], a, b);
        kernels::keep(x[i]);
      }
    }
    seconds = seconds_now(threads) - start;
#pragma GCC unroll 16
    for (int i = 0; i < chains; ++i) sink += x[i][0];
  }
  if (sink == 0.125F) std::printf(" ");  // the loop above must not be dropped
  return 2.0 * S::lanes * chains * static_cast<double>(steps) * threads / seconds;
}

struct Product {
  std::string set, name;
  std::int64_t m, n, k;
  bool transpose_a, transpose_b;
};

// One layer y [rows, out] = x [rows, in] W^T with W [out, in]: forward, dx = dy W, dW = dy^T x.
void add_layer(std::vector<Product>& list, const std::string& set, std::int64_t rows, std::int64_t in,
               std::int64_t out, bool first = false) {
  const std::string name = std::to_string(in) + "->" + std::to_string(out);
  list.push_back({set, name + " y", rows, out, in, false, true});
  if (!first) list.push_back({set, name + " dx", rows, in, out, false, false});
  list.push_back({set, name + " dW", out, in, rows, true, false});
}

std::vector<Product> products() {
  std::vector<Product> list;
  add_layer(list, "MLP 784-128-10 b64", 64, 784, 128, true);
  add_layer(list, "MLP 784-128-10 b64", 64, 128, 10);
  add_layer(list, "MLP 784-512-512-10 b128", 128, 784, 512, true);
  add_layer(list, "MLP 784-512-512-10 b128", 128, 512, 512);
  add_layer(list, "MLP 784-512-512-10 b128", 128, 512, 10);
  add_layer(list, "MLP 784-500-10 b500", 500, 784, 500, true);
  add_layer(list, "MLP 784-500-10 b500", 500, 500, 10);
  for (const std::int64_t out : {384, 128, 512}) add_layer(list, "GPT width 128 rows 768", 768, 128, out);
  add_layer(list, "GPT width 128 rows 768", 768, 512, 128);
  add_layer(list, "GPT width 128 rows 768", 768, 128, 65);
  for (const std::int64_t out : {2304, 768, 3072}) add_layer(list, "GPT-2 rows 256", 256, 768, out);
  add_layer(list, "GPT-2 rows 256", 256, 3072, 768);
  add_layer(list, "GPT-2 rows 256, head", 256, 768, 50257);
  list.push_back({"small", "32x16x2 y", 32, 16, 2, false, true});
  list.push_back({"small", "32x16x16 y", 32, 16, 16, false, true});
  list.push_back({"small", "32x3x16 y", 32, 3, 16, false, true});
  list.push_back({"small", "16x2x32 dW", 16, 2, 32, true, false});
  list.push_back({"small", "1x1x1", 1, 1, 1, false, false});
  list.push_back({"one row", "1x768x768 y", 1, 768, 768, false, true});
  list.push_back({"one row", "1x128x128 y", 1, 128, 128, false, true});
  return list;
}

enum Contestant { reel_kernel, reel_bf16x6, openblas, eigen, onednn, contestants };
const char* const names[contestants] = {"reel", "bf16x6", "openblas", "eigen", "onednn"};
#if defined(REEL_OPENBLAS)
constexpr bool has_openblas = true;
#else
constexpr bool has_openblas = false;
#endif
#if defined(REEL_ONEDNN)
constexpr bool has_onednn = true;
#else
constexpr bool has_onednn = false;
#endif
const bool present[contestants] = {true, kernels::has_way(kernels::Bf16Way::tiles), has_openblas, true,
                                   has_onednn};

// Memory as the engine allocates it: on boundaries of 64 bytes, large blocks in huge pages.
struct Operands {
  kernels::Block<float> a, b, c;
};

void run(const Product& p, Contestant who, const Operands& x, float* c) {
  const std::int64_t lda = p.transpose_a ? p.m : p.k;
  const std::int64_t ldb = p.transpose_b ? p.k : p.n;
  switch (who) {
    case reel_kernel:
    case reel_bf16x6:
      kernels::matmul(Matmul<float>{
          .m = p.m,
          .n = p.n,
          .k = p.k,
          .a = x.a.get(),
          .lda = lda,
          .transpose_a = p.transpose_a,
          .b = x.b.get(),
          .ldb = ldb,
          .transpose_b = p.transpose_b,
          .c = {c, false},
          .ldc = p.n,
          .products = who == reel_bf16x6 ? kernels::Products::bf16x6 : kernels::Products::full});
      break;
    case openblas:
#if defined(REEL_OPENBLAS)
      cblas_sgemm(101, p.transpose_a ? 112 : 111, p.transpose_b ? 112 : 111, static_cast<int>(p.m),
                  static_cast<int>(p.n), static_cast<int>(p.k), 1, x.a.get(), static_cast<int>(lda),
                  x.b.get(), static_cast<int>(ldb), 0, c, static_cast<int>(p.n));
#endif
      break;
    case onednn:
#if defined(REEL_ONEDNN)
      if (dnnl_sgemm(p.transpose_a ? 'T' : 'N', p.transpose_b ? 'T' : 'N', p.m, p.n, p.k, 1, x.a.get(), lda,
                     x.b.get(), ldb, 0, c, p.n) != dnnl_success) {
        std::abort();
      }
#endif
      break;
    case eigen:
    case contestants: {
      using Dense = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
      const Eigen::Map<const Dense> a(x.a.get(), p.transpose_a ? p.k : p.m, lda);
      const Eigen::Map<const Dense> b(x.b.get(), p.transpose_b ? p.n : p.k, ldb);
      Eigen::Map<Dense> y(c, p.m, p.n);
      if (p.transpose_a) {
        y.noalias() = a.transpose() * b;
      } else if (p.transpose_b) {
        y.noalias() = a * b.transpose();
      } else {
        y.noalias() = a * b;
      }
    }
  }
}

struct Score {
  double seconds[contestants];
  double flops;
  double peak_seconds;  // that the operations take at the peak
};

}  // namespace

int main(int argc, char** argv) {
  int threads = 1;
  int rounds = 15;
  std::string only;
  bool alone = false;
  CLI::App app{"The speed of kernels::matmul beside other libraries, as shares of the peak"};
  app.add_option("--threads", threads, "Threads of each contestant")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--rounds", rounds, "Turns of each contestant")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  app.add_option("--only", only, "Only products whose set and name contain this text");
  app.add_flag("--alone", alone, "Reel and the peak only");
  CLI11_PARSE(app, argc, argv);
  kernels::set_threads(threads);
  omp_set_num_threads(threads);
  Eigen::setNbThreads(threads);
#if defined(REEL_OPENBLAS)
  openblas_set_num_threads(threads);
#endif
  std::mt19937 random(1);
  std::vector<Product> list = products();
  std::erase_if(list,
                [&](const Product& p) { return (p.set + " " + p.name).find(only) == std::string::npos; });
  std::vector<Score> scores;
  double best_peak = 0;
  for (const Product& p : list) {
    Operands x;
    const auto fill = [&](kernels::Block<float>& v, std::int64_t size) {
      v = kernels::make_block<float>(size);
      std::generate_n(v.get(), size, [&] { return static_cast<float>(random() % 2048) / 1024.0F - 1.0F; });
    };
    fill(x.a, p.m * p.k);
    fill(x.b, p.k * p.n);
    fill(x.c, p.m * p.n);
    Score score{{}, 2.0 * static_cast<double>(p.m) * static_cast<double>(p.n) * static_cast<double>(p.k), 0};
    double peak = 0;
    std::fill_n(score.seconds, static_cast<int>(contestants), std::numeric_limits<double>::infinity());
    // Threads need a turn long enough to be awake for nearly all of it.
    const int repeats = static_cast<int>(std::clamp((threads > 1 ? 4e9 : 2e8) / score.flops, 1.0, 20000.0));
    for (int round = 0; round < rounds; ++round) {
      peak = std::max(peak, peak_flops(threads, score.flops * repeats));
      for (int who = 0; who < (alone ? 1 : static_cast<int>(contestants)); ++who) {
        if (!present[who]) continue;
        // The waiting threads of one library must fall asleep before the next one is measured.
        if (threads > 1) std::this_thread::sleep_for(std::chrono::milliseconds(60));
        for (int r = 0; r <= repeats / 10; ++r) run(p, static_cast<Contestant>(who), x, x.c.get());
        const double start = seconds_now(threads);
        for (int r = 0; r < repeats; ++r) run(p, static_cast<Contestant>(who), x, x.c.get());
        score.seconds[who] = std::min(score.seconds[who], (seconds_now(threads) - start) / repeats);
      }
    }
    score.peak_seconds = score.flops / peak;
    best_peak = std::max(best_peak, peak);
    scores.push_back(score);
  }

  std::printf("peak %.1f GFLOP/s, %d thread%s\n", best_peak / 1e9, threads, threads == 1 ? "" : "s");
  std::printf("%-24s %-16s %10s", "", "product", "us");
  for (const char* name : names) std::printf(" %9s", name);
  std::printf("\n");
  const auto row = [&](const std::string& set, const std::string& name, const Score& s) {
    std::printf("%-24s %-16s %10.2f", set.c_str(), name.c_str(), s.seconds[reel_kernel] * 1e6);
    for (int who = 0; who < contestants; ++who) {
      if (std::isfinite(s.seconds[who])) {
        std::printf(" %8.1f%%", s.peak_seconds / s.seconds[who] * 100);
      } else {
        std::printf(" %9s", "-");
      }
    }
    std::printf("\n");
  };
  double log_sum[contestants] = {};
  int sets = 0;
  for (std::size_t first = 0; first < list.size();) {
    Score total{};
    std::size_t i = first;
    for (; i < list.size() && list[i].set == list[first].set; ++i) {
      row(list[i].set, list[i].name, scores[i]);
      total.peak_seconds += scores[i].peak_seconds;
      for (int who = 0; who < contestants; ++who) total.seconds[who] += scores[i].seconds[who];
    }
    row(list[first].set, "all", total);
    if (list[first].set != "small" && list[first].set != "one row") {
      for (int who = 0; who < contestants; ++who)
        log_sum[who] += std::log(total.peak_seconds / total.seconds[who]);
      ++sets;
    }
    first = i;
  }
  if (sets > 0) {
    std::printf("%-52s", "geometric mean of the sets of training");
    for (const double sum : log_sum) {
      if (std::isfinite(sum)) {
        std::printf(" %8.1f%%", std::exp(sum / sets) * 100);
      } else {
        std::printf(" %9s", "-");
      }
    }
    std::printf("\n");
  }
}
