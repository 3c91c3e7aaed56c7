#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "nn/safetensors.h"
#include "tests/examples/program.h"
#include "tests/examples/refusals.h"

// Where the program writes, and what it is told to read: it breaks nothing that is not its own, and names
// play no tricks in its messages.

namespace reel::examples {
namespace {

using testing::AnyOf;
using testing::HasSubstr;
using testing::Not;

TEST_F(Refusals, AFileIsNotPutInThePlaceOfADevice) {
  ASSERT_EQ(::mkfifo((place / "pipe").c_str(), 0600), 0);
  std::filesystem::create_symlink("/dev/null", place / "link");
  for (const char* name : {"pipe", "link"}) {
    const Ran ran = reel({"attention", "--html", name});
    EXPECT_EQ(ran.code, 5) << ran.err;
    EXPECT_THAT(ran.err, HasSubstr(std::string(name) + ": cannot write: what stands there is not a file"));
  }
  EXPECT_TRUE(std::filesystem::is_fifo(place / "pipe"));
  EXPECT_TRUE(std::filesystem::is_symlink(place / "link"));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(place.path()), {}), 2);
}

// Not in lines of its own, which could say anything in the program's name.
TEST_F(Refusals, ANameWithALineEndStaysInItsLine) {
  const std::string name = "no\nreel: fake error";
  const auto says = [&](const std::vector<std::string>& words, int code, const std::string& what) {
    const Ran ran = reel(words);
    EXPECT_EQ(ran.code, code) << ran.err;
    EXPECT_EQ(ran.out, "");
    EXPECT_THAT(ran.err, HasSubstr("no\\x0areel: fake error" + what));
    EXPECT_THAT(ran.err, Not(HasSubstr(name)));
  };
  for (const char* verb : {"evaluate", "generate"}) says({verb, "--model", name}, 5, ": cannot open: ");
  says({"attention", "--model", name, "--prompt", "a"}, 5, ": cannot open: ");
  says({"inspect", name}, 5, ": cannot be opened: ");
  says({"autopsy", name}, 5, ": there is no autopsy in it");
  says({"bench", "--case", name}, 2, ": the cases are ");
  write(place / name, "no weights");
  says({"evaluate", "--model", name}, 4, ": ");
  says({"train", "--out", name}, 5, ": ");
}

TEST_F(Refusals, AFileOfSomethingElseIsLeftAlone) {
  for (const std::string name : {"config.json", "best.safetensors", "report.html"}) {
    std::filesystem::remove_all(place / "run");
    std::filesystem::create_directory(place / "run");
    write(place / ("run/" + name), "of another program");
    const Ran ran = reel({"train", "--steps", "2", "--out", "run"});
    EXPECT_EQ(ran.code, 2) << ran.err;
    EXPECT_THAT(ran.err,
                HasSubstr("run: it holds a " + name + ", but no run that it could be of; choose another"));
    EXPECT_THAT(ran.err, Not(HasSubstr("--resume")));
    const Ran resumed = reel({"train", "--steps", "2", "--out", "run", "--resume"});
    EXPECT_EQ(resumed.code, 2) << resumed.err;
    EXPECT_THAT(resumed.err, HasSubstr("there is no run to resume"));
    EXPECT_EQ(contents(place / ("run/" + name)), "of another program");
  }
}

TEST_F(Refusals, WhatLooksLikeALockOrAHalfWrittenFileButIsNotReelsStays) {
  const auto train = [&] {
    return reel({"train", "--layers", "1", "--heads", "1", "--width", "8", "--steps", "2", "--out", "run"});
  };
  std::filesystem::create_directory(place / "run");
  write(place / "run/.thesis.tmp.2024", "chapter one");
  write(place / "run/.lock", "of another program");
  const Ran locked = train();
  EXPECT_EQ(locked.code, 5) << locked.err;
  EXPECT_THAT(locked.err, HasSubstr("run/.lock: it is not the lock of a run"));
  EXPECT_EQ(contents(place / "run/.lock"), "of another program");
  std::filesystem::remove(place / "run/.lock");
  write(place / "run/.config.json.tmp.2024", "of a run that was killed");
  EXPECT_EQ(train().code, 0);
  EXPECT_EQ(contents(place / "run/.thesis.tmp.2024"), "chapter one");
  EXPECT_FALSE(std::filesystem::exists(place / "run/.config.json.tmp.2024"));
}

TEST_F(Refusals, WhatStandsWhereARunNeedsADirectoryIsNamed) {
  write(place / "file", "mine");
  ASSERT_EQ(::mkfifo((place / "pipe").c_str(), 0600), 0);
  std::filesystem::create_symlink("nowhere", place / "link");
  for (const auto& [name, what] : {std::pair("file", "a file"), std::pair("pipe", "a pipe or a device"),
                                   std::pair("/dev/null", "a pipe or a device"),
                                   std::pair("link", "a link that leads to no directory")}) {
    const Ran ran = reel({"train", "--steps", "2", "--out", name});
    EXPECT_EQ(ran.code, 5);
    EXPECT_EQ(ran.err, std::string("reel: ") + name + ": it is " + what +
                           ", and a run needs a directory; choose another --out\n");
  }
}

TEST_F(Refusals, ARunThatIsNamedForAModelSaysWhichFileIsMeant) {
  train_on_text("run");
  const Ran ran = reel({"generate", "--model", "run"});
  EXPECT_EQ(ran.code, 5);
  EXPECT_EQ(ran.err,
            "reel: run: it is the directory of a run; name a model in it, as run/checkpoint.safetensors\n");
}

TEST_F(Refusals, APageIsNotWrittenOverAModel) {
  write(place / "model", "weights");
  const Ran ran = reel({"attention", "--html", "model"});
  EXPECT_EQ(ran.code, 2) << ran.err;
  EXPECT_THAT(ran.err, HasSubstr("--html: model is there already and is no page; give another name"));
  EXPECT_EQ(contents(place / "model"), "weights");
  EXPECT_EQ(reel({"attention", "--html", "page"}).code, 0);
  EXPECT_EQ(reel({"attention", "--html", "page"}).code, 0);  // over the page
}

TEST_F(Refusals, ALogThatIsAPipeIsRefusedAndNotWaitedFor) {
  std::filesystem::create_directory(place / "run");
  ASSERT_EQ(::mkfifo((place / "run/log.jsonl").c_str(), 0600), 0);
  const Ran ran = run_reel({"train", "--steps", "2", "--out", "run", "--resume"}, place.path(), "timeout 60");
  EXPECT_EQ(ran.code, 5) << ran.err;
  EXPECT_THAT(ran.err, HasSubstr("run/log.jsonl: it is not a regular file (a pipe or a device); remove it"));
}

TEST_F(Refusals, ANameThatCannotBeLookedUpIsTheSystemsRefusal) {
  std::filesystem::create_symlink("circle", place / "circle");
  const std::string endless(300, 'x');
  for (const auto& [name, reason] : {std::pair(std::string("circle"), "Too many levels of symbolic links"),
                                     std::pair(endless, "File name too long")}) {
    for (const std::vector<std::string>& words :
         {std::vector<std::string>{"train", "--out", name}, std::vector<std::string>{"train", "--data", name},
          std::vector<std::string>{"train", "classifier", "--data", name}}) {
      const Ran ran = reel(words);
      EXPECT_EQ(ran.code, 5) << ran.err;
      EXPECT_THAT(ran.err, HasSubstr("reel: " + name));
      EXPECT_THAT(ran.err,
                  HasSubstr(std::string(": cannot be looked up: ") + reason + "; give another path"));
    }
  }
}

TEST_F(Refusals, NamesPlayNoTricksOnATerminal) {
  const std::string trick = "a\x1b[2J\xc2\x9b\x07\xe2\x80\xaez";
  const std::string shown = "a\\x1b[2J\\xc2\\x9b\\x07\\xe2\\x80\\xaez";
  nn::SafetensorsWriter writer;
  const std::int64_t one[] = {1};
  const float value[] = {1};
  writer.add<float>(trick, one, value);
  writer.metadata(trick, trick);
  writer.write(place / (trick + ".safetensors"));
  const Ran inspected = reel({"inspect", trick + ".safetensors"});
  EXPECT_EQ(inspected.code, 0) << inspected.err;
  EXPECT_THAT(inspected.out, HasSubstr("file  " + shown + ".safetensors\n"));
  EXPECT_THAT(inspected.out, HasSubstr("  " + shown + "  " + shown + "\n"));
  EXPECT_THAT(inspected.out, HasSubstr("  " + shown + " "));
  std::string csv = "x,class\n";
  for (int i = 0; i < 20; ++i) csv += std::to_string(i) + "," + trick + (i % 2 == 0 ? "1\n" : "2\n");
  write(place / "t.csv", csv);
  const Ran trained =
      reel({"train", "classifier", "--data", "t.csv", "--batch", "4", "--epochs", "1", "--out", trick});
  EXPECT_THAT(trained.out, HasSubstr(shown + "1"));
  EXPECT_THAT(trained.out, HasSubstr("checkpoint     " + shown + "/"));
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"inspect", trick}, std::vector<std::string>{trick},
        std::vector<std::string>{"train", "--steps", trick},
        std::vector<std::string>{"train", "--data", trick},
        std::vector<std::string>{"generate", "--model", trick}}) {
    const Ran ran = reel(words);
    EXPECT_NE(ran.code, 0);
    EXPECT_THAT(ran.err, HasSubstr(shown));
    EXPECT_THAT(ran.err, Not(AnyOf(HasSubstr("\x1b"), HasSubstr("\xe2\x80\xae"))));
  }
  EXPECT_THAT(trained.out + trained.err + inspected.out,
              Not(AnyOf(HasSubstr("\x1b"), HasSubstr("\xe2\x80\xae"))));
}

TEST_F(Refusals, NamesThatNoJsonCanHoldAreRefusedBeforeAnyWork) {
  const std::string name = "na\xefve.csv";
  std::filesystem::copy_file(REEL_SOURCE_DIR "/data/iris.csv", place / name);
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"train", "classifier", "--data", name},
        std::vector<std::string>{"train", "classifier", "--data", "iris", "--out", name},
        std::vector<std::string>{"train", "--data", name}, std::vector<std::string>{"train", "--out", name},
        std::vector<std::string>{"evaluate", "--model", "none", "--data", name}}) {
    const Ran ran = reel(words);
    EXPECT_EQ(ran.code, 2) << ran.err;
    EXPECT_THAT(ran.err, HasSubstr(": must be UTF-8, as the run's files are, not na\\xefve.csv; rename it"));
  }
  EXPECT_FALSE(std::filesystem::exists(place / "runs"));
  EXPECT_EQ(reel({"inspect", name, "--json"}).json()["kind"], "csv");
}

}  // namespace
}  // namespace reel::examples
