#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "tests/examples/program.h"
#include "tests/examples/refusals.h"

// Which data a model is trained on and measured on: other data, and other classes, are not taken in silence.

namespace reel::examples {
namespace {

using testing::HasSubstr;
using Json = nlohmann::ordered_json;

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

TEST_F(Refusals, AGzippedTableIsNotTakenForImagesNorForText) {
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
  // A Transformer, too, would learn the packed bytes, or not know them.
  write(place / "plain.txt", std::string(100, '1') + ",2\n");
  ASSERT_EQ(reel({"train", "--data", "plain.txt", "--layers", "1", "--heads", "1", "--width", "8",
                  "--context", "8", "--steps", "2", "--out", "text"})
                .code,
            0);
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"train", "transformer", "--data", "x.csv.gz", "--context", "8"},
        {"evaluate", "--model", "text/checkpoint.safetensors", "--data", "x.csv.gz"}}) {
    const Ran ran = reel(words);
    EXPECT_EQ(ran.code, 3);
    EXPECT_EQ(ran.out, "");
    EXPECT_EQ(ran.err,
              "reel: x.csv.gz: it is compressed with gzip, in which only IDX files are read; unpack it "
              "first: gzip -dc x.csv.gz > x.csv\n");
  }
  EXPECT_FALSE(std::filesystem::exists(place / "runs"));
  ASSERT_EQ(std::system(("cd '" + place.path() + "' && gzip -dc x.csv.gz > x.csv").c_str()), 0);
  EXPECT_EQ(reel({"inspect", "x.csv", "--json"}).json()["samples"], 2);
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
