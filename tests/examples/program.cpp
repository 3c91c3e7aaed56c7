#include "tests/examples/program.h"

#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace reel::examples {
namespace {

std::string quoted(const std::string& word) {
  std::string result = "'";
  for (const char c : word) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result + "'";
}

}  // namespace

Workplace::Workplace() {
  std::string pattern = std::filesystem::temp_directory_path() / "reel_test_XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) std::abort();
  path_ = pattern;
}
Workplace::~Workplace() { std::filesystem::remove_all(path_); }

std::set<std::string> keys(const nlohmann::json& object) {
  std::set<std::string> names;
  for (const auto& [key, value] : object.items()) names.insert(key);
  return names;
}

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void write(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

Ran run_reel(const std::vector<std::string>& words, const std::string& directory, const std::string& prefix) {
  const Workplace streams;
  // Without a prefix the program takes the place of the shell, so that nearly all that is measured is its
  // own.
  std::string command =
      "cd " + quoted(directory) + " && " + (prefix.empty() ? "exec" : prefix) + " " + quoted(REEL_PROGRAM);
  for (const std::string& word : words) command += " " + quoted(word);
  command += " >" + quoted(streams / "out") + " 2>" + quoted(streams / "err") + " </dev/null";
  char shell[] = "/bin/sh", option[] = "-c";
  char* const arguments[] = {shell, option, command.data(), nullptr};
  pid_t process = 0;
  int status = 0;
  rusage used{};
  Ran ran;
  const auto start = std::chrono::steady_clock::now();
  if (posix_spawn(&process, shell, nullptr, nullptr, arguments, environ) != 0 ||
      wait4(process, &status, 0, &used) != process) {
    return ran;
  }
  ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  ran.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  ran.processor_seconds = seconds(used.ru_utime) + seconds(used.ru_stime);
  ran.peak_bytes = used.ru_maxrss * 1024;
  ran.out = contents(streams / "out");
  ran.err = contents(streams / "err");
  return ran;
}

}  // namespace reel::examples
