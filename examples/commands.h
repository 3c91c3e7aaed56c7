#pragma once

#include <string>

#include "examples/flags.h"

namespace reel::examples {

// The verbs of the program. Each returns an exit code; errors are thrown.

/// `reel train classifier`
int train_classifier(const ClassifierFlags& flags);
/// `reel train transformer`
int train_transformer(const TransformerFlags& flags);
/// `reel generate`
int run_generate(const GenerateFlags& flags);
/// `reel evaluate`
int run_evaluate(const EvaluateFlags& flags);
/// `reel predict`
int run_predict(const PredictFlags& flags);
/// `reel inspect FILE`: recognises a file by its content, checks it whole, and says what is in it.
int run_inspect(const InspectFlags& flags);
/// `reel attention`
int run_attention(const AttentionFlags& flags);
/// `reel bench`
int run_bench(const BenchFlags& flags);
/// `reel autopsy DIR`: does a step again that a run has kept because a number in it was not finite.
int run_autopsy(const std::string& directory, bool json);
/// `reel ops`: the catalogue of ops, from their cards.
int run_ops(bool json);

}  // namespace reel::examples
