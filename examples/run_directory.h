#pragma once

#include <cstdint>
#include <exception>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "examples/flags.h"
#include "nn/directory_lock.h"

namespace reel::examples {

/// Whether a run was started in this directory.
bool holds_a_run(const std::filesystem::path& directory);

/// What a run was started with, and the file that says so.
struct RecordedConfig {
  nlohmann::ordered_json config;  // an object, with the task
  std::string file;
};

/// Of config.json, or of a checkpoint if config.json is missing or damaged. Nothing if there is neither, as
/// in a run that was killed before it had written config.json.
std::optional<RecordedConfig> recorded_config(const std::filesystem::path& directory);

/// Refuses to go on with a run of fewer steps or epochs than it has.
[[noreturn]] void refuse_fewer(const std::string& key, const std::string& was, const std::string& now);

/// The directory of one run: config.json, log.jsonl, checkpoints, report.html. Locked while the run lives.
///
/// If an exception ends a new run before anything is saved, it removes again what it made: its files, and the
/// directories that were not there before. Nobody could go on from them, and the next run would be refused.
class RunDirectory {
 public:
  /// Makes the directory: before the training, so that no work is lost that cannot be kept. Without --out it
  /// is the next free one of runs/NAME-1, runs/NAME-2, ... Throws UsageError if it holds a run and --resume
  /// is missing, or the other way round; IoError if it cannot be made.
  RunDirectory(const RunFlags& flags, const std::string& name);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path checkpoint() const { return path_ / "checkpoint.safetensors"; }
  std::filesystem::path best() const { return path_ / "best.safetensors"; }
  std::filesystem::path report() const { return path_ / "report.html"; }
  std::filesystem::path log() const { return path_ / "log.jsonl"; }
  /// Where the autopsy of a step is kept; the first step is 1.
  std::filesystem::path autopsy(std::int64_t step) const;

  /// Writes config.json.
  void write_config(const nlohmann::ordered_json& config) const;
  /// Appends a line to log.jsonl. Throws IoError.
  void append_log(const nlohmann::ordered_json& line);
  /// Flushes the log to the disk and returns its length, for a checkpoint.
  std::int64_t sync_log();
  /// Cuts the log back to this length: what came after a checkpoint is written again.
  void cut_log(std::int64_t bytes);
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

 private:
  RunDirectory() = default;
  void write_all(const std::string& text);
  std::vector<std::string> autopsies() const;
  void remove_stale_temporaries() const;
  bool holds_what_was_saved() const;
  void remove_what_it_made() noexcept;

  const int exceptions_ = std::uncaught_exceptions();
  bool is_new_ = false;
  std::vector<std::filesystem::path> made_;  // directories, the outermost first
  std::filesystem::path path_;
  std::unique_ptr<nn::DirectoryLock> lock_;
  int log_ = -1;
};

}  // namespace reel::examples
