#include "tests/examples/program.h"

#include <sys/wait.h>
#include <unistd.h>

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
  std::string command = "cd " + quoted(directory) + " && " + prefix + " " + quoted(REEL_PROGRAM);
  for (const std::string& word : words) command += " " + quoted(word);
  command += " >" + quoted(streams / "out") + " 2>" + quoted(streams / "err") + " </dev/null";
  const int status = std::system(command.c_str());
  Ran ran;
  ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  ran.out = contents(streams / "out");
  ran.err = contents(streams / "err");
  return ran;
}

}  // namespace reel::examples
