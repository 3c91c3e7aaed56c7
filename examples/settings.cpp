#include "examples/settings.h"

#include <cmath>

#include "data/file.h"
#include "nn/error.h"

namespace reel::examples {

using Json = nlohmann::ordered_json;

void refuse_configuration(const std::string& file, const std::string& reason, const std::string& help) {
  throw nn::FileError(file + ": its configuration is damaged: " + reason + "; " + help);
}

void Settings::fail(const std::string& key, const std::string& reason) const {
  refuse_configuration(file_, "\"" + path_ + key + "\" " + reason);
}

void Settings::refuse(const std::string& key, const Json& value, const std::string& wanted) const {
  fail(key, "is " + data::excerpt(value.dump()) + ", not " + wanted);
}

bool Settings::has(const std::string& key) const { return object_->contains(key); }

const Json& Settings::value(const std::string& key) const {
  const auto found = object_->find(key);
  if (found == object_->end()) fail(key, "is missing");
  return *found;
}

const Json& Settings::list(const std::string& key) const {
  const Json& v = value(key);
  if (!v.is_array()) refuse(key, v, "a list");
  return v;
}

Settings Settings::at(const std::string& key) const {
  const Json& v = value(key);
  if (!v.is_object()) refuse(key, v, "an object");
  Settings inner(v, file_);
  inner.path_ = path_ + key + ".";
  return inner;
}

bool Settings::flag(const std::string& key) const {
  const Json& v = value(key);
  if (!v.is_boolean()) refuse(key, v, "true or false");
  return v.get<bool>();
}

std::string Settings::text(const std::string& key) const {
  const Json& v = value(key);
  if (!v.is_string()) refuse(key, v, "a text");
  return v.get<std::string>();
}

std::string Settings::name(const std::string& key) const {
  const Json& v = value(key);
  if (!v.is_string() || v.get_ref<const std::string&>().size() > data::longest_path)
    refuse(key, v, "a text of at most " + std::to_string(data::longest_path) + " bytes");
  return v.get<std::string>();
}

std::vector<std::string> Settings::texts(const std::string& key) const {
  std::vector<std::string> result;
  for (const Json& v : list(key)) {
    if (!v.is_string()) refuse(key, list(key), "a list of texts");
    result.push_back(v.get<std::string>());
  }
  return result;
}

std::int64_t Settings::whole_of(const std::string& key, const Json& v, std::int64_t least,
                                std::int64_t most) const {
  // A JSON library would turn 1.5 and true into 1, and wrap what is too large.
  const bool large =
      v.is_number_unsigned() &&
      v.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (!v.is_number_integer() || large || v.get<std::int64_t>() < least || v.get<std::int64_t>() > most) {
    const bool open = most == std::numeric_limits<std::int64_t>::max();
    refuse(key, v,
           "a whole number " + (open ? "of at least " + std::to_string(least)
                                     : "from " + std::to_string(least) + " to " + std::to_string(most)));
  }
  return v.get<std::int64_t>();
}

std::int64_t Settings::whole(const std::string& key, std::int64_t least, std::int64_t most) const {
  return whole_of(key, value(key), least, most);
}

std::vector<std::int64_t> Settings::wholes(const std::string& key, std::int64_t least,
                                           std::int64_t most) const {
  std::vector<std::int64_t> result;
  for (const Json& v : list(key)) result.push_back(whole_of(key, v, least, most));
  return result;
}

std::uint64_t Settings::seed(const std::string& key) const {
  const Json& v = value(key);
  if (!v.is_number_unsigned()) refuse(key, v, "a whole number from 0 to 2^64 - 1");
  return v.get<std::uint64_t>();
}

double Settings::number(const std::string& key) const {
  const Json& v = value(key);
  if (!v.is_number()) refuse(key, v, "a number");
  return v.get<double>();
}

double Settings::fraction(const std::string& key) const {
  const double x = number(key);
  if (!(x >= 0 && static_cast<float>(x) < 1)) refuse(key, value(key), "at least 0 and less than 1");
  return x;
}

std::vector<float> Settings::floats(const std::string& key) const {
  std::vector<float> result;
  for (const Json& v : list(key)) {
    if (!v.is_number() || !std::isfinite(v.get<float>()))
      refuse(key, v, "a number that a 32-bit float can hold");
    result.push_back(v.get<float>());
  }
  return result;
}

}  // namespace reel::examples
