#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "autograd/tape.h"
#include "data/npz.h"
#include "examples/flags.h"
#include "examples/run_directory.h"
#include "nn/module.h"
#include "nn/optimizer.h"
#include "nn/schedule.h"

namespace reel::examples {

/// What an evaluation found.
struct Evaluation {
  nlohmann::ordered_json values;  // goes to the log: {"test_loss": .., "test_accuracy": ..}
  std::string note;               // for the progress line: "accuracy 0.971"
  double loss = 0;                // decides which checkpoint is the best
};

/// A batch that outlives its step.
struct KeptBatch {
  data::NpzWriter arrays;
  std::string rows;  // which ones they are: "rows 3, 17, 4 of the training set"
};

/// What differs between the tasks; the loop below is the same for all.
struct Training {
  nn::Module& model;
  nn::Optimizer& optimizer;
  nn::Schedule schedule;
  std::int64_t steps = 0;
  std::int64_t parts = 1;  // batches whose gradients make one step
  std::string unit;        // "samples"
  /// Records the loss of a part of a step. `units` receives how many of the unit it holds.
  std::function<Tensor(Tape& tape, std::int64_t step, std::int64_t part, std::int64_t& units)> loss = {};
  std::function<Evaluation(Tape& tape)> evaluate = {};
  /// The batch of a part of a step, for somebody who wants to look at it.
  std::function<KeptBatch(std::int64_t step, std::int64_t part)> keep_batch = {};
  /// What a model file must say so that others can use it, and what a resumed run must share with the first
  /// one.
  nlohmann::ordered_json config = {};
};

struct Outcome {
  bool interrupted = false;
  std::int64_t step = 0;
  std::int64_t skipped = 0;  // of the steps, for numbers that were not finite; of the whole run
  double train_loss = 0;     // moving average over about the last 50 steps
  double seconds = 0;        // of training steps only
  std::int64_t units = 0;
  Evaluation evaluation;
  std::string fingerprint;
  std::vector<std::pair<double, double>> losses;    // (step, moving average), for the report
  std::vector<std::pair<double, double>> held_out;  // (step, loss)
};

/// Trains: schedule, steps, log, progress, evaluations, checkpoints; goes on from a checkpoint if the flags
/// say so. Throws UsageError if a resumed run has other flags than its checkpoint, NonFiniteError after five
/// steps in a row without finite numbers.
Outcome train(Training& training, const RunFlags& flags, RunDirectory& directory);

/// How many of the unit a second of training took; 0 if there was no step to do.
double units_per_second(const Outcome& outcome);

/// Says on standard error how to go on with `reel train TASK`, which was interrupted.
void say_how_to_go_on(const std::string& task, const Outcome& outcome, const RunDirectory& directory);

/// The last lines about a run on standard output: steps that were skipped, the fingerprint, the files. What
/// they name takes `width` columns.
void print_end_of_run(const Outcome& outcome, const RunDirectory& directory, int width);

}  // namespace reel::examples
