// Runs a fuzz target over the corpus and over the files that fuzzing found, without a fuzzer.
//
//     replay CORPUS.tsv FOLDER            runs the target on every case, and on every file of the folder
//     replay --write CORPUS.tsv FOLDER    writes the cases into the folder, for a fuzzer to start from

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <iterator>

#include "tests/support/corpus.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

namespace fs = std::filesystem;

void run(const std::string& bytes) {
  // A copy of exactly this size, so that a sanitizer sees a read past its end.
  const std::vector<std::uint8_t> copy(bytes.begin(), bytes.end());
  LLVMFuzzerTestOneInput(copy.data(), copy.size());
}

}  // namespace

int main(int count, char** arguments) {
  const bool write = count > 1 && std::string_view(arguments[1]) == "--write";
  if (count != (write ? 4 : 3)) {
    std::fprintf(stderr, "usage: replay [--write] CORPUS.tsv FOLDER\n");
    return 2;
  }
  const fs::path folder = arguments[write ? 3 : 2];
  std::size_t cases = 0;
  for (const CorpusCase& c : read_corpus_file(arguments[write ? 2 : 1])) {
    if (write) {
      // Large cases slow a fuzzer down more than they help it.
      if (c.content.size() <= 4096)
        std::ofstream(folder / std::to_string(cases), std::ios::binary) << c.content;
    } else {
      run(c.content);
    }
    ++cases;
  }
  std::size_t files = 0;
  if (!write && fs::is_directory(folder)) {
    for (const auto& entry : fs::directory_iterator(folder)) {
      std::ifstream file(entry.path(), std::ios::binary);
      run({std::istreambuf_iterator<char>(file), {}});
      ++files;
    }
  }
  std::printf("%zu cases, %zu files\n", cases, files);
  return cases > 0 ? 0 : 1;
}
