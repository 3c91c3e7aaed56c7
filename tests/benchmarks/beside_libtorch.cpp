// The training steps of `reel bench` beside the same steps in libtorch, in turn.
//
// First both train for three steps from the same weights on the same numbers: their losses must agree, or
// they would not be doing the same work; this is seen in f32. Then every round runs each of them for S
// seconds and at least three steps, after one step that nobody times. The table has the median of the rounds'
// medians, the fastest step, and the ratios of both.
//
// Each has a process of its own that waits while the other works. In one process they are not alone: Reel
// frees large blocks, after which malloc keeps the memory of large tensors, and libtorch's step on the MLP
// 784-512-512-10 takes half the time. --keep-memory asks malloc to do so from the start, in both.
//
// What else is done for libtorch: its libraries are held to N threads by the environment that they read when
// they are loaded (the program starts itself again with it); it gets the OpenBLAS that shares libtorch's
// OpenMP threads where that is installed (Debian: libopenblas0-openmp), because two pools of threads take the
// cores from each other; and the fastest of three ways to attend.

#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "autograd/ops.h"
#include "autograd/tape.h"
#include "examples/bench_cases.h"
#include "examples/flags.h"
#include "kernels/parallel.h"
#include "kernels/philox.h"
#include "nn/gpt.h"
#include "nn/mlp.h"
#include "nn/optimizer.h"
#include "tests/benchmarks/libtorch_steps.h"

namespace {

using namespace reel;

constexpr peer::Optimizing plain{.learning_rate = 1e-3, .weight_decay = 1e-2, .clip_norm = 0};
constexpr peer::Optimizing clipped{.learning_rate = 1e-3, .weight_decay = 1e-2, .clip_norm = 1};

struct Case {
  std::string name;
  std::vector<std::int64_t> layers;   // of an MLP, or
  std::optional<peer::GptSizes> gpt;  // this
  std::int64_t batch = 0;
  bool heavy = false;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {"mlp-2-16-16-3-b32", {2, 16, 16, 3}, {}, 32},
      {"mlp-64-64-10-b32", {64, 64, 10}, {}, 32},
      {"mlp-784-128-10-b64", {784, 128, 10}, {}, 64},
      {"mlp-784-512-512-10-b128", {784, 512, 512, 10}, {}, 128},
      {"mlp-784-500-10-b500", {784, 500, 10}, {}, 500},
      {"gpt-4x128-b12-t64", {}, peer::GptSizes{65, 64, 4, 4, 128, 12, 64}},
      {"gpt2-124m-b4-t64", {}, peer::GptSizes{50257, 1024, 12, 12, 768, 4, 64}, 0, true},
  };
  return all;
}

std::vector<std::int32_t> random_numbers(std::uint64_t stream, std::int64_t count, std::int64_t below) {
  const kernels::Philox numbers(7, stream);
  std::vector<std::int32_t> result;
  for (std::int64_t i = 0; i < count; ++i) {
    result.push_back(static_cast<std::int32_t>(
        numbers.below(static_cast<std::uint64_t>(i), static_cast<std::uint64_t>(below))));
  }
  return result;
}

// The data that both train on.
struct Data {
  std::vector<float> inputs;
  std::vector<std::int32_t> tokens, targets;
};

Data data_of(const Case& c) {
  Data d;
  if (c.gpt) {
    d.tokens = random_numbers(1, c.gpt->batch * c.gpt->time, c.gpt->vocabulary);
    d.targets = random_numbers(2, c.gpt->batch * c.gpt->time, c.gpt->vocabulary);
  } else {
    for (std::int64_t i = 0; i < c.batch * c.layers.front(); ++i)
      d.inputs.push_back(std::sin(static_cast<float>(i)));
    d.targets = random_numbers(2, c.batch, c.layers.back());
  }
  return d;
}

peer::Training libtorch_training(const Case& c, const Data& d) {
  return c.gpt ? peer::train_gpt(*c.gpt, d.tokens, d.targets, clipped)
               : peer::train_mlp(c.layers, d.inputs, d.targets, plain);
}

// Gives the model's weights to the peer and trains both. Throws if they are not the same.
template <class Model, class Loss>
double largest_difference(Model& model, peer::Optimizing how, Loss loss, const peer::Training& theirs) {
  ParameterBlock& block = model.parameters();
  if (block.count() != theirs.values.size()) throw std::runtime_error("another number of parameters");
  for (std::size_t i = 0; i < block.count(); ++i) {
    const auto found = theirs.values.find(block.entry(i).name);
    const std::span<const float> from = std::as_const(block).values(i);
    if (found == theirs.values.end() || found->second.size() != from.size())
      throw std::runtime_error("no such parameter there: " + block.entry(i).name);
    std::copy(from.begin(), from.end(), found->second.begin());
  }
  nn::AdamW adam(
      model,
      {.learning_rate = how.learning_rate, .weight_decay = how.weight_decay, .clip_norm = how.clip_norm});
  Tape tape;
  double largest = 0;
  for (int i = 0; i < 3; ++i) {
    const auto step = tape.record();
    const Tensor value = loss(tape, model);
    tape.backward(value);
    adam.step();
    const double ours = value.item();
    largest = std::max(largest, std::abs(theirs.step() / ours - 1));
  }
  return largest;
}

void check_same_work(const Case& c, const Data& d, const peer::Training& theirs) {
  double difference = 0;
  if (c.gpt) {
    const peer::GptSizes& n = *c.gpt;
    nn::Gpt model(nn::Seed{1}, {.vocabulary = n.vocabulary,
                                .context = n.context,
                                .layers = n.layers,
                                .heads = n.heads,
                                .width = n.width});
    difference = largest_difference(
        model, clipped,
        [&](Tape& tape, nn::Gpt& gpt) {
          return cross_entropy(gpt(tape, d.tokens, n.batch, n.time), d.targets);
        },
        theirs);
  } else {
    nn::Mlp model(nn::Seed{1}, c.layers);
    difference = largest_difference(
        model, plain,
        [&](Tape& tape, nn::Mlp& mlp) {
          return cross_entropy(mlp(tape.constant(d.inputs, {c.batch, c.layers.front()})), d.targets);
        },
        theirs);
  }
  if (!(difference < 5e-6))
    throw std::runtime_error(c.name + ": the losses differ by " + std::to_string(difference));
}

double milliseconds(const std::function<void()>& step) {
  const auto start = std::chrono::steady_clock::now();
  step();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return (v[(v.size() - 1) / 2] + v[v.size() / 2]) / 2;
}

double processor_seconds() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// What a contestant's process tells after its turn.
struct Turn {
  double median, fastest;
  double cores;  // that were busy
  char remark[40];
};

Turn take_turn(examples::Renewed& training, double seconds, const std::string& remark) {
  std::vector<double> times;
  const auto begin = std::chrono::steady_clock::now();
  const double before = processor_seconds();
  double passed = 0;
  while (times.size() < 3 || passed < seconds) {
    training.renew_if_due();
    times.push_back(milliseconds([&] { training.step(); }));
    passed = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
  Turn turn{median(times),
            *std::min_element(times.begin(), times.end()),
            (processor_seconds() - before) / passed,
            {}};
  remark.copy(turn.remark, sizeof turn.remark - 1);
  return turn;
}

// Runs `work` in a process of its own, forked before this one has started any thread.
template <class Work>
pid_t start_process(Work work) {
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("cannot fork");
  if (child > 0) return child;
  try {
    work();
    _exit(0);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "beside_libtorch: %s\n", e.what());
    _exit(1);
  }
}

// A process with a training that runs a turn whenever it is asked for one.
class Contestant {
 public:
  /// `make` also says what there is to remark.
  Contestant(double seconds, std::function<std::function<void()>(std::string& remark)> make) {
    int ask[2];
    int answer[2];
    if (pipe(ask) != 0 || pipe(answer) != 0) throw std::runtime_error("cannot make a pipe");
    process_ = start_process([&] {
      close(ask[1]);
      std::string remark;
      examples::Renewed training([&] { return make(remark); });
      for (char byte = 0; read(ask[0], &byte, 1) == 1;) {
        const Turn turn = take_turn(training, seconds, remark);
        if (write(answer[1], &turn, sizeof turn) != sizeof turn) break;
      }
    });
    close(ask[0]);
    close(answer[1]);
    ask_ = ask[1];
    answer_ = answer[0];
  }
  Contestant(const Contestant&) = delete;
  Contestant& operator=(const Contestant&) = delete;
  ~Contestant() {
    close(ask_);
    close(answer_);
    waitpid(process_, nullptr, 0);
  }

  void turn() {
    Turn turn{};
    if (write(ask_, "", 1) != 1 || read(answer_, &turn, sizeof turn) != sizeof turn)
      throw std::runtime_error("a contestant's process has ended");
    if (turn.cores > kernels::threads() + 0.05)
      throw std::runtime_error("a contestant kept " + std::to_string(turn.cores) + " cores busy");
    medians_.push_back(turn.median);
    fastest_ = std::min(fastest_, turn.fastest);
    remark_ = turn.remark;
  }
  double typical() const { return median(medians_); }
  double fastest() const { return fastest_; }
  const std::string& remark() const { return remark_; }

 private:
  pid_t process_ = 0;
  int ask_ = -1;
  int answer_ = -1;
  std::vector<double> medians_;
  double fastest_ = 1e300;
  std::string remark_;
};

void compare(const Case& c, Products products, int rounds, double seconds) {
  const int threads = kernels::threads();
  const Data data = data_of(c);
  int status = 0;
  waitpid(start_process([&] {
            peer::set_threads(threads);
            check_same_work(c, data, libtorch_training(c, data));
          }),
          &status, 0);
  if (status != 0) throw std::runtime_error(c.name + ": the two could not be shown to do the same");
  Contestant reel(seconds, [&](std::string&) {
    for (const examples::BenchCase& b : examples::bench_cases())
      if (b.name == c.name) return b.make(products);
    throw std::runtime_error("reel bench has no case " + c.name);
  });
  Contestant torch(seconds, [&](std::string& remark) -> std::function<void()> {
    peer::set_threads(threads);
    const peer::Training t = libtorch_training(c, data);
    remark = t.remark;
    return t.step;
  });
  for (int i = 0; i < rounds; ++i) {
    reel.turn();
    torch.turn();
  }
  std::printf("%-26s %10.4f %10.4f %7.2fx %10.4f %10.4f %7.2fx  %s\n", c.name.c_str(), reel.typical(),
              torch.typical(), torch.typical() / reel.typical(), reel.fastest(), torch.fastest(),
              torch.fastest() / reel.fastest(), torch.remark().c_str());
  std::fflush(stdout);
}

// The libraries below libtorch read these once, when they are loaded, and without them some keep all cores.
void start_with(int threads, bool keep_memory, char** argv) {
  if (std::getenv("BESIDE_LIBTORCH_STARTED") != nullptr) return;
  setenv("BESIDE_LIBTORCH_STARTED", "1", 1);
  for (const char* name : {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"})
    setenv(name, std::to_string(threads).c_str(), 1);
#if defined(REEL_OPENBLAS_OPENMP)
  setenv("LD_LIBRARY_PATH", REEL_OPENBLAS_OPENMP, 1);
#else
  setenv("GOMP_SPINCOUNT", "1000", 0);  // let OpenMP's waiting threads sleep, or OpenBLAS's find no core
#endif
  if (keep_memory) {
    for (const char* name : {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"})
      setenv(name, "17179869184", 1);
    setenv("MALLOC_TOP_PAD_", "536870912", 1);
  }
  execv("/proc/self/exe", argv);
  throw std::runtime_error("cannot start again");
}

int run(int argc, char** argv) {
  int threads = 1;
  int rounds = 5;
  double seconds = 0.5;
  bool keep_memory = false;
  std::string precision = "f32";
  std::vector<std::string> names;
  std::vector<std::string> known;
  for (const Case& c : cases()) known.push_back(c.name);
  CLI::App app{"The training steps of `reel bench` beside the same steps in libtorch, in turn"};
  app.add_option("--threads", threads, "Threads of each")->check(CLI::Range(1, 1024))->capture_default_str();
  app.add_option("--rounds", rounds, "Turns of each")->check(CLI::Range(1, 1000000))->capture_default_str();
  app.add_option("--seconds", seconds, "How long a turn is, at least")->capture_default_str();
  app.add_flag("--keep-memory", keep_memory, "Let malloc keep large blocks, in both");
  app.add_option("--precision", precision, "Of Reel's products: f32, bf16x6 or bf16")
      ->check(CLI::IsMember(examples::precisions))
      ->capture_default_str();
  app.add_option("--case", names, "Only this one; may be given several times (default: all but the heavy)")
      ->check(CLI::IsMember(known));
  CLI11_PARSE(app, argc, argv);
  start_with(threads, keep_memory, argv);
  kernels::set_threads(threads);
  std::signal(SIGPIPE, SIG_IGN);  // a contestant that has ended is an error that turn() reports
  std::printf("%d thread(s), libtorch %s, %d rounds of at least %.1f s each\n", threads,
              peer::version().c_str(), rounds, seconds);
  std::printf("%-26s %10s %10s %8s %10s %10s %8s  %s\n", "median, then fastest, ms", "reel", "libtorch",
              "ratio", "reel", "libtorch", "ratio", "attention");
  std::fflush(stdout);
  for (const Case& c : cases()) {
    const bool asked = std::find(names.begin(), names.end(), c.name) != names.end();
    if (names.empty() ? !c.heavy : asked) compare(c, examples::products_of(precision), rounds, seconds);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "beside_libtorch: %s\n", e.what());
    return 1;
  }
}
