#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "data/csv.h"
#include "data/error.h"

// Which columns of a CSV file are read: those that are chosen, ignored, or found by their names.

namespace reel::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Csv, IgnoredColumnsArePassedOverWhateverIsInThem) {
  const std::string rows = "7,\"N, 1\",1,2,x\n,5,3,4,y\n?,,5,6,x\n";
  const auto read = [&](const std::string& header, const std::vector<std::string>& ignored,
                        const std::string& label = "") {
    return parse_csv(header + rows, "t", {.label_column = label, .ignored_columns = ignored});
  };
  for (const std::vector<std::string>& ignored :
       {std::vector<std::string>{"id", "name"}, {"name", "0"}, {"0", "1"}}) {
    const Dataset d = read("id,name,a,b,kind\n", ignored);
    EXPECT_THAT(d.inputs, ElementsAre(1, 2, 3, 4, 5, 6));
    EXPECT_THAT(d.feature_names, ElementsAre("a", "b"));
    EXPECT_THAT(d.class_names, ElementsAre("x", "y"));
    EXPECT_THAT(d.labels, ElementsAre(0, 1, 0));
  }
  EXPECT_THAT(read("", {"1", "0"}).inputs, ElementsAre(1, 2, 3, 4, 5, 6));
  // The class is in the last column that is left.
  EXPECT_THAT(parse_csv("1,2,0,a\n3,4,1,b\n", "t", {.ignored_columns = {"3"}}).labels, ElementsAre(0, 1));
  EXPECT_THAT(parse_csv("1,2,0,a\n3,4,1,b\n", "t", {.label_column = "3", .ignored_columns = {"1"}}).inputs,
              ElementsAre(1, 0, 3, 1));
  const CsvOptions regression = {.ignored_columns = {"0", "1", "kind"}, .target_columns = {"b"}};
  EXPECT_THAT(parse_csv("id,name,a,b,kind\n" + rows, "t", regression).targets, ElementsAre(2, 4, 6));
  const CsvOptions unlabelled = {
      .header = CsvOptions::Header::no, .ignored_columns = {"0", "1", "4"}, .labelled = false};
  EXPECT_THAT(parse_csv(rows, "t", unlabelled).inputs, ElementsAre(1, 2, 3, 4, 5, 6));

  const auto refused = [&](const std::vector<std::string>& ignored, const std::string& why) {
    EXPECT_THAT([&] { read("id,name,a,b,kind\n", ignored, "kind"); }, testing::ThrowsMessage<DataError>(why));
  };
  refused({"Id"},
          "t: there is no ignored column \"Id\"; the header has \"id\", \"name\", \"a\", \"b\", \"kind\"; a "
          "number from 0 to 4 works too");
  refused({"id", "0"}, "t: column 0 (counted from 0) is chosen twice, as ignored column \"0\" and before");
  refused({"kind"}, "t: column 4 (counted from 0) is chosen twice, as ignored column \"kind\" and before");
  refused({"id", "name", "a", "b"}, "t:1:1: no column is left for a feature");
}

TEST(Csv, WhatIsInAnIgnoredColumnMakesNoHeaderAndNoSample) {
  const auto read = [](const std::string& text, const std::string& ignored) {
    return parse_csv(text, "t", {.ignored_columns = {ignored}});
  };
  EXPECT_EQ(read("a,1,2,0\nb,3,4,1\n", "0").count, 2);
  EXPECT_EQ(read("id,1,2,0\n7,3,4,1\n", "0").count, 2);
  EXPECT_EQ(read("5,x,y,kind\n7,3,4,1\n8,3,5,0\n", "0").count, 2);
  // A name makes a header, as that of the class does.
  EXPECT_EQ(read("id,2019,2020,a\n7,3,4,c\n8,3,5,d\n", "id").count, 2);
  // The index of pandas, which has no name: counted from 0, or chosen by it.
  EXPECT_THAT(read(",a,b,kind\n0,3,4,1\n1,3,5,0\n", "0").inputs, ElementsAre(3, 4, 3, 5));
  const std::string index = ",0,1,kind\n0,3,4,x\n1,3,5,y\n2,4,4,x\n3,4,5,y\n";
  EXPECT_THAT(read(index, "").inputs, ElementsAre(3, 4, 3, 5, 4, 4, 4, 5));
  EXPECT_THROW(read(index, "0"), DataError);                                       // two columns
  EXPECT_EQ(read("x,1,2,3\n0,3,4,1\n1,3,5,0\n2,3,5,1\n3,2,2,0\n", "0").count, 4);  // names count to the class
}

// As with the table without them.
TEST(Csv, IgnoredColumnsMayCountOrNotInAHeaderThatCounts) {
  const auto count = [](const std::string& header, const std::string& row, std::vector<std::string> ignored,
                        bool labelled = true) {
    std::string text = header;
    for (int i = 0; i < 4; ++i) text += row + (i % 2 == 0 ? "x\n" : "y\n");
    return parse_csv(text, "t", {.ignored_columns = std::move(ignored), .labelled = labelled}).count;
  };
  EXPECT_EQ(count("0,1,id,2,3,label\n", "5,6,7,8,9,", {"id"}), 4);
  EXPECT_THROW(count("id,name,0,1,2,label\n", "5,a,7,8,9,", {"0", "1"}), DataError);  // these are names, too
  EXPECT_EQ(count("i,name,0,1,2,label\n", "5,a,7,8,9,", {"i", "name"}), 4);
  EXPECT_EQ(count("9,0,1,2,label\n", "5,7,8,9,", {"9"}), 4);
  EXPECT_EQ(count("5,0,label\n", "5,7,", {"0"}), 5);
}

TEST(Csv, AColumnThatIsNotReadMayHaveTheNameOfAnother) {
  const std::string rows = "1,2,M,3,4,\n5,6,B,7,8,\n";
  const Dataset d = parse_csv(",id,diagnosis,r,t,\n" + rows, "t",
                              {.label_column = "diagnosis", .ignored_columns = {"id", "0", "5"}});
  EXPECT_THAT(d.inputs, ElementsAre(3, 4, 7, 8));
  EXPECT_THAT(d.feature_names, ElementsAre("r", "t"));
  EXPECT_EQ(d.label_name, "diagnosis");
  const auto refused = [&](const std::string& header, const std::vector<std::string>& ignored,
                           const std::string& why) {
    EXPECT_THAT([&] { parse_csv(header + rows, "t", {.label_column = "2", .ignored_columns = ignored}); },
                testing::ThrowsMessage<DataError>(why));
  };
  refused("a,b,c,a,e,f\n", {"0", "5"}, "t:1:7: column name \"a\" is there twice");
  refused("a,a,c,d,e,f\n", {"a", "5"}, "t:1:3: column name \"a\" is there twice");
  refused("a,b,c,d,e,c\n", {"0", "5"}, "t:1:11: column name \"c\" is there twice");
}

TEST(Csv, TheClassIsFoundByItsNameWhereFeaturesAre) {
  const CsvOptions options = {.label_column = "3",
                              .ignored_columns = {"0", "2"},
                              .feature_columns = {"a", "b"},
                              .label_name = "kind"};
  const auto labels = [&](const std::string& text) { return parse_csv(text, "t", options).labels; };
  EXPECT_THAT(labels("a,b,flag,kind\n1,2,0,1\n3,4,0,0\n"), ElementsAre(1, 0));
  EXPECT_THAT(labels("kind,b,a,flag\n1,2,0,1\n0,4,0,0\n"), ElementsAre(1, 0));
  EXPECT_THAT(labels("a,other,b\n1,1,2\n3,0,4\n"), ElementsAre(1, 0));  // the only one that is left
  EXPECT_THAT([&] { labels("a,b,flag,other\n1,2,0,1\n3,4,0,0\n"); },
              testing::ThrowsMessage<DataError>(
                  "t: there is no column \"kind\" that holds the class; the header has \"a\", \"b\", "
                  "\"flag\", \"other\"; choose one with --label-column"));
  EXPECT_THAT(labels("1,2,3,0\n5,6,7,1\n"), ElementsAre(0, 1));  // without names, by its number
}

TEST(Csv, WhatIsNoNumberIsSaidToBeInAColumnWithAName) {
  EXPECT_THAT(
      [] { parse_csv("gr\u00f6\u00dfe,b,kind\nx,1,0\n2,3,1\n", "t"); },
      testing::ThrowsMessage<DataError>(
          "t:2:1: \"x\" is not a number, which every column but the class's holds: leave the line out, "
          "leave the column out with --ignore-columns \"gr\u00f6\u00dfe\", or choose it as the class "
          "with --label-column \"gr\u00f6\u00dfe\""));
}

// A missing value is none of a name, whoever wrote it.
TEST(Csv, WordsForNothingMakeNoHeaderOfTheFirstSample) {
  for (const char* word : {"#N/A", "#NA", "<NA>", ".", "NA"}) {
    const std::string text = std::string("1,") + word + ",a\n2,5,a\n3,6,b\n4,7,b\n";
    EXPECT_THROW(parse_csv(text, "t", {.ignored_columns = {"0"}}), DataError) << word;
  }
}

TEST(Csv, IgnoredColumnsNeedNotBeThereWhereFeaturesAreFoundByTheirNames) {
  const CsvOptions options = {.ignored_columns = {"id"}, .feature_columns = {"a", "b"}};
  EXPECT_THAT(parse_csv("b,a,kind\n1,2,0\n3,4,1\n", "t", options).inputs, ElementsAre(2, 1, 4, 3));
  EXPECT_THAT(parse_csv("b,id,a,kind\n1,?,2,0\n3,,4,1\n", "t", options).inputs, ElementsAre(2, 1, 4, 3));
  EXPECT_THROW(parse_csv("c,d,kind\n1,2,0\n3,4,1\n", "t", options), DataError);
}

TEST(Csv, TargetColumnsHoldNumbersToBeFound) {
  const auto read = [](const std::string& text, const std::vector<std::string>& targets,
                       const std::string& label = "") {
    return parse_csv(text, "t.csv", {.label_column = label, .target_columns = targets});
  };
  const Dataset d = read("a,price,b,rent\n1,-2.5,3,4\n5,6,7,8e-1\n", {"rent", "price"});
  d.check();
  EXPECT_EQ(d.count, 2);
  EXPECT_EQ(d.features, 2);
  EXPECT_EQ(d.outputs, 2);
  EXPECT_EQ(d.header, true);
  EXPECT_EQ(d.classes(), 0);
  EXPECT_TRUE(d.labels.empty());
  EXPECT_THAT(d.inputs, ElementsAre(1, 3, 5, 7));
  EXPECT_THAT(d.targets, ElementsAre(4, -2.5f, 0.8f, 6));
  EXPECT_THAT(read("1,2,3\n4,5,6\n", {"0"}).targets, ElementsAre(1, 4));
  EXPECT_THAT(read("1,2,3\n4,5,6\n", {"2", "0"}).targets, ElementsAre(3, 1, 6, 4));
  EXPECT_THAT(read("id,x,y\na,2,3\nb,5,6\n", {"y"}, "id").inputs, ElementsAre(2, 5));
  EXPECT_EQ(split(read("1,2\n3,4\n5,6\n7,8\n", {"1"}), 0.5, 1).test.targets.size(), 2U);

  const auto refused = [&](const std::string& text, const std::vector<std::string>& targets,
                           const std::string& reason, const std::string& label = "") {
    try {
      read(text, targets, label);
      ADD_FAILURE() << reason;
    } catch (const DataError& e) {
      EXPECT_THAT(e.what(), HasSubstr(reason));
    }
  };
  refused("a,b\n1,2\n", {"c"}, "t.csv: there is no target column \"c\"; the header has \"a\", \"b\"");
  refused("1,2\n", {"2"}, "there is no target column \"2\"; a number from 0 to 1 works too");
  refused("a,b\n1,2\n", {"b", "1"}, "column 1 (counted from 0) is chosen twice");
  refused("a,b,c\n1,2,3\n", {"b"}, "column 1 (counted from 0) is chosen twice", "b");
  refused("a,b\n1,2\n", {"b", "a"}, "t.csv:1:1: no column is left for a feature");
  refused("a,b\n1,x\n", {"b"}, "t.csv:2:3: \"x\" is not a number");
  refused("a,b\n1,\n", {"b"}, "t.csv:2:3: a value is missing");
  refused("1,b,c\nx,2,3\n", {"b", "1"}, "t.csv:1:1: target column \"1\" could be column 0");
}

TEST(Csv, FeaturesAreFoundByTheirNamesWhereTheHeaderHasThem) {
  const auto read = [](const std::string& text, const CsvOptions& more = {}) {
    CsvOptions options = more;
    options.labelled = false;
    options.feature_columns = {"a", "b"};
    return parse_csv(text, "t.csv", options);
  };
  const Dataset d = read("b,kind,a,id\n1,cat,2,\n3,,4,x\n");
  EXPECT_THAT(d.inputs, ElementsAre(2, 1, 4, 3));
  EXPECT_THAT(d.feature_names, ElementsAre("a", "b"));
  EXPECT_EQ(d.features, 2);
  // Otherwise by their place.
  EXPECT_THAT(read("1,2\n3,4\n").inputs, ElementsAre(1, 2, 3, 4));
  EXPECT_TRUE(read("1,2\n3,4\n").feature_names.empty());
  EXPECT_THAT(read("x,y\n3,4\n").inputs, ElementsAre(3, 4));
  EXPECT_THAT(read("x,y\n3,4\n").feature_names, ElementsAre("x", "y"));
  EXPECT_EQ(read("1,2,3\n", {.label_column = "0"}).features, 2);

  const auto refused = [&](const std::string& text, const std::string& reason, const CsvOptions& more = {}) {
    try {
      read(text, more);
      ADD_FAILURE() << reason;
    } catch (const DataError& e) {
      EXPECT_THAT(e.what(), HasSubstr(reason));
    }
  };
  refused("a,c\n1,2\n", "t.csv: there is no column \"b\"; the header has \"a\", \"c\"");
  refused("b,c\n1,2\n", "t.csv: there is no column \"a\"; the header has \"b\", \"c\"");
  refused("a,b\n1,2\n", "column 1 (counted from 0) is chosen twice, as feature \"b\" and before",
          {.label_column = "b"});
  refused("b,x,a\n1,2,y\n", "t.csv:2:5: \"y\" is not a number");
  refused("b,a\n1,2\n", "t.csv:1:1: \"b\" is not a number", {.header = CsvOptions::Header::no});

  // Names that are numbers are known again.
  const CsvOptions counted = {.labelled = false, .feature_columns = {"0", "1"}};
  EXPECT_EQ(parse_csv("0,1\n5,6\n", "t", counted).count, 1);
  EXPECT_THAT(parse_csv(",1,0\n0,5,6\n", "t", counted).inputs, ElementsAre(6, 5));
  EXPECT_EQ(parse_csv("0,2\n5,6\n", "t", counted).count, 2);

  const Dataset labelled = parse_csv("class,b,a\n0,1,2\n1,3,4\n", "t", {.label_column = "class"});
  EXPECT_THAT(labelled.feature_names, ElementsAre("b", "a"));
  EXPECT_THAT(split(parse_csv("b,a,c\n1,2,0\n3,4,0\n5,6,1\n7,8,1\n", "t"), 0.5, 1).test.feature_names,
              ElementsAre("b", "a"));
}

}  // namespace
}  // namespace reel::data
