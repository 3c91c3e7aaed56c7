#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

namespace reel::examples {

/// What a run of the program gave.
struct Ran {
  int code = -1;
  std::string out;
  std::string err;
  double seconds = 0;
  double processor_seconds = 0;
  std::int64_t peak_bytes = 0;  ///< of memory; not less than this process had when it started the program
  nlohmann::json json() const { return nlohmann::json::parse(out); }
};

/// Runs `reel` with these words in a directory; environment like {"NAME=value"} comes first.
Ran run_reel(const std::vector<std::string>& words, const std::string& directory,
             const std::string& prefix = "");

/// A directory that is gone when the test is over.
class Workplace {
 public:
  Workplace();
  ~Workplace();
  Workplace(const Workplace&) = delete;
  Workplace& operator=(const Workplace&) = delete;
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

/// The names in a JSON object.
std::set<std::string> keys(const nlohmann::json& object);

std::string contents(const std::string& path);
void write(const std::string& path, const std::string& text);

}  // namespace reel::examples
