#include "examples/run_directory.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "data/error.h"
#include "data/file.h"
#include "examples/autopsy.h"
#include "examples/model_file.h"
#include "examples/usage_error.h"
#include "nn/atomic_file.h"
#include "nn/error.h"
#include "nn/file_descriptor.h"

namespace reel::examples {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::string_view autopsy_prefix = "autopsy-step-";

constexpr const char* config_name = "config.json";
// What a run saves as it goes on.
constexpr std::array saved_files = {"checkpoint.safetensors", "checkpoint.previous.safetensors",
                                    "best.safetensors", "report.html"};

bool is_autopsy(const std::string& name) {
  return name.starts_with(autopsy_prefix) && name.size() > autopsy_prefix.size() &&
         name.find_first_not_of("0123456789", autopsy_prefix.size()) == std::string::npos;
}

[[noreturn]] void fail(const fs::path& path, const std::string& what) {
  throw nn::IoError(data::printable(path) + ": " + what + ": " + std::strerror(errno));
}

void refuse_a_run(const fs::path& path) {
  if (!holds_a_run(path)) {
    for (const char* name : {config_name, "best.safetensors", "report.html"}) {
      if (fs::exists(path / name)) {
        throw UsageError(data::printable(path) + ": it holds a " + name +
                         ", but no run that it could be of; choose another --out");
      }
    }
    return;
  }
  throw UsageError(data::printable(path) +
                   ": it holds a run already; add --resume to go on with it, or choose another --out");
}

void refuse_no_directory(const fs::path& path) {
  const fs::file_status there = fs::symlink_status(path);
  if (!fs::exists(there) || fs::is_directory(path)) return;
  const char* const what = fs::is_regular_file(there) ? "a file"
                           : fs::is_symlink(there)    ? "a link that leads to no directory"
                                                      : "a pipe or a device";
  throw nn::IoError(data::printable(path) + ": it is " + what +
                    ", and a run needs a directory; choose another --out");
}

fs::path next_free(const std::string& name, std::vector<fs::path>& made) {
  for (int i = 1;; ++i) {
    const fs::path path = fs::path("runs") / (name + "-" + std::to_string(i));
    try {
      // Making it claims it: two runs that start at once get two directories.
      if (nn::make_directories(path, &made)) return path;
    } catch (const nn::IoError& e) {
      throw nn::IoError(std::string(e.what()) + "; choose a run directory with --out");
    }
  }
}

}  // namespace

// A run opens its log before it writes anything else.
bool holds_a_run(const fs::path& path) {
  const auto holds = [&](const char* name) { return fs::exists(path / name); };
  return holds("checkpoint.safetensors") || holds("checkpoint.previous.safetensors") || holds("log.jsonl");
}

std::optional<RecordedConfig> recorded_config(const fs::path& path) {
  // config.json comes first: it is there before a checkpoint is, and has the steps that a later call added.
  const fs::path config = path / config_name;
  try {
    Json object = parse_config(data::read_file(config));
    // Without these a run would be of another kind, or go on beyond its end.
    const Json task = object.is_object() && object.contains("task") ? object["task"] : Json();
    if ((task == "classifier" && object.contains("epochs")) ||
        (task == "transformer" && object.contains("steps")))
      return RecordedConfig{std::move(object), data::printable(config)};
  } catch (const data::IoError&) {
  }
  for (const char* name : {"checkpoint.safetensors", "checkpoint.previous.safetensors"}) {
    try {
      return RecordedConfig{read_model(path / name).config, data::printable(path / name)};
    } catch (const nn::FileError&) {  // Whoever loads it will say what is wrong with it.
    } catch (const nn::IoError&) {
    }
  }
  return std::nullopt;
}

void refuse_fewer(const std::string& key, const std::string& was, const std::string& now) {
  throw UsageError("--resume: the run has --" + key + " " + was + ", now it is " + now +
                   "; it can only grow");
}

// The first constructor is done before the second begins, so that what fails in the second is cleared away.
RunDirectory::RunDirectory(const RunFlags& flags, const std::string& name) : RunDirectory() {
  is_new_ = !flags.resume;
  if (flags.out.empty()) {
    if (flags.resume) throw UsageError("--resume needs --out, the directory of the run to go on with");
    path_ = next_free(name, made_);
  } else {
    path_ = flags.out;
    if (flags.resume && !holds_a_run(path_)) {
      throw UsageError(data::printable(path_) +
                       ": there is no run to resume; leave --resume out to start one");
    }
    if (!flags.resume) refuse_a_run(path_);
    refuse_no_directory(path_);
    nn::make_directories(path_, &made_);
  }
  lock_ = std::make_unique<nn::DirectoryLock>(path_);
  if (!flags.resume) refuse_a_run(path_);  // of another program that was as fast, and is done
  remove_stale_temporaries();
  // Without O_NONBLOCK, opening a pipe would wait for somebody to read from it; with it, that is ENXIO.
  nn::FileDescriptor file =
      nn::open_at(AT_FDCWD, log().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK, 0666);
  if (!file.is_open() && errno != ENXIO) fail(log(), "cannot be opened");
  struct stat status {};
  if (!file.is_open() || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    throw nn::IoError(data::printable(log()) +
                      ": it is not a regular file (a pipe or a device); remove it, or choose another --out");
  }
  log_ = file.release();
  // Before anything else: after a power cut, too, no file of a run is there without its log.
  const nn::FileDescriptor directory = nn::open_at(AT_FDCWD, path_.c_str(), O_RDONLY | O_DIRECTORY, 0);
  if (!directory.is_open() || !nn::sync_directory(directory.get()))
    fail(path_, "cannot be synced to the disk");
}

std::filesystem::path RunDirectory::autopsy(std::int64_t step) const {
  return path_ / (std::string(autopsy_prefix) + std::to_string(step));
}

std::vector<std::string> RunDirectory::autopsies() const {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator entry(path_, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (is_autopsy(name)) names.push_back(name);
  }
  if (error) throw nn::IoError(data::printable(path_) + ": cannot be listed: " + error.message());
  return names;
}

// Of a process that was killed while it wrote a file, here or in an autopsy. What has another name is of
// another program.
void RunDirectory::remove_stale_temporaries() const {
  std::vector<std::string> names(saved_files.begin(), saved_files.end());
  names.emplace_back(config_name);
  lock_->remove_stale_temporaries(names);
  for (const std::string& name : autopsies())
    lock_->remove_stale_temporaries_in(name, {autopsy_files.begin(), autopsy_files.end()});
}

// More than config.json and an empty log, with which every run begins.
bool RunDirectory::holds_what_was_saved() const {
  struct stat status {};
  if (::fstat(log_, &status) != 0 || status.st_size > 0) return true;
  const auto is_there = [this](const char* name) { return fs::exists(path_ / name); };
  return std::any_of(saved_files.begin(), saved_files.end(), is_there) || !autopsies().empty();
}

void RunDirectory::remove_what_it_made() noexcept {
  if (!is_new_) return;
  try {
    if (log_ >= 0) {
      if (holds_what_was_saved()) return;
      // The log last: if this is cut short, no file of a run is there without it.
      ::unlink((path_ / config_name).c_str());
      ::unlink(log().c_str());
    }
    if (made_.empty()) return;
    if (lock_ != nullptr) lock_->remove_empty_directory();
    // Each goes only if it is empty, and so not if another run has begun below it.
    for (auto directory = made_.rbegin(); directory != made_.rend(); ++directory) ::rmdir(directory->c_str());
  } catch (const std::exception&) {  // without the memory to look at it, all stays
  }
}

RunDirectory::~RunDirectory() {
  if (std::uncaught_exceptions() > exceptions_) remove_what_it_made();
  if (log_ >= 0) ::close(log_);
}

void RunDirectory::write_config(const nlohmann::ordered_json& config) const {
  nn::write_file_atomically(path_ / config_name, config.dump(2) + "\n");
}

void RunDirectory::write_all(const std::string& text) {
  if (!nn::write_all(log_, text)) fail(log(), "cannot be written");
}

void RunDirectory::append_log(const nlohmann::ordered_json& line) { write_all(line.dump() + "\n"); }

std::int64_t RunDirectory::sync_log() {
  if (::fsync(log_) != 0) fail(log(), "cannot be synced to the disk");
  const off_t length = ::lseek(log_, 0, SEEK_END);
  if (length < 0) fail(log(), "cannot be measured");
  return length;
}

void RunDirectory::cut_log(std::int64_t bytes) {
  const off_t length = ::lseek(log_, 0, SEEK_END);
  if (length < bytes) {
    throw nn::FileError(data::printable(log()) + ": it has " + std::to_string(length) +
                        " bytes, the checkpoint was made at " + std::to_string(bytes) +
                        "; the two do not belong together: put the log of this run back, or train again "
                        "with another --out");
  }
  if (::ftruncate(log_, bytes) != 0) fail(log(), "cannot be cut to the length of the checkpoint");
}

}  // namespace reel::examples
