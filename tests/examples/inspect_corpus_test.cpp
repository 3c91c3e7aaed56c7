#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "tests/examples/program.h"
#include "tests/support/corpus.h"
#include "tests/support/sanitizer.h"

// `reel inspect` on every file of the corpus, in a process of its own: the exit code, one line that names the
// file and the reason, and a limit of memory. What it costs is printed and not judged: time is the machine's.

namespace reel::examples {
namespace {

struct Reader {
  const char* corpus;
  const char* file;  // a name that says what the file is
  int refusal;       // exit code
};
void PrintTo(const Reader& r, std::ostream* out) { *out << r.corpus; }

constexpr Reader readers[] = {{"safetensors", "case.safetensors", 4},
                              {"checkpoint", "case.safetensors", 4},
                              {"npy", "case.npy", 3},
                              {"npz", "case.npz", 3},
                              {"idx", "case-ubyte", 3},
                              {"csv", "case.csv", 3}};
constexpr std::int64_t most_memory = std::int64_t{64} << 20;
constexpr bool memory_is_its_own = !REEL_HAS_SANITIZER;  // which takes some, too

std::vector<CorpusCase> cases_of(const Reader& reader) {
  return read_corpus_file(std::string(REEL_SOURCE_DIR "/tests/corpus/") + reader.corpus + ".tsv");
}

bool is_good(const CorpusCase& c) { return c.expected.starts_with("ok"); }

// Some cases are bad only for a reader that was told more: which column is the class, which file has the
// labels, that a safetensors file is to be a checkpoint, or that the samples are to be told apart.
bool is_good_by_itself(const CorpusCase& c) {
  return is_good(c) || !c.more.empty() || c.expected.find("but no checkpoint of Reel") != std::string::npos ||
         c.expected.find("every sample has the same class") != std::string::npos;
}

// What the costliest of several files took.
class Costs {
 public:
  void add(const Ran& ran) {
    if (memory_is_its_own) {
      EXPECT_LT(ran.peak_bytes, most_memory);
    }
    ++files_;
    most_.seconds = std::max(most_.seconds, ran.seconds);
    most_.processor_seconds = std::max(most_.processor_seconds, ran.processor_seconds);
    most_.peak_bytes = std::max(most_.peak_bytes, ran.peak_bytes);
  }
  void tell(const std::string& what) const {
    std::cout << what << ": " << files_ << " files, at most " << 1e3 * most_.processor_seconds
              << " ms of processor time, " << 1e3 * most_.seconds << " ms in all and "
              << (most_.peak_bytes >> 10) << " KiB of memory\n";
    testing::Test::RecordProperty("files", std::to_string(files_));
    testing::Test::RecordProperty("most_processor_ms", std::to_string(1e3 * most_.processor_seconds));
    testing::Test::RecordProperty("most_ms", std::to_string(1e3 * most_.seconds));
    testing::Test::RecordProperty("most_memory_kib", std::to_string(most_.peak_bytes >> 10));
  }

 private:
  int files_ = 0;
  Ran most_;
};

class InspectCorpus : public testing::TestWithParam<Reader> {};

TEST_P(InspectCorpus, EveryFileIsReadOrRefusedInOneLineWithLittleMemory) {
  const Reader& reader = GetParam();
  const Workplace place;
  Costs costs;
  for (const CorpusCase& c : cases_of(reader)) {
    SCOPED_TRACE(c.name);
    write(place / reader.file, c.content);
    const Ran ran = run_reel({"inspect", reader.file}, place.path());
    if (is_good_by_itself(c)) {
      EXPECT_EQ(ran.code, 0);
      EXPECT_EQ(ran.err, "");
      EXPECT_THAT(ran.out, testing::HasSubstr(reader.file));
    } else {
      EXPECT_EQ(ran.code, reader.refusal);
      EXPECT_EQ(ran.out, "");
      EXPECT_THAT(ran.err, testing::StartsWith(std::string("reel: ") + reader.file));
      EXPECT_THAT(ran.err, testing::HasSubstr(c.expected));
      EXPECT_EQ(ran.err.find('\n'), ran.err.size() - 1) << ran.err;
    }
    costs.add(ran);
  }
  costs.tell(reader.corpus);
}
INSTANTIATE_TEST_SUITE_P(Readers, InspectCorpus, testing::ValuesIn(readers),
                         [](const auto& test) { return test.param.corpus; });

// Headers of a megabyte that no repetition in the corpus could write.
TEST(InspectCorpus, AMegabyteOfNamesIsReadWithLittleMemory) {
  const auto safetensors = [](const std::string& start, const std::string& entry, const std::string& end) {
    std::string header = start;
    for (int i = 0; header.size() < 1'000'000; ++i)
      header += (i == 0 ? "\"" : ",\"") + std::to_string(i) + "\":" + entry;
    header += end;
    std::string file;
    for (unsigned i = 0; i < 8; ++i) file += static_cast<char>(header.size() >> (8 * i) & 0xFF);
    return file + header;
  };
  const Workplace place;
  Costs costs;
  for (const std::string& file :
       {safetensors("{\"__metadata__\":{", "\"\"", "}}"),
        safetensors("{", R"({"dtype":"F32","shape":[0],"data_offsets":[0,0]})", "}")}) {
    write(place / "names.safetensors", file);
    const Ran ran = run_reel({"inspect", "names.safetensors"}, place.path());
    EXPECT_EQ(ran.code, 0) << ran.err;
    costs.add(ran);
  }
  costs.tell("names");
}

// A checkpoint is in memory once, beside the numbers of one tensor and what a small file takes.
TEST(Inspect, ACheckpointIsReadOnceToVerifyIt) {
  const Workplace place;
  const Ran trained = run_reel({"train", "classifier", "--data", "iris", "--hidden", "1000,1000,1000,1000",
                                "--epochs", "1", "--batch", "100", "--out", "run"},
                               place.path());
  ASSERT_EQ(trained.code, 0) << trained.err;
  const std::string path = place / "run/checkpoint.safetensors";
  const auto size = static_cast<std::int64_t>(std::filesystem::file_size(path));
  ASSERT_GT(size, std::int64_t{30} << 20);
  const auto takes_little = [&](const Ran& ran) {
    if (memory_is_its_own) {
      EXPECT_LT(ran.peak_bytes, size / 10 * 18);
    }
  };
  const Ran good = run_reel({"inspect", path}, place.path());
  EXPECT_EQ(good.code, 0) << good.err;
  EXPECT_THAT(good.out, testing::HasSubstr("kind  checkpoint"));
  takes_little(good);
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary).seekp(size - 1).put('\x7F');
  for (const auto& words : {std::vector<std::string>{"inspect", path}, {"evaluate", "--model", path}}) {
    const Ran damaged = run_reel(words, place.path());
    EXPECT_EQ(damaged.code, 4);
    EXPECT_EQ(damaged.err, "reel: " + path + ": the checksum does not match: the file is damaged\n");
    takes_little(damaged);
  }
}

TEST(InspectCorpus, HasManyFilesOfBothKinds) {
  std::int64_t good = 0, bad = 0;
  for (const Reader& reader : readers) {
    for (const CorpusCase& c : cases_of(reader)) ++(is_good(c) ? good : bad);
  }
  EXPECT_GE(good, 60);
  EXPECT_GE(bad, 400);
}

}  // namespace
}  // namespace reel::examples
