#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "autograd/tape.h"
#include "data/dataset.h"
#include "examples/flags.h"
#include "nn/mlp.h"

namespace reel::examples {

/// The data of a classifier, as --data names it: a train and a test part, not standardised yet.
/// Throws DataError, IoError, UsageError.
data::Split classifier_data(const std::string& name, const std::string& labels,
                            const std::string& label_column, double test_fraction, std::uint64_t seed);

struct Score {
  double loss = 0;
  double accuracy = 0;
  std::vector<std::vector<std::int64_t>> confusion;  // [true, predicted]
};

/// Runs the whole set through the model, in inference.
Score score(Tape& tape, const nn::Mlp& model, const data::Dataset& data);

/// The confusion matrix as text.
std::string confusion_text(const Score& score, const std::vector<std::string>& classes);

}  // namespace reel::examples
