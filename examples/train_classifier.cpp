#include <algorithm>
#include <array>
#include <cstdio>
#include <iostream>

#include "data/batches.h"
#include "data/error.h"
#include "data/file.h"
#include "examples/autopsy.h"
#include "examples/classifier.h"
#include "examples/commands.h"
#include "examples/exit_code.h"
#include "examples/report.h"
#include "examples/run_directory.h"
#include "examples/training.h"
#include "kernels/parallel.h"
#include "nn/atomic_file.h"
#include "nn/optimizer.h"
#include "nn/schedule.h"

namespace reel::examples {
namespace {

using Json = nlohmann::ordered_json;

// What the flags leave open, by the data.
ClassifierFlags completed(ClassifierFlags f, std::int64_t samples) {
  const bool digits = f.data == "digits";
  if (f.lr == 0) f.lr = digits ? 3e-3 : 1e-3;
  if (f.dropout < 0) f.dropout = digits ? 0.3 : 0;
  if (f.weight_decay < 0) f.weight_decay = digits ? 0.1 : 0.01;
  if (f.batch == 0) f.batch = std::min<std::int64_t>(64, samples);
  if (f.epochs > 0) return f;
  if (digits) {
    f.epochs = 120;
  } else if (f.data == "fashion-mnist") {
    f.epochs = 10;
  } else {
    f.epochs = std::clamp<std::int64_t>(60'000 / std::max<std::int64_t>(samples, 1), 5, 100);
  }
  return f;
}

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f %%", 100 * share);
  return text;
}

std::string plain(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

// Standardises both parts by what the training part says.
data::Standardizer standardized(data::Split& split) {
  data::Standardizer standardizer = data::Standardizer::fit(split.train);
  standardizer.apply(split.train);
  standardizer.apply(split.test);
  return standardizer;
}

std::vector<std::int64_t> layer_sizes(const ClassifierFlags& flags, const data::Dataset& train) {
  std::vector<std::int64_t> sizes = {train.features};
  sizes.insert(sizes.end(), flags.hidden.begin(), flags.hidden.end());
  sizes.push_back(train.classes());
  return sizes;
}

// What learns, what it learns from, and how it does.
struct Learner {
  explicit Learner(const ClassifierFlags& given)
      : split(classifier_data({given.data, given.labels, given.label_column, given.ignore_columns},
                              given.test_fraction, given.run.seed)),
        flags(completed(given, split.train.count)),
        standardizer(standardized(split)),
        batches(split.train, flags.batch, flags.run.seed),
        model(nn::Seed{flags.run.seed}, layer_sizes(flags, split.train), {.dropout = flags.dropout}),
        adam(model, {.learning_rate = flags.lr, .weight_decay = flags.weight_decay}) {}

  data::Split split;
  const ClassifierFlags flags;
  const data::Standardizer standardizer;
  data::Batches batches;
  nn::Mlp model;
  nn::AdamW adam;
  Score on_test;   // of the last evaluation
  Score on_train;  // at the end
};

KeptBatch kept_batch(Learner& learner, std::int64_t step) {
  const data::Batch& batch = learner.batches.shuffled(step);
  KeptBatch kept;
  kept.arrays.add("inputs", std::array{batch.count, learner.split.train.features}, batch.inputs);
  kept.arrays.add("labels", std::array{batch.count}, batch.labels);
  kept.arrays.add("rows", std::array{batch.count}, batch.rows);
  kept.rows = "rows " + listed(batch.rows) + " of the training part";
  return kept;
}

Evaluation evaluate(Learner& learner, Tape& tape) {
  learner.on_test = score(tape, learner.model, learner.split.test);
  const Score& found = learner.on_test;
  return {{{"test_loss", found.loss}, {"test_accuracy", found.accuracy}},
          "accuracy " + percent(found.accuracy),
          found.loss};
}

Json config_of(const Learner& learner) {
  const ClassifierFlags& flags = learner.flags;
  const data::Dataset& train = learner.split.train;
  Json config = {{"task", "classifier"},
                 {"data", flags.data},
                 {"labels", flags.labels},
                 {"label_column", flags.label_column},
                 {"ignore_columns", flags.ignore_columns},
                 {"test_fraction", flags.test_fraction},
                 {"samples", train.count},
                 {"data_digest", digest_of(learner.split)},
                 {"hidden", flags.hidden},
                 {"epochs", flags.epochs},
                 {"batch", flags.batch},
                 {"lr", flags.lr},
                 {"dropout", flags.dropout},
                 {"weight_decay", flags.weight_decay},
                 {"seed", flags.run.seed},
                 {"precision", flags.run.precision},
                 {"features", train.features},
                 {"classes", train.class_names},
                 {"mean", learner.standardizer.mean},
                 {"deviation", learner.standardizer.deviation}};
  if (!train.feature_names.empty()) config["feature_names"] = train.feature_names;
  if (!train.label_name.empty()) config["label_name"] = train.label_name;
  return config;
}

// Keeps a reference to the learner.
Training training_of(Learner& learner) {
  const ClassifierFlags& flags = learner.flags;
  const std::int64_t steps = flags.epochs * learner.batches.per_epoch();
  return {.model = learner.model,
          .optimizer = learner.adam,
          .schedule = nn::Schedule::cosine({.learning_rate = flags.lr, .steps = steps}),
          .steps = steps,
          .unit = "samples",
          .loss =
              [&learner](Tape& tape, std::int64_t step, std::int64_t, std::int64_t& units) {
                const data::Batch& batch = learner.batches.shuffled(step);
                units = batch.count;
                return classifier_loss(tape, learner.model, batch);
              },
          .evaluate = [&learner](Tape& tape) { return evaluate(learner, tape); },
          .keep_batch = [&learner](std::int64_t step, std::int64_t) { return kept_batch(learner, step); },
          .config = config_of(learner)};
}

void announce(const Learner& learner, const RunDirectory& directory) {
  const ClassifierFlags& flags = learner.flags;
  if (flags.run.json || flags.run.progress == ProgressStyle::none) return;
  const data::Dataset& train = learner.split.train;
  const std::string header = !train.header ? "" : *train.header ? " (with a header)" : " (without a header)";
  std::cerr << "Training on " << train.count << " samples of " << train.name << header << ", "
            << learner.split.test.count << " held out; " << learner.model.parameters().parameters()
            << " parameters, " << flags.epochs << " epochs; "
            << "run directory " << data::printable(directory.path()) << "\n";
}

Report report_of(const Learner& learner, const Json& config, const Outcome& outcome) {
  const data::Dataset& test = learner.split.test;
  Report report;
  report.title = "Classifier on " + learner.flags.data;
  report.results = {{"test accuracy", percent(learner.on_test.accuracy)},
                    {"train accuracy", percent(learner.on_train.accuracy)},
                    {"test loss", std::to_string(learner.on_test.loss)},
                    {"parameters", std::to_string(learner.model.parameters().parameters())},
                    {"skipped steps", std::to_string(outcome.skipped)},
                    {"fingerprint", outcome.fingerprint}};
  for (const auto& [key, value] : config.items()) {
    if (key != "mean" && key != "deviation" && key != "classes" && key != "data_digest" &&
        key != "feature_names")
      report.settings.emplace_back(key, plain(value));
  }
  report.curves = {{"training, moving average", outcome.losses}, {"held out", outcome.held_out}};
  if (test.classes() <= 100) {
    report.classes = test.class_names;
    report.confusion = learner.on_test.confusion;
  }
  return report;
}

// What --json prints.
Json json_of(const Learner& learner, const Outcome& outcome, const RunDirectory& directory) {
  return {{"task", "classifier"},
          {"data", learner.flags.data},
          {"epochs", learner.flags.epochs},
          {"parameters", learner.model.parameters().parameters()},
          {"threads", kernels::threads()},
          {"train_accuracy", learner.on_train.accuracy},
          {"test_accuracy", learner.on_test.accuracy},
          {"test_loss", learner.on_test.loss},
          {"skipped_steps", outcome.skipped},
          {"seconds", outcome.seconds},
          {"samples_per_second", units_per_second(outcome)},
          {"fingerprint", outcome.fingerprint},
          {"checkpoint", directory.checkpoint().string()},
          {"report", directory.report().string()}};
}

void print(const Learner& learner, const Outcome& outcome, const RunDirectory& directory) {
  const data::Dataset& test = learner.split.test;
  std::cout << "\n" << confusion_text(learner.on_test, test.class_names) << "\n";
  std::cout << "test accuracy  " << percent(learner.on_test.accuracy) << " on " << test.count
            << " held-out samples (training " << percent(learner.on_train.accuracy) << ")\n";
  std::printf("time           %.2f s of training, %.0f samples/s, %d thread%s\n", outcome.seconds,
              units_per_second(outcome), kernels::threads(), kernels::threads() == 1 ? "" : "s");
  print_end_of_run(outcome, directory, 15);
}

}  // namespace

int train_classifier(const ClassifierFlags& given) {
  Learner learner(given);
  const RunFlags& flags = learner.flags.run;
  Training training = training_of(learner);
  RunDirectory directory(flags, "classifier-" + std::filesystem::path(learner.flags.data).stem().string());
  announce(learner, directory);
  const Outcome outcome = train(training, flags, directory);
  if (outcome.interrupted) {
    say_how_to_go_on("classifier", outcome, directory);
    return interrupted;
  }

  Tape tape(Precision::f32, products_of(flags.precision));
  learner.model.eval();
  learner.on_train = score(tape, learner.model, learner.split.train);
  nn::write_file_atomically(directory.report(), html_of(report_of(learner, training.config, outcome)));
  if (flags.json) {
    std::cout << json_of(learner, outcome, directory).dump() << "\n";
    return ok;
  }
  print(learner, outcome, directory);
  return ok;
}

}  // namespace reel::examples
