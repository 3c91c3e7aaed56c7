#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace reel::examples {

/// Throws FileError: `FILE: its configuration is damaged: REASON; HELP`.
[[noreturn]] void refuse_configuration(const std::string& file, const std::string& reason,
                                       const std::string& help = "train again, or use another file");

/// What a configuration says. It comes from a file, so that nothing in it is taken on trust: every function
/// throws FileError, naming the file and the key, unless there is a value of its kind, in its range.
class Settings {
 public:
  /// `object` must outlive this; `file` stands in front of the messages.
  Settings(const nlohmann::ordered_json& object, std::string file)
      : object_(&object), file_(std::move(file)) {}

  bool has(const std::string& key) const;
  /// An object in this one.
  Settings at(const std::string& key) const;
  bool flag(const std::string& key) const;
  std::string text(const std::string& key) const;
  /// A text that is not longer than a path.
  std::string name(const std::string& key) const;
  std::vector<std::string> texts(const std::string& key) const;
  std::int64_t whole(const std::string& key, std::int64_t least,
                     std::int64_t most = std::numeric_limits<std::int64_t>::max()) const;
  std::vector<std::int64_t> wholes(const std::string& key, std::int64_t least,
                                   std::int64_t most = std::numeric_limits<std::int64_t>::max()) const;
  std::uint64_t seed(const std::string& key) const;
  double number(const std::string& key) const;
  /// At least 0 and less than 1, as a float too.
  double fraction(const std::string& key) const;
  std::vector<float> floats(const std::string& key) const;

  /// Refuses the configuration: `"KEY" REASON`.
  [[noreturn]] void fail(const std::string& key, const std::string& reason) const;

 private:
  const nlohmann::ordered_json& value(const std::string& key) const;
  const nlohmann::ordered_json& list(const std::string& key) const;
  [[noreturn]] void refuse(const std::string& key, const nlohmann::ordered_json& value,
                           const std::string& wanted) const;
  std::int64_t whole_of(const std::string& key, const nlohmann::ordered_json& value, std::int64_t least,
                        std::int64_t most) const;

  const nlohmann::ordered_json* object_;
  std::string file_;
  std::string path_ = "";  // of keys down to object_, each with a point behind it
};

}  // namespace reel::examples
