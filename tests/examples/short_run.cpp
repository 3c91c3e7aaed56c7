#include "tests/examples/short_run.h"

#include <cstdlib>
#include <filesystem>
#include <ostream>

#include "nn/sha256.h"

namespace reel::examples {

ShortRun short_classifier() {
  return {"classifier",
          {"train",
           "classifier",
           "--data",
           "iris",
           "--epochs",
           "2",
           "--batch",
           "32",
           "--hidden",
           "8",
           "--dropout",
           "0.2",
           "--checkpoint-every",
           "3",
           "--eval-every",
           "4",
           "--log-every",
           "1",
           "--json",
           "--progress",
           "none"},
          8,
          3};
}

ShortRun short_transformer() {
  return {"transformer",
          {"train",
           "transformer",
           "--width",
           "8",
           "--heads",
           "2",
           "--layers",
           "1",
           "--batch",
           "4",
           "--dropout",
           "0.1",
           "--accumulate",
           "2",
           "--steps",
           "6",
           "--checkpoint-every",
           "2",
           "--eval-every",
           "6",
           "--log-every",
           "1",
           "--json",
           "--progress",
           "none"},
          6,
          2};
}

void PrintTo(const Result& result, std::ostream* out) {
  const auto short_hash = [](const std::string& bytes) { return nn::sha256_hex(bytes).substr(0, 12); };
  *out << "exit code " << result.code << ", fingerprint " << result.fingerprint.substr(0, 12)
       << ", checkpoint of " << result.checkpoint.size() << " bytes (" << short_hash(result.checkpoint)
       << "), log of " << result.log.size() << " bytes (" << short_hash(result.log) << "), report of "
       << result.report.size() << " bytes (" << short_hash(result.report) << ")"
       << (result.err.empty() ? "" : ", which said: ") << result.err;
}

Result run(const ShortRun& what, const std::string& directory, std::vector<std::string> more,
           const std::string& prefix) {
  std::vector<std::string> words = what.words;
  words.insert(words.end(), {"--out", directory});
  words.insert(words.end(), more.begin(), more.end());
  const Ran ran = run_reel(words, "/", prefix);
  Result result{ran.code,
                ran.err,
                "",
                contents(directory + "/checkpoint.safetensors"),
                contents(directory + "/log.jsonl"),
                contents(directory + "/report.html")};
  if (ran.code == 0) result.fingerprint = ran.json()["fingerprint"];
  return result;
}

Result recover(const ShortRun& what, const std::string& directory, int threads) {
  const std::vector<std::string> on = {"--threads", std::to_string(threads)};
  const Result resumed = run(what, directory, {"--resume", "--threads", std::to_string(threads)});
  if (resumed.code == 2 && resumed.err.find("there is no run to resume") != std::string::npos)
    return run(what, directory, on);
  return resumed;
}

std::string faults(const std::string& directory, const std::string& settings) {
  // A program under AddressSanitizer wants its own library to be the first.
  return "ASAN_OPTIONS=\"$ASAN_OPTIONS:verify_asan_link_order=0\" LD_PRELOAD='" REEL_FILE_FAULTS
         "' REEL_FAULTS_BELOW='" +
         std::filesystem::weakly_canonical(directory).parent_path().string() + "' " + settings;
}

bool full() { return std::getenv("REEL_FULL") != nullptr; }

std::vector<int> sample(int count, int most, int most_in_full) {
  std::vector<int> chosen;
  const int wanted = full() ? most_in_full : most;
  const int stride = count <= wanted ? 1 : (count - 1) / wanted + 1;
  for (int i = 1; i <= count; i += stride) chosen.push_back(i);
  return chosen;
}

}  // namespace reel::examples
