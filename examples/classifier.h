#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "autograd/tape.h"
#include "data/batches.h"
#include "data/csv.h"
#include "data/dataset.h"
#include "examples/model_file.h"
#include "nn/mlp.h"

namespace reel::examples {

/// Whether --data names a set that needs no file of the user's.
bool is_built_in(const std::string& name);

/// What training knew of the columns of its file. Older versions did not record all.
struct KnownColumns {
  std::string label_column = {};                // --label-column
  std::string ignore_columns = {};              // --ignore-columns
  std::vector<std::string> feature_names = {};  // if there was a header
  std::string label_name = {};                  // the same
};

/// The data of a classifier, as the flags name it.
struct NamedData {
  std::string name = {};            // --data
  std::string labels = {};          // --labels, if it is an IDX file of images
  std::string label_column = {};    // --label-column, if it is a CSV file
  std::string ignore_columns = {};  // --ignore-columns, if it is a CSV file
  KnownColumns known = {};          // of a CSV file: what the flags leave open
};

/// The first of --labels, --label-column and --ignore-columns that is given, or null. They go with files.
const char* flag_for_a_file(const NamedData& named);

/// A train and a test part, not standardised yet. Throws DataError, IoError, UsageError.
data::Split classifier_data(const NamedData& named, double test_fraction, std::uint64_t seed);

/// The same, not divided: all of it is the train part, unless it comes with a test part of its own. With
/// `one_class` also a file whose samples are all of one class.
data::Split undivided_data(const NamedData& named, std::uint64_t seed, bool one_class = false);

/// What training divides a set into. Throws DataError if one part would be empty, or if there are fewer
/// samples than classes.
data::Split divided(const data::Dataset& all, double test_fraction, std::uint64_t seed);

/// Samples without regard to their classes: all of a set that is built in, all columns of a CSV file but the
/// label column, or those that have the names of features, the images of an IDX file. Not standardised.
/// Throws DataError, IoError, UsageError.
data::Dataset unlabelled_data(const NamedData& named, data::CsvOptions::Header header, std::uint64_t seed);

/// Of the file that a model learned from. Throws FileError if the settings hold none, or if there are other
/// names than of its features.
KnownColumns known_columns(const Settings& settings);

/// How training brought the features of a model to one scale. Throws FileError if its file does not say.
data::Standardizer standardizer_of(const Settings& settings);

/// Both parts in one.
data::Dataset joined(data::Split split);

/// Tells data from other data: a run that goes on, and a model that is measured, compare it with what they
/// learned from. Of both parts, standardised as for training.
std::string digest_of(const data::Split& split);

/// The classifier of a model file, in training mode. Throws FileError if the file does not fit its own
/// description.
std::unique_ptr<nn::Mlp> classifier_of(const ModelFile& file);

/// The mean cross-entropy of a batch.
Tensor classifier_loss(Tape& tape, const nn::Mlp& model, const data::Batch& batch);

struct Score {
  double loss = 0;
  double accuracy = 0;
  std::vector<std::vector<std::int64_t>>
      confusion;  // [true, predicted]; empty if there are over 1,000 classes
};

/// Runs the whole set through the model, in inference.
Score score(Tape& tape, const nn::Mlp& model, const data::Dataset& data);

struct Predictions {
  std::vector<std::int32_t> classes;  // [count], the likeliest
  std::vector<float> probabilities;   // [count], of these
  std::vector<float> of_all_classes;  // [count, classes], where asked for
};

/// What the model takes the samples for.
Predictions predict(Tape& tape, const nn::Mlp& model, const data::Dataset& data, bool of_all_classes);

/// The confusion matrix as text.
std::string confusion_text(const Score& score, const std::vector<std::string>& classes);

}  // namespace reel::examples
