#include "examples/training.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <limits>
#include <optional>
#include <string_view>

#include "autograd/error.h"
#include "data/file.h"
#include "examples/autopsy.h"
#include "examples/interrupt.h"
#include "examples/model_file.h"
#include "examples/same_run.h"
#include "examples/shell_word.h"
#include "examples/usage_error.h"
#include "nn/checkpoint.h"
#include "nn/error.h"
#include "nn/weights.h"

namespace reel::examples {
namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::ordered_json;

constexpr std::int64_t most_skipped_in_a_row = 5;
constexpr double memory_of_average = 0.98;
// Of config.json: without it, a run whose checkpoints are lost looks like one that never had any.
constexpr const char* checkpoint_saved = "checkpoint_saved";

// The mean of the latest losses, each older one weighing 2 % less.
struct MovingAverage {
  double sum = 0;
  double weight = 0;
  void add(double x) {
    sum = memory_of_average * sum + (1 - memory_of_average) * x;
    weight = memory_of_average * weight + (1 - memory_of_average);
  }
  double value() const { return weight > 0 ? sum / weight : 0; }
};

// A line of the log; null if no run wrote it.
Json log_entry(const std::string& line) {
  Json entry = Json::parse(line, nullptr, false);
  if (entry.is_object() && entry.contains("step") && entry["step"].is_number_integer()) return entry;
  return {};
}

// What happens in one run of the loop.
class Loop {
 public:
  Loop(Training& training, const RunFlags& flags, RunDirectory& directory)
      : training_(training),
        flags_(flags),
        directory_(directory),
        checkpoint_(directory.path(), training.model.parameters(), training.optimizer) {
    const std::int64_t eval_default = std::max<std::int64_t>(1, training.steps / 10);
    eval_every_ = flags.eval_every > 0 ? flags.eval_every : eval_default;
    log_every_ = flags.log_every > 0 ? flags.log_every : std::max<std::int64_t>(1, training.steps / 1000);
    tape_.detect_anomaly(flags.detect_anomaly);
  }

  Outcome run() {
    if (flags_.resume) {
      resume();
    } else {
      write_config();
    }
    Progress progress(flags_.progress, training_.steps, first_, training_.unit);
    InterruptGuard interrupt(flags_.progress != ProgressStyle::none);
    std::int64_t step = first_;
    for (; step < training_.steps && !interrupt.interrupted(); ++step) {
      const std::optional<double> loss = one_step(step, progress, interrupt);
      if (!loss) break;
      const std::int64_t done = step + 1;
      if (done % log_every_ == 0 || done == training_.steps) {
        directory_.append_log({{"step", done},
                               {"loss", *loss},
                               {"average", average_.value()},
                               {"learning_rate", training_.optimizer.learning_rate()},
                               {"gradient_norm", norm_}});
        outcome_.losses.emplace_back(static_cast<double>(done), average_.value());
      }
      const bool evaluates = done % eval_every_ == 0 || done == training_.steps;
      if (evaluates) evaluate(done);
      const bool saves = flags_.checkpoint_every > 0 ? done % flags_.checkpoint_every == 0 : evaluates;
      if (saves || done == training_.steps) save(done);
      progress.update(done, average_.value(), outcome_.evaluation.note, outcome_.units);
    }
    progress.clear();
    outcome_.interrupted = step < training_.steps;
    if (outcome_.interrupted && step > saved_) save(step);
    outcome_.step = step;
    // A run that was complete has evaluated this model, but only the numbers are in its log.
    if (!outcome_.interrupted && first_ == training_.steps) outcome_.evaluation = evaluation();
    if (!outcome_.interrupted && !std::isfinite(outcome_.evaluation.loss) && !flags_.allow_non_finite) {
      throw NonFiniteError(Place{},
                           "the model that was trained gives a loss on the held-out data that is not "
                           "finite" +
                               help_line(what_helps()));
    }
    outcome_.train_loss = average_.value();
    outcome_.fingerprint = nn::fingerprint(training_.model.parameters(), &training_.optimizer);
    return outcome_;
  }

 private:
  void write_config() {
    Json config = training_.config;
    config["build"] = this_build(products_of(flags_.precision));
    // Not in the checkpoint: a run may go on with others.
    const auto record = [&config](const char* key, std::int64_t every) {
      if (every > 0) config[key] = every;
    };
    record("checkpoint_every", flags_.checkpoint_every);
    record("eval_every", flags_.eval_every);
    record("log_every", flags_.log_every);
    if (saved_ > 0) config[checkpoint_saved] = true;
    directory_.write_config(config);
  }

  void resume() {
    checkpoint_.check_notes([&](const std::map<std::string, std::string>& notes) {
      const auto config = notes.find("config");
      if (config == notes.end())
        throw nn::FileError(data::printable(checkpoint_.path()) + ": it was not written by this program");
      const Json saved = parse_config(config->second);
      if (!saved.is_object())
        throw nn::FileError(data::printable(checkpoint_.path()) +
                            ": its configuration is damaged: no JSON object");
      require_same_run(saved, training_.config, data::printable(directory_.path()),
                       data::printable(checkpoint_.path()));
    });
    try {
      first_ = checkpoint_.load();
    } catch (const nn::FileError& e) {
      if (checkpoint_.skipped().empty() || !std::filesystem::exists(directory_.best())) throw;
      throw nn::FileError(std::string(e.what()) + "\n  " + data::printable(directory_.best()) +
                          " may still be whole, as ./reel inspect " + shell_word(directory_.best().string()) +
                          " says; the training has to begin again, with another --out");
    }
    saved_ = first_;
    for (const std::string& reason : checkpoint_.skipped())
      std::cerr << "reel: skipped a checkpoint: " << data::printable_lines(reason) << "\n";
    if (first_ == 0) {
      const auto recorded = recorded_config(directory_.path());
      if (recorded) require_same_data(recorded->config, training_.config, data::printable(directory_.path()));
      require_never_saved(recorded ? &recorded->config : nullptr);
      std::cerr << "reel: " << data::printable(directory_.path())
                << " holds no checkpoint yet: the run starts again from its beginning\n";
      directory_.cut_log(0);
      write_config();
      return;
    }
    warn_of_another_build(checkpoint_.notes(), products_of(flags_.precision));
    if (first_ > training_.steps) {
      throw UsageError("--resume: the run is at step " + std::to_string(first_) +
                       " already, which is more than " + std::to_string(training_.steps));
    }
    const std::string bad = nn::non_finite_weight(training_.model.parameters());
    if (!bad.empty() && !flags_.allow_non_finite) {
      throw nn::FileError(data::printable(checkpoint_.path()) + ": " + bad +
                          "; add --allow-non-finite to train on from it all the same");
    }
    saved_finite_ = bad.empty();
    Json values;
    for (const auto& [key, text] : checkpoint_.notes()) values[key] = parse_config(text);
    const Settings notes(values, data::printable(checkpoint_.path()));
    average_.sum = notes.number("average_sum");
    average_.weight = notes.number("average_weight");
    const bool none_yet = notes.has("best") && values["best"].is_null();
    if (!none_yet) best_ = notes.number("best");
    const std::int64_t log_bytes = notes.whole("log_bytes", 0);
    read_curves(log_bytes);
    directory_.cut_log(log_bytes);
    write_config();  // of this call: it may have more steps
  }

  // To start again takes the log away, and the best model in the end, which must not be those of a run that
  // got further, or of something else. A run writes config.json before the first line of its log.
  void require_never_saved(const Json* config) const {
    const auto refuse = [](const std::filesystem::path& place, const std::string& reason) {
      throw nn::FileError(data::printable(place) + reason + ", or train again with another --out");
    };
    if ((config != nullptr && config->contains(checkpoint_saved)) ||
        std::filesystem::exists(directory_.report())) {
      refuse(
          directory_.path(),
          ": its run has saved checkpoints, but checkpoint.safetensors and checkpoint.previous.safetensors "
          "are missing; put one of them back");
    }
    std::ifstream log(directory_.log(), std::ios::binary);
    std::int64_t number = 0;
    for (std::string line; std::getline(log, line);) {
      ++number;
      if (config == nullptr) {
        refuse(directory_.path(),
               ": it holds a log.jsonl that is not empty, but neither a checkpoint nor the config.json of a "
               "run; put back what is missing");
      }
      // A kill cuts the last line, and a power cut may leave zeros.
      constexpr std::string_view begin = "{\"step\":";
      const bool own =
          log.eof() ? begin.starts_with(line.substr(0, begin.size())) : !log_entry(line).is_null();
      if (own || line.find('\0') != std::string::npos) continue;
      refuse(directory_.log(), ":" + std::to_string(number) +
                                   ": this line is not of a run, and there is no checkpoint beside it: put "
                                   "the files of this run back");
    }
  }

  // The report and what is said of skipped steps are of the whole run, also of what an earlier process did:
  // the first bytes of the log, which is of another run if they are no lines of steps that this one has done.
  void read_curves(std::int64_t bytes) {
    std::ifstream log(directory_.log(), std::ios::binary);
    std::int64_t number = 0;
    std::int64_t read = 0;
    std::int64_t last_skipped = 0;
    for (std::string line; read < bytes && std::getline(log, line);) {
      ++number;
      read += static_cast<std::int64_t>(line.size()) + 1;
      const Json entry = log_entry(line);
      const bool own = read <= bytes && !entry.is_null() && entry["step"].get<std::int64_t>() <= first_;
      if (!own) {
        throw nn::FileError(
            data::printable(directory_.log()) + ":" + std::to_string(number) +
            ": this line is not of the run of the checkpoint: put the log of this run back, or "
            "train again with another --out");
      }
      const auto step = entry["step"].get<std::int64_t>();
      if (entry.contains("skipped")) {
        ++outcome_.skipped;
        skipped_in_a_row_ = step == last_skipped + 1 ? skipped_in_a_row_ + 1 : 1;
        last_skipped = step;
        if (skipped_in_a_row_ == 1) autopsy_.clear();
        // Not what the disk has: that may be of a step that is done again.
        if (entry.contains("autopsy")) {
          ++autopsies_;
          autopsy_ = directory_.autopsy(step).string();
        }
      }
      const auto add = [&](const char* key, auto& curve) {
        if (!entry.contains(key)) return;
        // JSON has no NaN: null stands for it.
        const double value =
            entry[key].is_number() ? entry[key].get<double>() : std::numeric_limits<double>::quiet_NaN();
        curve.emplace_back(static_cast<double>(step), value);
      };
      add("average", outcome_.losses);
      add("test_loss", outcome_.held_out);
      add("validation_loss", outcome_.held_out);
    }
    if (last_skipped != first_) skipped_in_a_row_ = 0;
    if (skipped_in_a_row_ == 0 || !std::filesystem::exists(autopsy_)) autopsy_.clear();
  }

  // Dropout's masks follow from this number: every part of every step has its own.
  void set_masks(std::int64_t step, std::int64_t part) {
    training_.model.set_step(static_cast<std::uint64_t>(step * training_.parts + part));
  }

  // The loss; nothing if an interruption came between two parts: the step is dropped then, and not done.
  std::optional<double> one_step(std::int64_t step, Progress& progress, const InterruptGuard& interrupt) {
    const auto start = Clock::now();
    training_.optimizer.set_learning_rate(training_.schedule(step));
    double loss = 0;
    std::int64_t units = 0;
    try {
      for (std::int64_t part = 0; part < training_.parts; ++part) {
        if (part > 0 && interrupt.interrupted()) {
          training_.optimizer.zero_grad();
          return std::nullopt;
        }
        const auto recording = tape_.record();
        set_masks(step, part);
        std::int64_t own = 0;
        Tensor l = training_.loss(tape_, step, part, own);
        if (training_.parts > 1) l = l * (1.0 / static_cast<double>(training_.parts));
        loss += l.item();
        units += own;
        tape_.backward(l);
      }
    } catch (const NonFiniteError& e) {  // with --detect-anomaly
      throw NonFiniteError(e.place, "step " + std::to_string(step + 1) + ": " + perform_autopsy(step));
    } catch (const ValueError&) {
      // An op may refuse what became of the numbers. If it was something else, the autopsy meets it again.
      loss = std::numeric_limits<double>::quiet_NaN();
    }
    nn::StepReport report;
    if (std::isfinite(loss)) {
      report = training_.optimizer.step();
    } else {
      training_.optimizer.zero_grad();
      report.skipped = true;
      report.gradient_norm = std::numeric_limits<double>::quiet_NaN();  // not that of an earlier step
    }
    norm_ = report.gradient_norm;
    outcome_.seconds += std::chrono::duration<double>(Clock::now() - start).count();
    outcome_.units += units;
    if (report.skipped) {
      skip(step, progress);
    } else {
      average_.add(loss);
      skipped_in_a_row_ = 0;
    }
    return loss;
  }

  // A step without finite numbers is left out; the op that made the first one is found by doing the step
  // again, watched.
  void skip(std::int64_t step, Progress& progress) {
    ++skipped_in_a_row_;
    ++outcome_.skipped;
    if (skipped_in_a_row_ == 1) autopsy_.clear();
    const std::int64_t kept = autopsies_;
    const std::string culprit = perform_autopsy(step);
    progress.say("step " + std::to_string(step + 1) + " skipped: " + culprit);
    Json line = {{"step", step + 1}, {"skipped", culprit}};
    if (autopsies_ > kept) line["autopsy"] = directory_.autopsy(step + 1).filename().string();
    directory_.append_log(line);
    if (autopsies_ > kept && autopsies_ == most_autopsies) {
      progress.clear();
      std::cerr << "reel: the run keeps its first " << most_autopsies
                << " autopsies and no more; log.jsonl goes on to name the culprit of every skipped step\n";
    }
    if (skipped_in_a_row_ >= most_skipped_in_a_row) {
      throw NonFiniteError(Place{},
                           "training stopped: " + std::to_string(skipped_in_a_row_) +
                               " steps in a row had numbers that are not finite; the last one: " + culprit +
                               help_line(what_helps() + last_good_checkpoint() +
                                         (autopsy_.empty() ? ""
                                                           : "; ./reel autopsy " + shell_word(autopsy_) +
                                                                 " does the first of these steps again")));
    }
  }

  // Decay takes --lr times --weight-decay of every weight per step; above 1 it turns them round.
  std::string what_helps() const {
    const double decay = training_.config.value("weight_decay", 0.0);
    const double rate = training_.config.value("lr", 0.0);
    const std::string less =
        rate > 1 || decay * rate <= 1
            ? "a smaller --lr usually helps"
            : "a smaller --weight-decay helps: times --lr it takes more than a whole weight away per step";
    return less + "; that is another run, with another --out: --resume goes on with the flags of this one";
  }

  // Where to go on from, if there is anything.
  std::string last_good_checkpoint() const {
    if (saved_ == 0) return "; no checkpoint had been saved";
    return (saved_finite_ ? "; the last good checkpoint is in " : "; the last checkpoint is in ") +
           data::printable(directory_.path());
  }

  // What went wrong in a step, in words. The first of several in a row is also kept for a closer look, as
  // long as the run has kept few: the others follow from it.
  std::string perform_autopsy(std::int64_t step) {
    for (std::int64_t part = 0; part < training_.parts; ++part) {
      set_masks(step, part);
      StepAutopsy found;
      found.autopsy = examine(tape_.products(), flags_.detect_anomaly, [&](Tape& tape) {
        std::int64_t units = 0;
        return training_.loss(tape, step, part, units);
      });
      training_.optimizer.zero_grad();
      if (!found.autopsy.found()) continue;
      if (skipped_in_a_row_ > 1 || autopsies_ == most_autopsies) return found.autopsy.text();
      ++autopsies_;
      autopsy_ = directory_.autopsy(step + 1).string();
      const KeptBatch kept = training_.keep_batch(step, part);
      found.where = {step + 1,
                     part + 1,
                     training_.parts,
                     step * training_.parts + part,
                     training_.optimizer.learning_rate(),
                     flags_.detect_anomaly,
                     kept.rows};
      write_autopsy(autopsy_, found, kept.arrays, training_.model, training_.config);
      return found.autopsy.text() +
             help_line("the report is in " + data::printable(autopsy_) + "; ./reel autopsy " +
                       shell_word(autopsy_) + " does the step again");
    }
    return "the gradient's norm is not finite";
  }

  Evaluation evaluation() {
    training_.model.eval();
    Evaluation result;
    try {
      result = training_.evaluate(tape_);
    } catch (const ValueError&) {
      // An op may refuse what became of the numbers. If it was something else, it is refused again.
      const std::string culprit = culprit_of(tape_, [&] { training_.evaluate(tape_); });
      throw NonFiniteError(Place{},
                           "training stopped: on the held-out data the model makes numbers that are "
                           "not finite: " +
                               culprit + help_line(what_helps() + last_good_checkpoint()));
    }
    training_.model.train();
    return result;
  }

  void evaluate(std::int64_t done) {
    outcome_.evaluation = evaluation();
    outcome_.held_out.emplace_back(static_cast<double>(done), outcome_.evaluation.loss);
    Json line = {{"step", done}};
    line.update(outcome_.evaluation.values);
    directory_.append_log(line);
    if (outcome_.evaluation.loss < best_) {
      best_ = outcome_.evaluation.loss;
      save_model(directory_.best(), training_.model.parameters(), training_.config);
    }
  }

  void save(std::int64_t done) {
    // What was saved before must not be pushed out by weights that cannot be trained on.
    const std::string bad = nn::non_finite_weight(training_.model.parameters());
    if (!bad.empty() && !flags_.allow_non_finite) {
      throw NonFiniteError(Place{}, "training stopped after step " + std::to_string(done) + ": " + bad +
                                        help_line(what_helps() + last_good_checkpoint()));
    }
    auto& notes = checkpoint_.notes();
    notes["config"] = training_.config.dump();
    notes["build"] = this_build(products_of(flags_.precision));
    notes["log_bytes"] = std::to_string(directory_.sync_log());
    notes["average_sum"] = Json(average_.sum).dump();
    notes["average_weight"] = Json(average_.weight).dump();
    notes["best"] = Json(best_).dump();
    checkpoint_.save(done);
    const bool first = saved_ == 0;
    saved_ = done;
    saved_finite_ = bad.empty();
    if (first) write_config();  // which says so
  }

  Training& training_;
  const RunFlags& flags_;
  RunDirectory& directory_;
  nn::Checkpoint checkpoint_;
  Tape tape_{Precision::f32, products_of(flags_.precision)};
  Outcome outcome_;
  MovingAverage average_;
  std::int64_t first_ = 0;
  std::int64_t eval_every_ = 1;
  std::int64_t log_every_ = 1;
  std::int64_t skipped_in_a_row_ = 0;
  std::int64_t saved_ = 0;      // the step of the newest checkpoint; 0: there is none
  bool saved_finite_ = true;    // whether its weights are, which --allow-non-finite does not ask for
  std::string autopsy_;         // where the first of those in a row is kept
  std::int64_t autopsies_ = 0;  // that the run has kept
  double norm_ = 0;
  double best_ = std::numeric_limits<double>::infinity();
};

}  // namespace

Outcome train(Training& training, const RunFlags& flags, RunDirectory& directory) {
  return Loop(training, flags, directory).run();
}

double units_per_second(const Outcome& outcome) {
  return outcome.seconds > 0 ? static_cast<double>(outcome.units) / outcome.seconds : 0;
}

void say_how_to_go_on(const std::string& task, const Outcome& outcome, const RunDirectory& directory) {
  std::cerr << "Interrupted after step " << outcome.step << ". Go on with ./reel train " << task
            << " --resume --out " << shell_word(directory.path().string()) << "\n";
}

void print_end_of_run(const Outcome& outcome, const RunDirectory& directory, int width) {
  const auto name = [width](std::string text) {
    text.resize(static_cast<std::size_t>(width), ' ');
    return text;
  };
  if (outcome.skipped > 0) {
    std::cout << name("skipped") << outcome.skipped << " of " << outcome.step
              << " steps, whose numbers were not finite\n";
  }
  std::cout << name("fingerprint") << outcome.fingerprint << "\n";
  std::cout << name("checkpoint") << data::printable(directory.checkpoint()) << "\n";
  std::cout << name("report") << data::printable(directory.report()) << "\n";
}

}  // namespace reel::examples
