#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "tests/examples/program.h"

namespace reel::examples {

/// A training of a few steps with everything that a long one has: dropout, evaluations, several checkpoints.
struct ShortRun {
  std::string name;
  std::vector<std::string> words;
  int steps = 0;
  int checkpoint_every = 0;
};

inline void PrintTo(const ShortRun& what, std::ostream* out) { *out << what.name; }

/// A classifier of 8 steps with checkpoints after 3, 6 and 8.
ShortRun short_classifier();
/// A Transformer of 6 steps with checkpoints after 2, 4 and 6.
ShortRun short_transformer();

/// What must be the same however the run came about.
struct Result {
  int code = -1;
  std::string err;
  std::string fingerprint;  // as printed
  std::string checkpoint;   // the bytes of the file
  std::string log;
  std::string report;
  friend bool operator==(const Result& a, const Result& b) {
    return a.code == b.code && a.fingerprint == b.fingerprint && a.checkpoint == b.checkpoint &&
           a.log == b.log && a.report == b.report;
  }
};
/// Says where two results differ, not their bytes.
void PrintTo(const Result& result, std::ostream* out);

/// Runs it with these more words; `prefix` comes before the program, as in a shell.
Result run(const ShortRun& what, const std::string& directory, std::vector<std::string> more = {},
           const std::string& prefix = "");

/// What a user does after a crash: goes on with --resume, or starts again if the run had not begun.
Result recover(const ShortRun& what, const std::string& directory, int threads = 1);

/// `VARIABLE=... ` for a prefix, which puts the library of tests/support/file_faults.cpp between the program
/// and the directory, and what is beside it.
std::string faults(const std::string& directory, const std::string& settings);

/// Whether the long versions of the tests are wanted (REEL_FULL=1).
bool full();

/// 1, 2, ... count, or about `most` of them, spread evenly; `most_in_full` of them if full().
std::vector<int> sample(int count, int most, int most_in_full = 1 << 30);

}  // namespace reel::examples
