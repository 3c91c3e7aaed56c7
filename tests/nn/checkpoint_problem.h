#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <stdexcept>
#include <string>

#include "autograd/parameter.h"
#include "nn/checkpoint.h"
#include "nn/optimizer.h"
#include "nn/weights.h"

/// A directory of a test's own, removed with it.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "reel_test_XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    path_ = name;
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline std::string read_all(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_all(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

/// A model of two parameters with an optimizer, whose every number follows from the step.
struct SmallRun {
  reel::ParameterBlock block;
  reel::nn::AdamW adam{prepare(block), {}};

  static reel::ParameterBlock& prepare(reel::ParameterBlock& block) {
    block.add("hidden.weight", {2, 3}, true);
    block.add("hidden.bias", {2}, false);
    return block;
  }

  void go_to(std::int64_t step) {
    float next = static_cast<float>(step) * 100;
    for (std::size_t i = 0; i < block.count(); ++i) {
      for (float& x : block.values(i)) x = next++;
    }
    for (const auto& slot : adam.slots()) {
      for (std::size_t i = 0; i < block.count(); ++i) {
        for (std::int64_t k = 0; k < block.entry(i).size(); ++k)
          slot.values[static_cast<std::size_t>(block.entry(i).offset + k)] = next++;
      }
    }
    for (const auto& counter : adam.counters()) {
      for (std::int64_t& n : counter.values) n = static_cast<std::int64_t>(next++);
    }
  }

  std::string fingerprint() { return reel::nn::fingerprint(block, &adam); }

  static std::string fingerprint_at(std::int64_t step) {
    SmallRun run;
    run.go_to(step);
    return run.fingerprint();
  }
};

/// What load says about a directory: the step, after comparing every number with it, or the error's text.
inline std::string outcome_of_load(const std::filesystem::path& directory) {
  SmallRun run;
  reel::nn::Checkpoint checkpoint(directory, run.block, run.adam);
  try {
    const std::int64_t step = checkpoint.load();
    if (step != 0 && run.fingerprint() != SmallRun::fingerprint_at(step)) return "wrong numbers";
    return std::to_string(step);
  } catch (const std::exception& e) {
    return e.what();
  }
}

/// Saves checkpoints of these steps, in this order.
inline void save_steps(const std::filesystem::path& directory, std::initializer_list<std::int64_t> steps) {
  SmallRun run;
  reel::nn::Checkpoint checkpoint(directory, run.block, run.adam);
  for (const std::int64_t step : steps) {
    run.go_to(step);
    checkpoint.save(step);
  }
}
