#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "autograd/autopsy.h"
#include "autograd/tape.h"
#include "data/npz.h"
#include "nn/module.h"

namespace reel::examples {

/// Records a loss and plays it backwards, watched: what every op made, and which made the first number that
/// is not finite. `every`: also one that never reached the loss, as --detect-anomaly has it.
Autopsy examine(Products products, bool every, const std::function<Tensor(Tape& tape)>& loss);

/// The op that makes the first number that is not finite when `measure` computes on the tape, in words; empty
/// if there is none. From then on the tape stops at such a number.
std::string culprit_of(Tape& tape, const std::function<void()>& measure);

/// How many autopsies a run keeps: each holds a copy of the model, and later ones mostly have the cause of
/// the first.
inline constexpr std::int64_t most_autopsies = 3;

/// Where it happened, and what it takes to do it again beside the model and the batch.
struct AutopsyCase {
  std::int64_t step = 1;  // the first is 1, as in the log
  std::int64_t part = 1;  // of the batches that make one step; the first is 1
  std::int64_t parts = 1;
  std::int64_t masks = 0;  // the number that the masks of dropout follow from
  double learning_rate = 0;
  bool every = false;  // as examine has it
  std::string rows;    // of the batch
};

/// An autopsy, and what it is of.
struct StepAutopsy {
  Autopsy autopsy;
  AutopsyCase where;

  /// The finding with step, batch and the command that does the step again from `directory`.
  std::string report(const std::filesystem::path& directory) const;
  /// The tape's table.
  std::string table() const;
};

/// The files of an autopsy: the model, the batch, the tape's table, the report.
inline constexpr std::array<const char*, 4> autopsy_files = {"model.safetensors", "batch.npz", "tape.txt",
                                                             "report.txt"};

/// Writes report.txt, tape.txt, the batch and the model as they are now into `directory`: enough to do this
/// step again without the run. Throws IoError.
void write_autopsy(const std::filesystem::path& directory, const StepAutopsy& step,
                   const data::NpzWriter& batch, const nn::Module& model, nlohmann::ordered_json config);

/// Does the step of such a directory again. Throws FileError, DataError, IoError.
StepAutopsy replay_autopsy(const std::filesystem::path& directory);

/// "3, 17, 4": numbers for a line of text.
template <class Numbers>
std::string listed(const Numbers& numbers) {
  std::string text;
  for (const auto n : numbers) text += (text.empty() ? "" : ", ") + std::to_string(n);
  return text;
}

}  // namespace reel::examples
