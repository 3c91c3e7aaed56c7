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

}  // namespace

int train_classifier(const ClassifierFlags& given) {
  data::Split split =
      classifier_data(given.data, given.labels, given.label_column, given.test_fraction, given.run.seed);
  const ClassifierFlags flags = completed(given, split.train.count);
  const data::Standardizer standardizer = data::Standardizer::fit(split.train);
  standardizer.apply(split.train);
  standardizer.apply(split.test);
  data::Batches batches(split.train, flags.batch, flags.run.seed);
  const std::int64_t epochs = flags.epochs;
  const std::int64_t steps = epochs * batches.per_epoch();

  std::vector<std::int64_t> sizes = {split.train.features};
  sizes.insert(sizes.end(), flags.hidden.begin(), flags.hidden.end());
  sizes.push_back(split.train.classes());
  nn::Mlp model(nn::Seed{flags.run.seed}, sizes, {.dropout = flags.dropout});
  nn::AdamW adam(model, {.learning_rate = flags.lr, .weight_decay = flags.weight_decay});

  Training training{.model = model,
                    .optimizer = adam,
                    .schedule = nn::Schedule::cosine({.learning_rate = flags.lr, .steps = steps}),
                    .steps = steps,
                    .unit = "samples"};
  training.loss = [&](Tape& tape, std::int64_t step, std::int64_t, std::int64_t& units) {
    const data::Batch& batch = batches.shuffled(step);
    units = batch.count;
    return classifier_loss(tape, model, batch);
  };
  training.keep_batch = [&](std::int64_t step, std::int64_t) {
    const data::Batch& batch = batches.shuffled(step);
    KeptBatch kept;
    kept.arrays.add("inputs", std::array{batch.count, split.train.features}, batch.inputs);
    kept.arrays.add("labels", std::array{batch.count}, batch.labels);
    kept.arrays.add("rows", std::array{batch.count}, batch.rows);
    kept.rows = "rows " + listed(batch.rows) + " of the training part";
    return kept;
  };
  Score latest;
  training.evaluate = [&](Tape& tape) {
    latest = score(tape, model, split.test);
    return Evaluation{{{"test_loss", latest.loss}, {"test_accuracy", latest.accuracy}},
                      "accuracy " + percent(latest.accuracy),
                      latest.loss};
  };
  training.config = {{"task", "classifier"},
                     {"data", flags.data},
                     {"labels", flags.labels},
                     {"label_column", flags.label_column},
                     {"test_fraction", flags.test_fraction},
                     {"samples", split.train.count},
                     {"data_digest", digest_of(split)},
                     {"hidden", flags.hidden},
                     {"epochs", epochs},
                     {"batch", flags.batch},
                     {"lr", flags.lr},
                     {"dropout", flags.dropout},
                     {"weight_decay", flags.weight_decay},
                     {"seed", flags.run.seed},
                     {"precision", flags.run.precision},
                     {"features", split.train.features},
                     {"classes", split.train.class_names},
                     {"mean", standardizer.mean},
                     {"deviation", standardizer.deviation}};

  RunDirectory directory(flags.run, "classifier-" + std::filesystem::path(flags.data).stem().string());
  if (!flags.run.json && flags.run.progress != ProgressStyle::none) {
    const std::string header = !split.train.header   ? ""
                               : *split.train.header ? " (with a header)"
                                                     : " (without a header)";
    std::cerr << "Training on " << split.train.count << " samples of " << split.train.name << header << ", "
              << split.test.count << " held out; " << model.parameters().parameters() << " parameters, "
              << epochs << " epochs; "
              << "run directory " << data::printable(directory.path()) << "\n";
  }
  const Outcome outcome = train(training, flags.run, directory);
  if (outcome.interrupted) {
    std::cerr << "Interrupted after step " << outcome.step
              << ". Go on with reel train classifier --resume --out " << data::printable(directory.path())
              << "\n";
    return interrupted;
  }

  Tape tape(Precision::f32, products_of(flags.run.precision));
  model.eval();
  const Score on_train = score(tape, model, split.train);
  const double rate = outcome.seconds > 0 ? static_cast<double>(outcome.units) / outcome.seconds : 0;
  const Json result = {{"task", "classifier"},
                       {"data", flags.data},
                       {"epochs", epochs},
                       {"parameters", model.parameters().parameters()},
                       {"threads", kernels::threads()},
                       {"train_accuracy", on_train.accuracy},
                       {"test_accuracy", latest.accuracy},
                       {"test_loss", latest.loss},
                       {"skipped_steps", outcome.skipped},
                       {"seconds", outcome.seconds},
                       {"samples_per_second", rate},
                       {"fingerprint", outcome.fingerprint},
                       {"checkpoint", directory.checkpoint().string()},
                       {"report", directory.report().string()}};

  Report report;
  report.title = "Classifier on " + flags.data;
  report.results = {{"test accuracy", percent(latest.accuracy)},
                    {"train accuracy", percent(on_train.accuracy)},
                    {"test loss", std::to_string(latest.loss)},
                    {"parameters", std::to_string(model.parameters().parameters())},
                    {"skipped steps", std::to_string(outcome.skipped)},
                    {"fingerprint", outcome.fingerprint}};
  for (const auto& [key, value] : training.config.items()) {
    if (key != "mean" && key != "deviation" && key != "classes" && key != "data_digest")
      report.settings.emplace_back(key, plain(value));
  }
  report.curves = {{"training, moving average", outcome.losses}, {"held out", outcome.held_out}};
  if (split.test.classes() <= 100) {
    report.classes = split.test.class_names;
    report.confusion = latest.confusion;
  }
  nn::write_file_atomically(directory.report(), html_of(report));

  if (flags.run.json) {
    std::cout << result.dump() << "\n";
    return ok;
  }
  std::cout << "\n" << confusion_text(latest, split.test.class_names) << "\n";
  std::cout << "test accuracy  " << percent(latest.accuracy) << " on " << split.test.count
            << " held-out samples (training " << percent(on_train.accuracy) << ")\n";
  std::printf("time           %.2f s of training, %.0f samples/s, %d thread%s\n", outcome.seconds, rate,
              kernels::threads(), kernels::threads() == 1 ? "" : "s");
  if (outcome.skipped > 0) std::cout << "skipped        " << skipped_text(outcome) << "\n";
  std::cout << "fingerprint    " << outcome.fingerprint << "\n";
  std::cout << "checkpoint     " << data::printable(directory.checkpoint()) << "\n";
  std::cout << "report         " << data::printable(directory.report()) << "\n";
  return ok;
}

}  // namespace reel::examples
