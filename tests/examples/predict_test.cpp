#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tests/examples/refusals.h"

// `reel predict`: new samples in, classes out.

namespace reel::examples {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
using Json = nlohmann::ordered_json;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

class Predict : public Refusals {
 protected:
  // A model of iris, run/best.safetensors.
  void SetUp() override {
    const Ran ran =
        reel({"train", "classifier", "--data", "iris", "--out", "run", "--json", "--progress", "none"});
    ASSERT_EQ(ran.code, 0) << ran.err;
  }
  Ran predict(std::vector<std::string> more) {
    more.insert(more.begin(), {"predict", "--model", model});
    return reel(more);
  }
  // Iris as a file of its own, with and without its classes; from scikit-learn's file, whose first line
  // counts the samples.
  static std::string iris(bool classes) {
    std::string text = classes ? "sepal length,sepal width,petal length,petal width,species\n"
                               : "sepal length,sepal width,petal length,petal width\n";
    const std::vector<std::string> lines = lines_of(contents(REEL_SOURCE_DIR "/data/iris.csv"));
    for (std::size_t i = 1; i < lines.size(); ++i)
      text += (classes ? lines[i] : lines[i].substr(0, lines[i].rfind(','))) + "\n";
    return text;
  }
  std::string model = "run/best.safetensors";
};

// Counted by hand, its classes have to be those that evaluate counted.
TEST_F(Predict, FindsTheClassesThatEvaluateCounts) {
  write(place / "new.csv", iris(false));
  const Ran ran = predict({"--data", "new.csv"});
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.err, "");
  const std::vector<std::string> lines = lines_of(ran.out);
  ASSERT_EQ(lines.size(), 151U);
  EXPECT_EQ(lines[0], "class,probability");
  const std::vector<std::string> known = lines_of(iris(true));
  const std::map<std::string, std::size_t> number = {{"setosa", 0}, {"versicolor", 1}, {"virginica", 2}};
  std::vector<std::vector<int>> confusion(3, std::vector<int>(3));
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const std::size_t comma = lines[i].find(',');
    const double probability = std::stod(lines[i].substr(comma + 1));
    EXPECT_GE(probability, 1.0 / 3);
    EXPECT_LE(probability, 1);
    const auto truth = static_cast<std::size_t>(known[i].back() - '0');
    ++confusion[truth][number.at(lines[i].substr(0, comma))];
  }
  const Json measured = Json::parse(reel({"evaluate", "--model", model, "--split", "all", "--json"}).out);
  EXPECT_EQ(Json(confusion), measured["confusion"]);
}

// The loss is the mean of -ln p of the true class, which evaluate computes in another way.
TEST_F(Predict, ItsProbabilitiesAreThoseOfTheLoss) {
  write(place / "new.csv", iris(false));
  const Ran ran = predict({"--data", "new.csv", "--probabilities", "--json"});
  ASSERT_EQ(ran.code, 0) << ran.err;
  const Json json = Json::parse(ran.out);
  EXPECT_EQ(keys(json), (std::set<std::string>{"task", "data", "samples", "classes", "predictions"}));
  EXPECT_EQ(json["task"], "classifier");
  EXPECT_EQ(json["data"], "new.csv");
  EXPECT_EQ(json["samples"], 150);
  EXPECT_EQ(json["classes"], Json({"setosa", "versicolor", "virginica"}));
  ASSERT_EQ(json["predictions"].size(), 150U);
  const std::vector<std::string> known = lines_of(iris(true));
  double loss = 0;
  for (std::size_t i = 0; i < 150; ++i) {
    const Json& one = json["predictions"][i];
    EXPECT_EQ(keys(one), (std::set<std::string>{"class", "probability", "probabilities"}));
    const auto p = one["probabilities"].get<std::vector<double>>();
    ASSERT_EQ(p.size(), 3U);
    EXPECT_NEAR(p[0] + p[1] + p[2], 1, 1e-6);
    const auto most = static_cast<std::size_t>(std::max_element(p.begin(), p.end()) - p.begin());
    EXPECT_EQ(one["probability"], p[most]);
    EXPECT_EQ(one["class"], json["classes"][most]);
    loss -= std::log(p[static_cast<std::size_t>(known[i + 1].back() - '0')]);
  }
  const Json measured = Json::parse(reel({"evaluate", "--model", model, "--split", "all", "--json"}).out);
  EXPECT_NEAR(loss / 150, measured["test_loss"].get<double>(), 1e-6);
  EXPECT_EQ(keys(Json::parse(predict({"--data", "new.csv", "--json"}).out)["predictions"][0]),
            (std::set<std::string>{"class", "probability"}));
}

TEST_F(Predict, TakesASampleForTheSameAloneAndAmongOthers) {
  write(place / "new.csv", iris(false));
  const std::vector<std::string> all = lines_of(predict({"--data", "new.csv", "--probabilities"}).out);
  EXPECT_EQ(all[0], "class,probability,probability:setosa,probability:versicolor,probability:virginica");
  const std::vector<std::string> samples = lines_of(iris(false));
  for (const std::size_t i : {1U, 77U, 150U}) {
    write(place / "one.csv", samples[i] + "\n");  // no header: that it is numbers is enough
    const Ran ran = predict({"--data", "one.csv", "--probabilities"});
    EXPECT_EQ(lines_of(ran.out), (std::vector<std::string>{all[0], all[i]})) << ran.err;
  }
  for (const std::string threads : {"1", "3"})
    EXPECT_EQ(lines_of(predict({"--data", "new.csv", "--probabilities", "--threads", threads}).out), all);
}

// More than one batch of rows goes through the model at a time.
TEST_F(Predict, KeepsTheOrderOfManySamples) {
  const std::vector<std::string> samples = lines_of(iris(false));
  std::string many;
  for (std::size_t i = 0; i < 1300; ++i) many += samples[1 + i * 7 % 150] + "\n";
  write(place / "new.csv", iris(false));
  write(place / "many.csv", many);
  const std::vector<std::string> all = lines_of(predict({"--data", "new.csv"}).out);
  const std::vector<std::string> found = lines_of(predict({"--data", "many.csv"}).out);
  ASSERT_EQ(found.size(), 1301U);
  for (std::size_t i = 0; i < 1300; ++i) EXPECT_EQ(found[1 + i], all[1 + i * 7 % 150]) << i;
}

TEST_F(Predict, PassesOverTheColumnOfTheClass) {
  write(place / "new.csv", iris(false));
  write(place / "known.csv", iris(true));
  const std::string expected = predict({"--data", "new.csv"}).out;
  EXPECT_EQ(predict({"--data", "known.csv", "--label-column", "species"}).out, expected);
  EXPECT_EQ(predict({"--data", "known.csv", "--label-column", "4"}).out, expected);
  EXPECT_EQ(predict({"--data", "iris"}).out, expected);
  std::string named;
  const std::vector<std::string> lines = lines_of(iris(false));
  for (std::size_t i = 1; i <= 150; ++i) named += "unknown," + lines[i] + "\n";
  write(place / "named.csv", named);
  EXPECT_EQ(predict({"--data", "named.csv", "--label-column", "0"}).out, expected);
  EXPECT_THAT(
      predict({"--data", "named.csv"}).err,
      HasSubstr("named.csv:1:1: \"unknown\" is not a number; leave the line out, or pass the column over "
                "with --ignore-columns"));
  const Ran unsaid = predict({"--data", "known.csv"});
  EXPECT_EQ(unsaid.code, 3);
  EXPECT_EQ(unsaid.out, "");
  EXPECT_THAT(unsaid.err, HasSubstr("known.csv: it has 5 features, but the model learned from 4; if one "
                                    "column is the class, --label-column passes it over"));
}

TEST_F(Predict, AndEvaluatePassOverWhatTrainingIgnored) {
  // An id that tells the class, and a text.
  const std::vector<std::string> lines = lines_of(iris(true));
  std::string bare;
  for (std::size_t i = 1; i < lines.size(); ++i)
    bare += std::to_string(i) + ",\"flower, " + std::to_string(i) + "\"," + lines[i] + "\n";
  write(place / "bare.csv", bare);
  write(place / "known.csv", "id,text," + lines[0] + "\n" + bare);
  write(place / "plain.csv", iris(true));
  const auto train = [&](const std::string& data, const std::string& to, const std::string& ignored) {
    std::vector<std::string> words = {"train", "classifier", "--data", data, "--out", to, "--json"};
    if (!ignored.empty()) words.insert(words.end(), {"--ignore-columns", ignored});
    const Ran ran = reel(words);
    EXPECT_EQ(ran.code, 0) << ran.err;
    return ran.json()["fingerprint"];
  };
  const Json expected = train("plain.csv", "plain", "");
  EXPECT_EQ(train("known.csv", "named", "id,text"), expected);
  EXPECT_EQ(train("bare.csv", "bare", "0,1"), expected);
  EXPECT_EQ(reel({"train", "classifier", "--data", "known.csv", "--out", "none"}).code, 3);

  const auto accuracy = [&](const std::string& of, const std::vector<std::string>& more) {
    std::vector<std::string> words = {"evaluate", "--model", of + "/best.safetensors", "--json"};
    words.insert(words.end(), more.begin(), more.end());
    const Ran ran = reel(words);
    EXPECT_EQ(ran.code, 0) << ran.err;
    return ran.json()["test_accuracy"];
  };
  const Json right = accuracy("plain", {});
  EXPECT_EQ(accuracy("named", {}), right);
  EXPECT_EQ(accuracy("named", {"--data", "known.csv"}), right);
  EXPECT_EQ(accuracy("named", {"--data", "plain.csv"}), right);
  EXPECT_EQ(accuracy("named", {"--data", "bare.csv", "--ignore-columns", "0,1"}), right);
  EXPECT_EQ(accuracy("bare", {}), right);
  EXPECT_EQ(accuracy("bare", {"--data", "known.csv"}), right);
  EXPECT_EQ(reel({"evaluate", "--model", "named/best.safetensors", "--data", "bare.csv"}).code, 3);

  forge("named/best.safetensors", "forged.safetensors",
        [](Json& config) { config["ignore_columns"] = "id,"; });
  refused_as_model({"evaluate", "--model", "forged.safetensors"}, "\"ignore_columns\" is no list of columns");

  // By number, in a file that lacks some; where there are names, these count.
  EXPECT_EQ(train("known.csv", "numbers", "0,1"), expected);
  EXPECT_EQ(accuracy("numbers", {"--data", "plain.csv"}), right);
  write(place / "plain_bare.csv", iris(true).substr(lines[0].size() + 1));
  EXPECT_THAT(
      reel({"evaluate", "--model", "bare/best.safetensors", "--data", "plain_bare.csv"}).err,
      HasSubstr("plain_bare.csv: it has 2 features, the model was trained on 4; training ignored 0,1: "
                "if this file has other columns to be ignored, or none, say so with "
                "--ignore-columns"));
  EXPECT_EQ(accuracy("bare", {"--data", "plain_bare.csv", "--ignore-columns", "none"}), right);
  write(place / "images.idx", {0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 9});
  EXPECT_THAT(reel({"evaluate", "--model", "bare/best.safetensors", "--data", "images.idx"}).err,
              HasSubstr("images.idx is an IDX file; name the file of its labels with --labels"));

  model = "bare/best.safetensors";
  const std::string classes =
      reel({"predict", "--model", model, "--data", "plain.csv", "--label-column", "species"}).out;
  EXPECT_EQ(lines_of(classes).size(), 151U);
  EXPECT_EQ(predict({"--data", "known.csv", "--ignore-columns", "id,text,species"}).out, classes);
  EXPECT_EQ(predict({"--data", "known.csv", "--ignore-columns", "id,1", "--label-column", "6"}).out, classes);
  const Ran unsaid = predict({"--data", "known.csv", "--ignore-columns", "text"});
  EXPECT_EQ(unsaid.code, 3);
  EXPECT_THAT(unsaid.err, HasSubstr("known.csv: it has 6 features, but the model learned from 4; "
                                    "--ignore-columns passes over those that it did not learn from"));
}

TEST_F(Predict, FindsTheColumnsByTheNamesThatTrainingSaw) {
  write(place / "known.csv", iris(true));
  ASSERT_EQ(reel({"train", "classifier", "--data", "known.csv", "--out", "named"}).code, 0);
  model = "named/checkpoint.safetensors";
  const std::string expected = predict({"--data", "known.csv", "--label-column", "species"}).out;
  EXPECT_EQ(lines_of(expected).size(), 151U);
  EXPECT_EQ(predict({"--data", "known.csv"}).out, expected);
  // In another order, with others among them that hold anything.
  std::string mixed = "petal width,species,sepal length,note,petal length,sepal width\n";
  const std::vector<std::string> lines = lines_of(iris(true));
  for (std::size_t i = 1; i < lines.size(); ++i) {
    std::istringstream in(lines[i]);
    std::vector<std::string> f(5);
    for (std::string& field : f) std::getline(in, field, ',');
    mixed += f[3] + "," + f[4] + "," + f[0] + ",new," + f[2] + "," + f[1] + "\n";
  }
  write(place / "mixed.csv", mixed);
  EXPECT_EQ(predict({"--data", "mixed.csv"}).out, expected);
  const auto accuracy = [&](const std::string& data) {
    return reel({"evaluate", "--model", model, "--split", "all", "--json", "--label-column", "species",
                 "--data", data})
        .json()["test_accuracy"];
  };
  EXPECT_EQ(accuracy("mixed.csv"), accuracy("known.csv"));
  // Without their names they have the order of training.
  write(place / "bare.csv", iris(false).substr(iris(false).find('\n') + 1));
  EXPECT_EQ(predict({"--data", "bare.csv"}).out, expected);
  write(place / "some.csv", "sepal length,sepal width,petal length,width\n1,2,3,4\n");
  const Ran some = predict({"--data", "some.csv"});
  EXPECT_EQ(some.code, 3);
  EXPECT_THAT(some.err, HasSubstr("some.csv: there is no column \"petal width\"; the header has"));

  forge("named/best.safetensors", "forged.safetensors", [](Json& config) {
    config["feature_names"] = {"a", "b"};
  });
  refused_as_model({"predict", "--model", "forged.safetensors", "--data", "known.csv"},
                   "\"feature_names\" has another length than the features");
}

TEST_F(Predict, SaysThatColumnsOfOtherNamesAreTakenInTheirOrder) {
  write(place / "known.csv", iris(true));
  ASSERT_EQ(reel({"train", "classifier", "--data", "known.csv", "--out", "named"}).code, 0);
  model = "named/best.safetensors";
  const std::string expected = predict({"--data", "known.csv"}).out;
  write(place / "other.csv", "A,B,C,D\n" + iris(false).substr(iris(false).find('\n') + 1));
  const Ran ran = predict({"--data", "other.csv"});
  EXPECT_EQ(ran.out, expected);
  EXPECT_EQ(ran.err,
            "reel: note: other.csv: the header has none of the names that training saw, from "
            "\"sepal length\" to \"petal width\"; its columns are taken in their order\n");
  EXPECT_EQ(predict({"--data", "known.csv"}).err, "");
}

// As pandas writes its index.
TEST_F(Predict, AColumnWithoutANameIsFoundToo) {
  std::string indexed = ",x,kind\n";
  for (int i = 0; i < 60; ++i)
    indexed +=
        std::to_string(i % 7) + "," + std::to_string(i % 2) + ".5," + (i % 2 == 0 ? "even\n" : "odd\n");
  write(place / "indexed.csv", indexed);
  ASSERT_EQ(
      reel({"train", "classifier", "--data", "indexed.csv", "--epochs", "100", "--out", "indexed"}).code, 0);
  model = "indexed/best.safetensors";
  write(place / "new.csv", "x,,note\n1.5,3,\n0.5,2,\n");
  const std::vector<std::string> lines = lines_of(predict({"--data", "new.csv"}).out);
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_THAT(lines[1], StartsWith("odd,"));
  EXPECT_THAT(lines[2], StartsWith("even,"));
}

TEST_F(Predict, EvaluateTakesTheLabelColumnOfTrainingForOtherData) {
  std::string rows = "kind,x\n";
  for (int i = 0; i < 60; ++i)
    rows += std::string(i % 2 == 0 ? "even," : "odd,") + std::to_string(i % 2) + "\n";
  write(place / "first.csv", rows);
  write(place / "second.csv", rows + "odd,1\n");
  ASSERT_EQ(
      reel({"train", "classifier", "--data", "first.csv", "--label-column", "kind", "--out", "kinds"}).code,
      0);
  const Ran ran = reel(
      {"evaluate", "--model", "kinds/best.safetensors", "--data", "second.csv", "--split", "all", "--json"});
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.json()["samples"], 61);
  EXPECT_EQ(ran.json()["test_accuracy"], 1.0);
}

// Runs of older versions have no names of features.
TEST_F(Predict, NamesOfFeaturesAreNoMatterToARunThatGoesOn) {
  write(place / "known.csv", iris(true));
  const std::vector<std::string> train = {"train", "classifier", "--data",  "known.csv",
                                          "--out", "named",      "--epochs"};
  std::vector<std::string> first = train, second = train;
  first.insert(first.end(), {"1"}), second.insert(second.end(), {"2", "--resume"});
  ASSERT_EQ(reel(first).code, 0);
  std::string renamed = iris(true);
  renamed.replace(renamed.find("sepal length"), 5, "other");
  write(place / "known.csv", renamed);
  const Ran ran = reel(second);
  EXPECT_EQ(ran.code, 0) << ran.err;
  // But those of other columns would have new samples read wrongly.
  std::string swapped = iris(true);
  swapped.replace(0, swapped.find("petal"), "sepal width,sepal length,");
  write(place / "known.csv", swapped);
  second[7] = "3";
  EXPECT_EQ(reel(second).code, 0);  // of the names that the run had last, one is new
  write(place / "known.csv", iris(true));
  second[7] = "4";
  const Ran refused = reel(second);
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, HasSubstr("the same columns have the names of each other"));
}

TEST_F(Predict, IsToldWhatTheFirstLineIsWhereItCannotTell) {
  write(place / "counted.csv", "0,1,2,3\n5.1,3.5,1.4,0.2\n");
  for (const std::vector<std::string>& unsaid :
       {std::vector<std::string>{"--data", "counted.csv"}, {"--data", "counted.csv", "--header", "detect"}}) {
    EXPECT_EQ(predict(unsaid).code, 3);
    EXPECT_THAT(predict(unsaid).err,
                HasSubstr("counted.csv:1:1: this line may be a sample, or name the columns "
                          "by numbers, as pandas does: say with --header yes or no"));
  }
  EXPECT_EQ(lines_of(predict({"--data", "counted.csv", "--header", "no"}).out).size(), 3U);
  EXPECT_EQ(lines_of(predict({"--data", "counted.csv", "--header", "yes"}).out).size(), 2U);
  write(place / "names.csv", "a,b,c,d\n5.1,3.5,1.4,0.2\n");
  EXPECT_EQ(predict({"--data", "names.csv", "--header", "no"}).code, 3);
  EXPECT_EQ(predict({"--data", "names.csv", "--header", "maybe"}).code, 2);
}

TEST_F(Predict, WritesOneNumberTheSameWayInCsvAndInJson) {
  const std::vector<std::string> lines = lines_of(predict({"--data", "iris"}).out);
  const std::string json = predict({"--data", "iris", "--json"}).out;
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const std::string number = lines[i].substr(lines[i].find(',') + 1);
    EXPECT_THAT(json, HasSubstr("\"probability\":" + number + (number == "1" ? ".0}" : "}"))) << i;
  }
}

TEST_F(Predict, ReadsImagesWithoutLabels) {
  std::string images = {0, 0, 8, 3, 0, 0, 0, 60, 0, 0, 0, 2, 0, 0, 0, 2};
  std::string labels = {0, 0, 8, 1, 0, 0, 0, 60};
  for (int i = 0; i < 60; ++i) {
    images += i % 2 == 0 ? std::string("\xF0\xFF\x02\x01", 4) : std::string("\x01\x02\xFF\xF0", 4);
    labels += static_cast<char>(i % 2);
  }
  write(place / "images.idx", images);
  write(place / "labels.idx", labels);
  ASSERT_EQ(
      reel({"train", "classifier", "--data", "images.idx", "--labels", "labels.idx", "--out", "idx"}).code,
      0);
  model = "idx/best.safetensors";
  const Ran ran = predict({"--data", "images.idx"});
  ASSERT_EQ(ran.code, 0) << ran.err;
  const std::vector<std::string> lines = lines_of(ran.out);
  ASSERT_EQ(lines.size(), 61U);
  for (std::size_t i = 0; i < 60; ++i) EXPECT_THAT(lines[i + 1], StartsWith(i % 2 == 0 ? "0," : "1,"));
  const Ran swapped = predict({"--data", "labels.idx"});
  EXPECT_EQ(swapped.code, 3);
  EXPECT_THAT(swapped.err, HasSubstr("labels.idx: it has one dimension, as labels have"));
  const Ran column = predict({"--data", "images.idx", "--label-column", "0"});
  EXPECT_EQ(column.code, 2);
  EXPECT_THAT(column.err, HasSubstr("--label-column goes with CSV files only"));
}

TEST_F(Predict, QuotesNamesAsCsvDoes) {
  std::string rows = "x,y,class\n";
  for (int i = 0; i < 40; ++i)
    rows += std::to_string(i % 2) + "," + std::to_string(1 - i % 2) +
            (i % 2 == 0 ? ",\"a, \"\"b\"\"\"\n" : ",\"two\nlines\"\n");
  write(place / "names.csv", rows);
  ASSERT_EQ(
      reel({"train", "classifier", "--data", "names.csv", "--batch", "8", "--epochs", "50", "--out", "names"})
          .code,
      0);
  model = "names/best.safetensors";
  write(place / "new.csv", "0,1.0\n1,0\n");
  const Ran ran = predict({"--data", "new.csv", "--probabilities"});
  EXPECT_THAT(ran.out,
              StartsWith("class,probability,\"probability:a, \"\"b\"\"\",\"probability:two\nlines\"\n"
                         "\"a, \"\"b\"\"\","));
  EXPECT_EQ(Json::parse(predict({"--data", "new.csv", "--json"}).out)["predictions"][1]["class"],
            "two\nlines");
}

TEST_F(Predict, RefusesWhatDoesNotFit) {
  const auto refused = [&](const std::vector<std::string>& more, int code, const std::string& reason) {
    const Ran ran = predict(more);
    EXPECT_EQ(ran.code, code) << reason;
    EXPECT_EQ(ran.out, "");
    EXPECT_THAT(ran.err, HasSubstr(reason));
  };
  write(place / "empty.csv", "");
  write(place / "header.csv", "a,b,c,d\n");
  write(place / "missing.csv", "1,2,,4\n");
  write(place / "few.csv", "1,2,3\n");
  write(place / "ragged.csv", "1,2,3,4\n1,2,3\n");
  write(place / "zip.csv.gz", std::string("\x1F\x8B\x08\0\0\0\0\0\0\3\x33\xd4\x31\xd2\x31\x06\0", 17));
  refused({"--data", "empty.csv"}, 3, "empty.csv: the file is empty");
  refused({"--data", "header.csv"}, 3, "header.csv: there is a header and nothing else");
  refused({"--data", "missing.csv"}, 3, "missing.csv:1:5: a value is missing");
  refused({"--data", "few.csv"}, 3, "few.csv: it has 3 features, but the model learned from 4\n");
  refused({"--data", "ragged.csv"}, 3, "ragged.csv:2:5: 3 fields, the first line has 4");
  refused({"--data", "zip.csv.gz"}, 3, "gzip -dc");
  refused({"--data", "none.csv"}, 5, "none.csv");
  refused({"--data", "nothing"}, 2, "neither a file nor one of digits, iris");
  refused({"--data", "digits"}, 3, "digits: it has 64 features");
  refused({"--data", "iris", "--label-column", "4"}, 2, "--label-column goes with a file");
  refused({"--data", "few.csv", "--label-column", "9"}, 3, "there is no label column \"9\"");
  refused({}, 2, "--data is required");
  model = "none.safetensors";
  refused({"--data", "iris"}, 5, "none.safetensors");
  train_on_text("text");
  model = "text/best.safetensors";
  refused({"--data", "iris"}, 4, "it holds a transformer, not a classifier");
}

TEST_F(Predict, SaysNothingOfNumbersThatAreNotFinite) {
  // Finite weights that are too large to compute with.
  const nn::Safetensors file = nn::Safetensors::read(place / model);
  nn::SafetensorsWriter writer;
  for (const nn::SafetensorsEntry& e : file.entries()) {
    std::vector<float> values(e.bytes.size() / sizeof(float), 1e30F);
    for (std::size_t i = 1; i < values.size(); i += 2) values[i] = -1e30F;
    writer.add<float>(e.name, e.shape, values);
  }
  for (const auto& [key, value] : file.metadata()) writer.metadata(key, value);
  writer.write(place / "forged.safetensors");
  model = "forged.safetensors";
  const Ran ran = predict({"--data", "iris"});
  EXPECT_EQ(ran.code, 6);
  EXPECT_EQ(ran.out, "");
  EXPECT_THAT(ran.err, HasSubstr("forged.safetensors: what it makes of iris is not finite"));
}

TEST_F(Predict, DoesNotTrustWhatAModelSaysOfItsScale) {
  const auto forged = [&](const std::function<void(Json&)>& change, const std::string& reason) {
    forge("run/best.safetensors", "forged.safetensors", change);
    refused_as_model({"predict", "--model", "forged.safetensors", "--data", "iris"}, reason);
  };
  forged([](Json& config) { config["mean"] = {1, 2}; }, "has another length than the features");
  forged([](Json& config) { config["deviation"] = {1, 2, 0, 1}; }, "has a number that is not above 0");
  forged([](Json& config) { config.erase("classes"); }, "classes");
}

}  // namespace
}  // namespace reel::examples
