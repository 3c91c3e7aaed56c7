#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "nn/optimizer.h"
#include "nn/safetensors.h"

namespace reel::nn {

/// Saves a training run so that it can go on exactly where it was: weights, the state of its optimizers, the
/// step, and notes of the user.
///
///     nn::DirectoryLock lock("runs/mine");               // one process at a time
///     lock.remove_stale_temporaries();                   // of a process that was killed
///     nn::Checkpoint checkpoint("runs/mine", model.parameters(), adam);
///     std::int64_t step = checkpoint.load();             // 0 if nothing was saved yet
///     for (; step < steps; ++step) {
///       ... one step ...
///       if ((step + 1) % 100 == 0) checkpoint.save(step + 1);
///     }
///
/// One safetensors file holds everything: weights under their own names, an optimizer's numbers for the
/// parameters that it moves under "optimizer." ("optimizer.1.", "optimizer.2.", ... if there are several),
/// the rest in the metadata, with a SHA-256 over the whole file. It is written beside the old one, synced and
/// renamed, and the old one is kept as a second generation. The bytes follow from the state alone.
class Checkpoint {
 public:
  /// Throws IoError if there is no such directory, before there is anything to lose; StateError, as save and
  /// load do, unless the optimizer was made for these parameters or a part of them. It must outlive this, and
  /// so must the model: save and load throw StateError if that is gone.
  Checkpoint(std::filesystem::path directory, ParameterBlock& parameters, Optimizer& optimizer,
             Place where = Place::here());
  /// The same for several optimizers, {generator, critic}, or for none, {}; they must be loaded in the order
  /// in which they were saved. Throws ValueError if one is there twice.
  Checkpoint(std::filesystem::path directory, ParameterBlock& parameters, Optimizers optimizers,
             Place where = Place::here());

  /// Writes a checkpoint. Throws IoError; what was saved before is still there then. Throws
  /// std::invalid_argument for a negative step, and for a note or a name that is not UTF-8.
  void save(std::int64_t step, Place where = Place::here());

  /// Loads the newest checkpoint that can be read and verifies, and returns its step; 0 if there is none. If
  /// there are files and none of them does, throws IoError if one could not be read, else FileError;
  /// FileError as well if one verifies and does not fit the model or its optimizers.
  std::int64_t load(Place where = Place::here());

  /// Strings that are saved and loaded with the rest: a configuration, the position in a log, ...
  std::map<std::string, std::string>& notes() { return notes_; }

  /// Looks at the notes of a checkpoint before anything is loaded from it; may throw.
  void check_notes(std::function<void(const std::map<std::string, std::string>&)> check) {
    check_ = std::move(check);
  }

  /// Files that load passed over, each with the reason.
  const std::vector<std::string>& skipped() const { return skipped_; }

  std::filesystem::path path() const { return directory_ / "checkpoint.safetensors"; }
  std::filesystem::path previous_path() const { return directory_ / "checkpoint.previous.safetensors"; }

 private:
  void require_model(Place where) const;
  void restore(const Safetensors& file);

  std::filesystem::path directory_;
  ParameterBlock& parameters_;
  std::weak_ptr<const void> life_;  // of the parameters
  Optimizers optimizers_;
  std::map<std::string, std::string> notes_;
  std::function<void(const std::map<std::string, std::string>&)> check_;
  std::vector<std::string> skipped_;
  bool newest_is_damaged_ = false;
};

/// Reads a checkpoint file and verifies its format, version and checksum. Throws FileError, IoError.
Safetensors read_checkpoint(const std::filesystem::path& path);

/// Verifies the format, version and checksum of a file that was read before. Throws FileError.
void verify_checkpoint(const Safetensors& file);

/// Whether the file says that it is a checkpoint; a plain weights file does not.
bool is_checkpoint(const Safetensors& file);

/// The notes of a checkpoint.
std::map<std::string, std::string> notes_of(const Safetensors& file);

/// The step of a checkpoint.
std::int64_t step_of(const Safetensors& file);

}  // namespace reel::nn
