#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "autograd/tensor.h"
#include "data/csv.h"
#include "examples/progress.h"

namespace reel::examples {

/// What --precision may be, and how a tape multiplies then.
inline const std::map<std::string, Products> precisions = {
    {"f32", Products::full}, {"bf16x6", Products::bf16x6}, {"bf16", Products::bf16}};

/// Throws std::out_of_range for a name that is none of them.
inline Products products_of(const std::string& precision) { return precisions.at(precision); }

/// What both kinds of training understand.
struct RunFlags {
  std::uint64_t seed = 1;
  int threads = 0;  // 0: one per processor
  std::string out;  // run directory; empty: the next free one below runs/
  bool resume = false;
  std::int64_t checkpoint_every = 0;  // steps; 0: at evaluations and at the end
  std::int64_t eval_every = 0;        // steps; 0: chosen by the length of the run
  std::int64_t log_every = 0;         // steps; 0: about a thousand lines a run
  bool json = false;
  ProgressStyle progress = ProgressStyle::automatic;
  std::string precision = "f32";
  bool detect_anomaly = false;
  bool allow_non_finite = false;
};

struct ClassifierFlags {
  RunFlags run;
  std::string data = "digits";
  std::string labels;          // of an IDX pair, if --data names the images
  std::string label_column;    // of a CSV file
  std::string ignore_columns;  // of a CSV file, with commas between them
  std::vector<std::int64_t> hidden = {128, 64};
  std::int64_t epochs = 0;   // 0: chosen by the data
  std::int64_t batch = 0;    // 0: chosen by the data
  double lr = 0;             // 0: chosen by the data
  double dropout = -1;       // -1: chosen by the data
  double weight_decay = -1;  // -1: chosen by the data
  double test_fraction = 0.2;
};

struct TransformerFlags {
  RunFlags run;
  std::string data = "addition";
  std::int64_t layers = 0;  // 0 below: chosen by the data
  std::int64_t heads = 0;
  std::int64_t width = 0;
  std::int64_t context = 0;
  std::int64_t batch = 0;
  std::int64_t steps = 0;
  double lr = 0;
  double min_lr = -1;        // -1: a tenth of lr
  std::int64_t warmup = -1;  // -1: a twentieth of the steps, at most 100
  double dropout = 0;
  double weight_decay = 0.1;
  double beta1 = 0.9;
  double beta2 = 0.99;
  double clip = 1.0;
  std::int64_t accumulate = 1;
  std::string positions;  // learned or rotary; empty: chosen by the data
};

struct GenerateFlags {
  std::string model;
  std::string prompt;
  std::int64_t tokens = 200;
  std::optional<double> temperature;  // none: chosen by what the model was trained on
  std::int64_t top_k = 0;
  double top_p = 1;
  std::uint64_t seed = 1;
  int threads = 0;
  bool stop_at_newline = false;
  bool json = false;
};

struct AttentionFlags {
  std::string model;  // empty: the example of four tokens
  std::string prompt;
  std::string html;
  std::int64_t token = 3;
  std::int64_t component = 1;
  double temperature = 1;
  bool json = false;
};

struct BenchFlags {
  std::string name;  // empty: all but the heavy ones
  int threads = 0;   // 0: one thread, then all
  std::string precision = "f32";
  bool json = false;
};

struct EvaluateFlags {
  std::string model;
  std::string data;
  std::string labels;
  std::string label_column;
  std::string ignore_columns;
  bool whole = false;  // measure all of the data, not what training holds out
  int threads = 0;
  bool json = false;
};

struct PredictFlags {
  std::string model;
  std::string data;
  std::string label_column;
  std::string ignore_columns;
  data::CsvOptions::Header header = data::CsvOptions::Header::detect;
  bool probabilities = false;  // of all classes
  int threads = 0;
  bool json = false;
};

struct InspectFlags {
  std::string file;
  std::string label_column;
  std::string ignore_columns;
  data::CsvOptions::Header header = data::CsvOptions::Header::detect;
  bool unlabelled = false;  // a CSV file without classes
  bool json = false;
};

struct AutopsyFlags {
  std::string directory;
  bool json = false;
};

struct OpsFlags {
  bool json = false;
};

}  // namespace reel::examples
