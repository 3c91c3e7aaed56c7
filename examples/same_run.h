#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "kernels/matmul.h"

namespace reel::examples {

// Whether a run that goes on is the one that was begun: the same data, flags and build.

/// Every flag that a resumed run must share with the first one, compared one by one, then the data, and what
/// follows from both.
/// `saved` is the configuration that `file`, a checkpoint of `directory`, holds. Throws UsageError that names
/// the flag; FileError if a value is of another type.
void require_same_run(const nlohmann::ordered_json& saved, const nlohmann::ordered_json& now,
                      const std::string& directory, const std::string& file);

/// Only what the data decides. Throws UsageError if it is other data, or has changed.
void require_same_data(const nlohmann::ordered_json& saved, const nlohmann::ordered_json& now,
                       const std::string& directory);

/// Throws UsageError `--resume: DATA is not the data that the run in DIRECTORY was started with: CHANGE;
/// HELP`.
[[noreturn]] void refuse_changed_data(const std::string& data, const std::string& directory,
                                      const std::string& change);

/// What the bits of a run with products of this precision depend on beside its data and flags.
std::string this_build(kernels::Products products);

/// The same binary gives the same bits; another one goes on with the run, but says so. `notes` are those of
/// the checkpoint.
void warn_of_another_build(const std::map<std::string, std::string>& notes, kernels::Products products);

}  // namespace reel::examples
