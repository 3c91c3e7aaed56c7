#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "autograd/tape.h"
#include "data/npz.h"
#include "nn/module.h"

namespace reel::examples {

/// What was found in a step with a number that is not finite, done again with a look at every op.
struct Autopsy {
  std::string finding;  // the first op with such a number: its line, inputs, their ranges, the layer
  std::string tape;     // the table of the tape up to that op
};

/// Records a loss and plays it backwards, watched; nothing if every number is finite.
std::optional<Autopsy> examine(Products products, const std::function<Tensor(Tape& tape)>& loss);

/// Where it happened.
struct AutopsyCase {
  std::int64_t step = 0;
  std::int64_t part = 0;   // of the batches that make one step
  std::int64_t masks = 0;  // the number that the masks of dropout follow from
};

/// Writes the finding, the tape, the batch and the model as they are now into `directory`: enough to do this
/// step again without the run. Throws IoError.
void write_autopsy(const std::filesystem::path& directory, const Autopsy& autopsy, const AutopsyCase& where,
                   const data::NpzWriter& batch, const nn::Module& model, nlohmann::ordered_json config);

/// Does the step of such a directory again.
std::optional<Autopsy> replay_autopsy(const std::filesystem::path& directory);

}  // namespace reel::examples
