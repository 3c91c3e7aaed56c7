#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <sstream>

#include "nn/safetensors.h"
#include "nn/sha256.h"
#include "tests/examples/program.h"
#include "tests/support/sanitizer.h"

// What the program must not do to its user: break what is not its own, trust what a file says of itself, or
// pass off as good what is not.

namespace reel::examples {
namespace {

using testing::AnyOf;
using testing::HasSubstr;
using testing::Not;
using Json = nlohmann::ordered_json;

class Refusals : public testing::Test {
 protected:
  Workplace place;
  Ran reel(const std::vector<std::string>& words) { return run_reel(words, place.path()); }

  // The best model of a short run, with another configuration: nothing but its own words vouches for it.
  void forge(const std::string& from, const std::string& to, const std::function<void(Json&)>& change) {
    const nn::Safetensors file = nn::Safetensors::read(place / from);
    nn::SafetensorsWriter writer;
    for (const nn::SafetensorsEntry& e : file.entries()) writer.add(e.name, e.dtype, e.shape, e.bytes);
    Json config = Json::parse(file.metadata().at("config"));
    change(config);
    writer.metadata("format", "reel-model");
    writer.metadata("config", config.dump());
    writer.write(place / to);
  }
  void refused_as_model(const std::vector<std::string>& words, const std::string& reason) {
    const Ran ran = reel(words);
    EXPECT_EQ(ran.code, 4) << ran.err;
    EXPECT_EQ(ran.out, "");
    EXPECT_THAT(ran.err, HasSubstr("forged.safetensors"));
    EXPECT_THAT(ran.err, HasSubstr(reason));
  }
};

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

TEST_F(Refusals, APageIsNotWrittenOverAModel) {
  write(place / "model", "weights");
  const Ran ran = reel({"attention", "--html", "model"});
  EXPECT_EQ(ran.code, 2) << ran.err;
  EXPECT_THAT(ran.err, HasSubstr("--html: model is there already and is no page; give another name"));
  EXPECT_EQ(contents(place / "model"), "weights");
  EXPECT_EQ(reel({"attention", "--html", "page"}).code, 0);
  EXPECT_EQ(reel({"attention", "--html", "page"}).code, 0);  // over the page
}

TEST_F(Refusals, ARunGoesOnWithItsOwnLogAndSettings) {
  const auto train = [](const char* steps) {
    return std::vector<std::string>{"train", "--layers", "1",   "--heads", "1",   "--width",
                                    "8",     "--out",    "run", "--steps", steps, "--json"};
  };
  ASSERT_EQ(reel(train("2")).code, 0);
  const std::string log = contents(place / "run/log.jsonl");
  std::string other = log;
  other[0] = '#';
  std::string of_later_steps = log;
  of_later_steps.replace(of_later_steps.find("\"step\":1"), 8, "\"step\":9");
  const auto resume = [&] {
    auto words = train("4");
    words.push_back("--resume");
    return reel(words);
  };
  for (const std::string& wrong : {other, of_later_steps, std::string(log.size(), 'x')}) {
    write(place / "run/log.jsonl", wrong);
    const Ran ran = resume();
    EXPECT_EQ(ran.code, 4) << ran.err;
    EXPECT_THAT(ran.err, HasSubstr("run/log.jsonl:1: this line is not of the run of the checkpoint"));
    EXPECT_EQ(contents(place / "run/log.jsonl"), wrong);
  }
  write(place / "run/log.jsonl", log);
  write(place / "run/config.json", "of another program");
  EXPECT_EQ(resume().code, 0);
  EXPECT_EQ(Json::parse(contents(place / "run/config.json"))["steps"], 4);
  std::filesystem::remove(place / "run/checkpoint.safetensors");
  std::filesystem::remove(place / "run/checkpoint.previous.safetensors");
  const Ran again = resume();
  EXPECT_EQ(again.code, 0);
  EXPECT_THAT(again.err, HasSubstr("run holds no checkpoint yet: the run starts again from its beginning"));
}

// A header of 200,000 names takes more memory than the limits leave, each at another place.
TEST_F(Refusals, WithoutMemoryItEndsInWords) {
#if REEL_HAS_SANITIZER
  GTEST_SKIP() << "a sanitizer needs more address space than the limits leave";
#endif
  std::string header = "{";
  for (int i = 0; i < 200'000; ++i) {
    header += (i == 0 ? "\"t" : ",\"t") + std::to_string(i) +
              "\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}";
  }
  header += "}";
  std::string length(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) length[i] = static_cast<char>(header.size() >> (8 * i) & 0xFF);
  write(place / "m.safetensors", length + header);
  int without = 0;
  for (const int mebibytes : {60, 100, 110, 120, 130, 140, 160}) {
    const Ran ran = run_reel({"inspect", "m.safetensors"}, place.path(),
                             "prlimit --as=" + std::to_string(mebibytes << 20));
    EXPECT_TRUE(ran.code == 0 || ran.code == 1) << mebibytes << ": " << ran.code << ran.err;
    if (ran.code == 1) {
      EXPECT_THAT(ran.err, HasSubstr("reel: not enough memory")) << mebibytes;
    }
    without += ran.code;
  }
  EXPECT_GT(without, 0);
  const auto advice = [&](const std::vector<std::string>& words) {
    const Ran ran = run_reel(words, place.path(), "prlimit --as=1000000000");
    EXPECT_EQ(ran.code, 1) << ran.err;
    return ran.err;
  };
  EXPECT_EQ(advice({"train", "classifier", "--data", "iris", "--hidden", "100000,100000"}),
            "reel: not enough memory; a smaller --batch or --hidden needs less\n");
  EXPECT_EQ(advice({"train", "--width", "100000"}),
            "reel: not enough memory; a smaller --batch, --width, --context or --layers needs less\n");
}

TEST_F(Refusals, AModelWithoutNumbersIsNamed) {
  ASSERT_EQ(
      reel({"train", "--layers", "1", "--heads", "1", "--width", "8", "--steps", "2", "--out", "run"}).code,
      0);
  const nn::Safetensors file = nn::Safetensors::read(place / "run/best.safetensors");
  nn::SafetensorsWriter writer;
  for (const nn::SafetensorsEntry& e : file.entries()) {
    std::vector<std::byte> bytes(e.bytes.begin(), e.bytes.end());
    if (e.name == file.entries().front().name) std::fill_n(bytes.begin(), 4, std::byte{0xFF});  // NaN
    writer.add(e.name, e.dtype, e.shape, bytes);
  }
  writer.metadata("format", "reel-model");
  writer.metadata("config", file.metadata().at("config"));
  writer.write(place / "nan.safetensors");
  const Ran ran = reel({"generate", "--model", "nan.safetensors", "--prompt", "1+1="});
  std::filesystem::copy_file(place / "nan.safetensors", place / "n\x1b.safetensors");
  EXPECT_THAT(reel({"generate", "--model", "n\x1b.safetensors", "--prompt", "1+1="}).err,
              HasSubstr("reel: warning: n\\x1b.safetensors: "));
  EXPECT_THAT(ran.err, HasSubstr("reel: warning: nan.safetensors: "));
  EXPECT_THAT(ran.err, HasSubstr("; what the model says means nothing"));
}

TEST_F(Refusals, ARunWhoseLogIsLostSaysWhatToDo) {
  const std::vector<std::string> train = {"train", "--layers", "1", "--heads", "1",  "--width",
                                          "8",     "--steps",  "2", "--out",   "run"};
  ASSERT_EQ(reel(train).code, 0);
  std::filesystem::remove(place / "run/log.jsonl");
  auto again = train;
  again.push_back("--resume");
  const Ran ran = reel(again);
  EXPECT_EQ(ran.code, 4);
  EXPECT_THAT(ran.err, HasSubstr("run/log.jsonl: it has 0 bytes, the checkpoint was made at"));
  EXPECT_THAT(ran.err, HasSubstr("put the log of this run back, or train again with another --out"));
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

TEST_F(Refusals, ClassesAreToldApartByTheirNames) {
  std::ostringstream all, some, other;
  all << "x,y,class\n", some << "x,y,class\n", other << "x,y,class\n";
  for (int i = 0; i < 60; ++i) {
    const std::string row = std::to_string(i % 3) + "," + std::to_string(i % 3 * i % 3) + ".5,";
    all << row << "abc"[i % 3] << "\n";
    if (i % 3 > 0) some << row << "abc"[i % 3] << "\n";
    other << row << "xyz"[i % 3] << "\n";
  }
  write(place / "all.csv", all.str());
  write(place / "some.csv", some.str());
  write(place / "other.csv", other.str());
  const Ran trained = reel({"train", "classifier", "--data", "all.csv", "--batch", "8", "--epochs", "60",
                            "--out", "run", "--json"});
  ASSERT_EQ(trained.code, 0) << trained.err;
  ASSERT_EQ(trained.json()["test_accuracy"], 1.0);
  const Ran fewer =
      reel({"evaluate", "--model", "run/checkpoint.safetensors", "--data", "some.csv", "--json"});
  ASSERT_EQ(fewer.code, 0) << fewer.err;
  EXPECT_EQ(fewer.json()["test_accuracy"], 1.0);
  const Ran unknown = reel({"evaluate", "--model", "run/checkpoint.safetensors", "--data", "other.csv"});
  EXPECT_EQ(unknown.code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("the model knows no class \"x\", only a, b, c"));
}

TEST_F(Refusals, TheClassThatAModelDoesNotKnowIsOneOfTheFile) {
  const auto rows = [](const std::string& third) {
    std::string text;
    for (int i = 0; i < 60; ++i)
      text += std::to_string(i % 4) + ",5," + (i % 4 == 3 ? third : std::to_string(i % 4)) + "\n";
    return text;
  };
  write(place / "all.csv", rows("2"));
  write(place / "nine.csv", rows("9"));
  ASSERT_EQ(
      reel({"train", "classifier", "--data", "all.csv", "--epochs", "1", "--batch", "8", "--out", "run"})
          .code,
      0);
  const Ran ran = reel({"evaluate", "--model", "run/checkpoint.safetensors", "--data", "nine.csv"});
  EXPECT_EQ(ran.code, 2);
  EXPECT_THAT(ran.err, HasSubstr("nine.csv: the model knows no class \"9\", only 0, 1, 2"));
}

TEST_F(Refusals, ATextIsMeasuredUnlessTheModelDoesNotKnowAByteOfIt) {
  std::string text;
  for (int i = 0; i < 60; ++i) text += "the cat sat on the mat.\n";
  write(place / "cat.txt", text);
  ASSERT_EQ(reel({"train", "--data", "cat.txt", "--layers", "1", "--heads", "1", "--width", "8", "--context",
                  "8", "--steps", "2", "--out", "run"})
                .code,
            0);
  const auto measure = [&](const std::string& other) {
    write(place / "other.txt", other);
    return reel({"evaluate", "--model", "run/checkpoint.safetensors", "--data", "other.txt", "--json"});
  };
  std::string fewer;
  for (int i = 0; i < 20; ++i) fewer += "the cat sat ";
  const Ran fewer_bytes = measure(fewer);
  ASSERT_EQ(fewer_bytes.code, 0) << fewer_bytes.err;
  EXPECT_EQ(fewer_bytes.json()["same_data_as_training"], false);
  EXPECT_GT(fewer_bytes.json()["validation_loss"].get<double>(), 0.0);
  const Ran same = reel({"evaluate", "--model", "run/checkpoint.safetensors", "--json"});
  EXPECT_EQ(same.json()["same_data_as_training"], true);
  const Ran unknown = measure(fewer + "\x01");
  EXPECT_EQ(unknown.code, 3);
  EXPECT_THAT(unknown.err, HasSubstr("other.txt: byte 0x01 at position 240 never occurs"));
}

TEST_F(Refusals, AClassifiersConfigurationIsNotTrusted) {
  ASSERT_EQ(reel({"train", "classifier", "--data", "iris", "--epochs", "2", "--out", "run"}).code, 0);
  const std::vector<std::string> evaluate = {"evaluate", "--model", "forged.safetensors"};
  forge("run/best.safetensors", "forged.safetensors", [](Json& c) { c["hidden"] = {std::int64_t{1} << 40}; });
  refused_as_model(evaluate, "a layer of 1099511627776 cannot be in this file");
  forge("run/best.safetensors", "forged.safetensors", [](Json& c) { c["hidden"] = {-1}; });
  refused_as_model(evaluate, "\"hidden\" is -1, not a whole number of at least 1");
  forge("run/best.safetensors", "forged.safetensors", [](Json& c) {
    c["features"] = 3000;
    c["hidden"] = {3000, 3000};
  });
  refused_as_model(evaluate, "the weights of such sizes cannot be in this file");
  forge("run/best.safetensors", "forged.safetensors", [](Json& c) { c["deviation"] = Json::array(); });
  refused_as_model(evaluate, "\"deviation\" has another length than the features");
  forge("run/best.safetensors", "forged.safetensors", [](Json& c) { c["dropout"] = 2; });
  refused_as_model(evaluate, "\"dropout\" is 2, not at least 0 and less than 1");
  forge("run/best.safetensors", "forged.safetensors", [](Json& c) { c["data_digest"] = 7; });
  refused_as_model(evaluate, "\"data_digest\" is 7, not a text");
  forge("run/best.safetensors", "forged.safetensors", [](Json& c) { c["task"] = "poetry"; });
  refused_as_model(evaluate, "\"task\" is \"poetry\", not \"classifier\" or \"transformer\"");
  forge("run/best.safetensors", "forged.safetensors", [](Json& c) {
    Json deep = 1;
    for (int i = 0; i < 40; ++i) deep = Json::array({deep});
    c["more"] = deep;
  });
  refused_as_model(evaluate, "does not say of which model");
}

TEST_F(Refusals, AMessageIsNotAsLongAsAForgedName) {
  ASSERT_EQ(reel({"train", "classifier", "--data", "iris", "--epochs", "2", "--out", "run"}).code, 0);
  const std::string endless(100000, 'x');
  const std::string shown = endless.substr(0, 200) + "... (";
  const std::vector<std::string> evaluate = {"evaluate", "--model", "forged.safetensors"};
  for (const char* key : {"data", "labels", "label_column", "precision", "data_digest", "task", "seed"}) {
    forge("run/best.safetensors", "forged.safetensors", [&](Json& c) { c[key] = endless; });
    refused_as_model(evaluate, std::string(key) + "\" is ");
    EXPECT_LT(reel(evaluate).err.size(), 500u) << key;
  }
  forge("run/best.safetensors", "forged.safetensors", [&](Json& c) { c["classes"][1] = endless; });
  std::string rows;
  for (int i = 0; i < 60; ++i) rows += "1,2,3," + std::to_string(i % 5) + ",other\n";
  write(place / "other.csv", rows);
  auto other = evaluate;
  other.insert(other.end(), {"--data", "other.csv", "--split", "all"});
  EXPECT_THAT(reel(other).err, HasSubstr("the model knows no class \"other\", only setosa, " + shown +
                                         "100000 bytes), virginica"));
  write(place / "long.csv", "1,2,3,4,setosa\n1,2,3,4," + endless + "y\n");
  other[4] = "long.csv";
  EXPECT_THAT(reel(other).err,
              HasSubstr("the model knows no class \"" + shown + "100001 bytes)\", only setosa"));
}

TEST_F(Refusals, ATransformersConfigurationIsNotTrusted) {
  ASSERT_EQ(
      reel({"train", "--layers", "1", "--heads", "1", "--width", "8", "--steps", "2", "--out", "run"}).code,
      0);
  const std::vector<std::string> generate = {"generate", "--model", "forged.safetensors", "--prompt", "1+2="};
  forge("run/best.safetensors", "forged.safetensors",
        [](Json& c) { c["bytes"].erase(c["bytes"].size() - 1); });
  refused_as_model(generate, "for a vocabulary of");
  for (const char* size : {"layers", "width", "context"}) {
    forge("run/best.safetensors", "forged.safetensors",
          [&](Json& c) { c["model"][size] = std::int64_t{1} << 31; });
    refused_as_model(generate, std::string(size) + " of 2147483648 cannot be in this file");
  }
}

TEST_F(Refusals, EveryWordOfAConfigurationIsChecked) {
  ASSERT_EQ(reel({"train", "classifier", "--data", "iris", "--epochs", "2", "--out", "classifier"}).code, 0);
  ASSERT_EQ(
      reel({"train", "--layers", "1", "--heads", "1", "--width", "8", "--steps", "2", "--out", "model"}).code,
      0);
  // Wrong for every key; nothing stands for a key that is missing.
  const std::vector<std::optional<Json>> wrong = {std::nullopt, Json(), Json(-1.5), Json::object(),
                                                  Json::array({nullptr})};
  const auto every_key = [&](const std::string& run, const std::vector<std::string>& keys, bool of_model,
                             const std::vector<std::string>& words) {
    for (const std::string& key : keys) {
      for (const auto& value : wrong) {
        forge(run + "/best.safetensors", "forged.safetensors", [&](Json& c) {
          Json& part = of_model ? c["model"] : c;
          ASSERT_TRUE(part.contains(key));
          part.erase(key);
          if (value) part[key] = *value;
        });
        const Ran ran = reel(words);
        EXPECT_EQ(ran.code, 4) << key << ": " << (value ? value->dump() : "missing") << "\n" << ran.err;
        EXPECT_EQ(ran.err.rfind("reel: forged.safetensors: ", 0), 0u) << ran.err;
        // An object where the sizes of the model stand lacks the first of them.
        EXPECT_THAT(ran.err, HasSubstr(key == "task"    ? "does not say of which model"
                                       : key == "model" ? "\"model"
                                                        : key + "\" is "));
        EXPECT_THAT(ran.err,
                    HasSubstr(key == "task" ? "; use a file that" : "; train again, or use another"));
      }
    }
  };
  every_key("classifier",
            {"task", "data", "labels", "label_column", "test_fraction", "hidden", "dropout", "seed",
             "features", "classes", "mean", "deviation"},
            false, {"evaluate", "--model", "forged.safetensors"});
  const std::vector<std::string> generate = {"generate", "--model", "forged.safetensors", "--prompt", "1+2="};
  every_key("model", {"task", "data", "bytes", "model", "seed"}, false, generate);
  every_key("model",
            {"vocabulary", "context", "layers", "heads", "width", "dropout", "bias", "tie_head", "rotary",
             "swiglu"},
            true, generate);
}

TEST_F(Refusals, WhatACheckpointNotesIsChecked) {
  std::vector<std::string> train = {"train", "classifier", "--data", "iris", "--epochs", "2", "--out", "run"};
  ASSERT_EQ(reel(train).code, 0);
  train.push_back("--resume");
  const std::string path = place / "run/checkpoint.safetensors";
  const nn::Safetensors file = nn::Safetensors::read(path);
  // With a checksum that is right again.
  const auto forge_note = [&](const std::string& key, const std::string& value) {
    nn::SafetensorsWriter writer;
    for (const nn::SafetensorsEntry& e : file.entries()) writer.add(e.name, e.dtype, e.shape, e.bytes);
    for (const auto& [name, text] : file.metadata()) writer.metadata(name, name == key ? value : text);
    const std::string old = file.metadata().at("checksum");
    std::string bytes = writer.bytes();
    const std::size_t at = bytes.find(old);
    bytes.replace(at, old.size(), std::string(old.size(), '0'));
    const std::string right = nn::sha256_hex(bytes);
    write(path, bytes.replace(at, right.size(), right));
  };
  for (const char* key : {"log_bytes", "average_sum", "average_weight", "best"}) {
    for (const char* value : {"", "x", "{}", "[1]", "true"}) {
      forge_note(std::string("note.") + key, value);
      const Ran ran = reel(train);
      EXPECT_EQ(ran.code, 4) << key << ": " << value << "\n" << ran.err;
      EXPECT_THAT(ran.err, HasSubstr("run/checkpoint.safetensors: its configuration is damaged: \"" +
                                     std::string(key) + "\" is "));
    }
  }
  for (const char* key : {"hidden", "seed", "data", "classes"}) {
    Json config = Json::parse(file.metadata().at("note.config"));
    config[key] = nullptr;
    forge_note("note.config", config.dump());
    const Ran ran = reel(train);
    EXPECT_EQ(ran.code, 4) << key << "\n" << ran.err;
    EXPECT_THAT(ran.err, HasSubstr(std::string(key) + "\" is of type null, which no run writes there"));
  }
  forge_note("note.best", file.metadata().at("note.best"));
  EXPECT_EQ(reel(train).code, 0);
}

TEST_F(Refusals, ARunThatWentWrongSaysSoAndPromisesNoCheckpointThatIsNotThere) {
  const Ran classifier = reel(
      {"train", "classifier", "--data", "iris", "--epochs", "1", "--lr", "1e30", "--out", "a", "--json"});
  EXPECT_EQ(classifier.code, 6) << classifier.out;
  EXPECT_EQ(classifier.out, "");
  const Ran early = reel({"train", "--layers", "1", "--heads", "1", "--width", "8", "--steps", "100", "--lr",
                          "1e38", "--out", "b"});
  EXPECT_EQ(early.code, 6);
  EXPECT_THAT(early.err, HasSubstr("no checkpoint had been saved"));
  EXPECT_FALSE(std::filesystem::exists(place / "b/checkpoint.safetensors"));
  EXPECT_THAT(early.err, HasSubstr("a smaller --lr usually helps"));
  const Ran decay = reel({"train", "classifier", "--data", "iris", "--epochs", "100", "--weight-decay",
                          "2147483648", "--out", "c"});
  EXPECT_EQ(decay.code, 6);
  EXPECT_THAT(decay.err, HasSubstr("a smaller --weight-decay helps: times --lr it takes more than a whole "
                                   "weight away per step; "));
  EXPECT_THAT(decay.err, Not(HasSubstr("a smaller --lr")));
}

TEST_F(Refusals, LabelsThatAreNoClassesAreRefusedBeforeTheyCostMemory) {
  std::string csv = "x,class\n";
  for (int i = 0; i < 60; ++i) csv += std::to_string(i % 7) + (i % 2 == 0 ? ",0\n" : ",199999\n");
  write(place / "ids.csv", csv);
  const Ran ran = reel({"train", "classifier", "--data", "ids.csv", "--out", "run"});
  EXPECT_EQ(ran.code, 3);
  EXPECT_THAT(ran.err, HasSubstr("ids.csv: its labels are of 200000 classes, but it has only 60 rows"));
  EXPECT_FALSE(std::filesystem::exists(place / "run"));
}

TEST_F(Refusals, LabelsOfImagesWithGapsAreToldHowToBeNumbered) {
  write(place / "images.idx", std::string("\0\0\x08\x02\0\0\0\x04\0\0\0\x01"
                                          "abcd",
                                          16));
  write(place / "labels.idx", std::string("\0\0\x08\x01\0\0\0\x04\0\xFF\0\xFF", 12));
  const Ran ran = reel({"train", "classifier", "--data", "images.idx", "--labels", "labels.idx"});
  EXPECT_EQ(ran.code, 3);
  EXPECT_EQ(ran.err,
            "reel: images.idx: its labels are of 256 classes, but it has only 4 images; there are as many "
            "classes as the largest label says: number them 0, 1, 2 and so on in the file of the labels\n");
}

TEST_F(Refusals, AGzippedTableIsNotTakenForImages) {
  const std::string table(  // two lines: 1,2,0 and 3,4,1
      "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\x33\xd4\x31\xd2\x31\xe0\x32\xd6\x31\xd1"
      "\x31\xe4\x02\x00\x4d\x07\xe8\xbf\x0c\x00\x00\x00",
      32);
  for (const std::string name : {"x.csv.gz", "x.csv", "a table.gz"}) {
    write(place / name, table);
    const std::string reason = name + ": it is compressed with gzip, in which only IDX files are read; ";
    const std::string how = name == "x.csv.gz" ? "gzip -dc x.csv.gz > x.csv"
                            : name == "x.csv"  ? "gzip -dc x.csv > x.csv.unpacked"
                                               : "gzip -dc 'a table.gz' > 'a table'";
    for (const std::vector<std::string>& words :
         {std::vector<std::string>{"train", "classifier", "--data", name}, {"inspect", name}}) {
      const Ran ran = reel(words);
      EXPECT_EQ(ran.code, 3);
      EXPECT_EQ(ran.out, "");
      EXPECT_EQ(ran.err, "reel: " + reason + "unpack it first: " + how + "\n");
    }
  }
  ASSERT_EQ(std::system(("cd '" + place.path() + "' && gzip -dc x.csv.gz > x.csv").c_str()), 0);
  EXPECT_EQ(reel({"inspect", "x.csv", "--json"}).json()["samples"], 2);
}

TEST_F(Refusals, ARunGoesOnOnlyWithTheDataThatItBeganWith) {
  const std::string text = "one for sorrow, two for joy, three for a girl, four for a boy; ";
  write(place / "book.txt", text + text + text);
  const std::vector<std::string> train = {"train",   "transformer", "--data",  "book.txt", "--layers",  "1",
                                          "--heads", "1",           "--width", "8",        "--context", "8",
                                          "--batch", "2",           "--out",   "run"};
  auto first = train;
  first.insert(first.end(), {"--steps", "4"});
  ASSERT_EQ(reel(first).code, 0);
  auto further = train;
  further.insert(further.end(), {"--steps", "6", "--resume"});
  write(place / "book.txt", std::string(text.rbegin(), text.rend()) + text + text);
  const Ran changed = reel(further);
  EXPECT_EQ(changed.code, 2);
  EXPECT_THAT(changed.err, HasSubstr("the data has changed"));
  EXPECT_THAT(changed.err, Not(HasSubstr("--data-digest")));
  write(place / "book.txt", text + text + text);
  EXPECT_EQ(reel(further).code, 0);
}

TEST_F(Refusals, AModelIsNotMeasuredOnOtherDataInSilence) {
  const auto evaluate = [&](const std::string& run, const std::vector<std::string>& more) {
    std::vector<std::string> words = {"evaluate", "--model", run + "/checkpoint.safetensors", "--json"};
    words.insert(words.end(), more.begin(), more.end());
    const Ran ran = reel(words);
    EXPECT_EQ(ran.code, 0) << ran.err;
    return ran;
  };
  const auto same = [](const Ran& ran) {
    EXPECT_EQ(ran.err, "");
    EXPECT_EQ(ran.json()["same_data_as_training"], true);
  };
  const auto other = [](const Ran& ran, const std::string& name) {
    EXPECT_THAT(ran.err, HasSubstr("reel: note: " + name + " is not what the model was trained on"));
    EXPECT_EQ(ran.json()["same_data_as_training"], false);
  };
  const auto points = [](int count) {
    std::string csv = "x,y,class\n";
    for (int i = 0; i < count; ++i)
      csv += std::to_string(i % 7) + "," + std::to_string(i) + "," + std::to_string(i % 2) + "\n";
    return csv;
  };
  write(place / "points.csv", points(60));
  ASSERT_EQ(reel({"train", "classifier", "--data", "points.csv", "--batch", "8", "--epochs", "1", "--out",
                  "classifier"})
                .code,
            0);
  same(evaluate("classifier", {}));
  std::filesystem::copy_file(place / "points.csv", place / "copy.csv");
  same(evaluate("classifier", {"--data", "copy.csv"}));
  write(place / "more\x1b.csv", points(61));
  other(evaluate("classifier", {"--data", "more\x1b.csv"}), "more\\x1b.csv");
  write(place / "points.csv", points(61));
  other(evaluate("classifier", {}), "points.csv");
  forge("classifier/best.safetensors", "classifier/checkpoint.safetensors",
        [](Json& c) { c.erase("data_digest"); });
  EXPECT_TRUE(evaluate("classifier", {}).json()["same_data_as_training"].is_null());

  const std::string text = "one for sorrow, two for joy, three for a girl, four for a boy; ";
  write(place / "book.txt", text + text);
  ASSERT_EQ(reel({"train", "transformer", "--data", "book.txt", "--layers", "1", "--heads", "1", "--width",
                  "8", "--context", "8", "--batch", "2", "--steps", "2", "--out", "text"})
                .code,
            0);
  same(evaluate("text", {}));
  write(place / "book.txt", text + text + text);
  other(evaluate("text", {"--data", "book.txt"}), "book.txt");

  ASSERT_EQ(
      reel({"train", "--layers", "1", "--heads", "1", "--width", "8", "--steps", "2", "--out", "sums"}).code,
      0);
  same(evaluate("sums", {}));
}

}  // namespace
}  // namespace reel::examples
