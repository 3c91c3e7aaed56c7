#include "data/csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "data/digits.h"
#include "data/error.h"

namespace reel::data {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Csv, ReadsNumbersAndTheClassInTheLastColumn) {
  const Dataset d = parse_csv("1,2.5,0\n-3e-2,+4,1\n", "t.csv");
  EXPECT_EQ(d.count, 2);
  EXPECT_EQ(d.features, 2);
  EXPECT_THAT(d.inputs, ElementsAre(1, 2.5f, -3e-2f, 4));
  EXPECT_THAT(d.labels, ElementsAre(0, 1));
  EXPECT_THAT(d.class_names, ElementsAre("0", "1"));
}

TEST(Csv, AHeaderIsDetectedOrDeclared) {
  EXPECT_EQ(parse_csv("a,b,class\n1,2,0\n3,4,1\n", "t").count, 2);
  EXPECT_EQ(parse_csv("1,2,yes\n3,4,yes\n", "t", {.one_class = true}).count, 2);
  EXPECT_EQ(parse_csv("1,2,yes\n3,4,no\n", "t").count, 2);  // a text class alone is no header
  EXPECT_EQ(parse_csv("1,2,0\n3,4,1\n5,6,0\n", "t", {.header = CsvOptions::Header::yes}).count, 2);
  EXPECT_THROW(parse_csv("a,b,class\n1,2,0\n", "t", {.header = CsvOptions::Header::no}), DataError);
}

TEST(Csv, AHeaderOfNumbersIsNoSample) {
  const auto rows = [](const std::string& text, const CsvOptions& options = {}) {
    return parse_csv(text, "t", options).count;
  };
  const std::string numbers = "5,6,0\n7,8,1\n5,5,0\n7,7,1\n";
  const std::string texts = "5,6,cat\n7,8,dog\n5,5,cat\n7,7,dog\n";
  EXPECT_EQ(rows("0,1,label\n" + numbers), 4);
  EXPECT_EQ(rows("2019,2020,label\n" + numbers), 4);  // a text among classes that are numbers
  EXPECT_THAT(parse_csv("0,label\n5,0\n6,1\n", "t").class_names, ElementsAre("0", "1"));
  EXPECT_EQ(rows("0,1,2\n" + numbers), 4);
  EXPECT_EQ(rows("\"0\",\"1\",\"label\"\n" + texts), 4);
  EXPECT_EQ(rows("2019,2020,label\n" + texts, {.label_column = "label"}), 4);

  // Lines that could as well be samples are.
  EXPECT_EQ(rows("2019,2020,bird\n" + texts), 5);
  EXPECT_EQ(rows("0,1,cat\n" + texts), 5);
  EXPECT_EQ(rows("0,1,1\n" + numbers), 5);
  EXPECT_EQ(rows("0,1,2\n5,6,0\n7,8,1\n"), 3);      // every class has one line
  EXPECT_EQ(rows("0,1\n5,0\n6,0\n7,2\n8,2\n"), 5);  // a single feature counts for nothing
  EXPECT_EQ(rows("0,1,2\n" + numbers, {.header = CsvOptions::Header::no}), 5);
}

TEST(Csv, ASampleWithABadFeatureIsNoHeader) {
  const std::string numbers = "5,6,0\n7,8,1\n5,5,0\n7,7,1\n";
  const auto said = [&](const std::string& first, const CsvOptions& options = {}) {
    try {
      parse_csv(first + "\n" + numbers, "t", options);
    } catch (const DataError& e) {
      return std::string(e.what());
    }
    return std::string("accepted");
  };
  const std::string hint =
      "; if this line names the columns, let no name be a number, or choose the class by its name with "
      "--label-column";
  EXPECT_THAT(said("5,NA,0"), testing::AllOf(HasSubstr("t:1:3: \"NA\" is not a number"), HasSubstr(hint)));
  EXPECT_THAT(said("?,5,0"), HasSubstr("t:1:1: \"?\" is not a number"));
  EXPECT_THAT(said("5,x,0"), HasSubstr("t:1:3: \"x\" is not a number"));
  EXPECT_EQ(said("5,,0"), "t:1:3: a value is missing; leave the line out or fill the value in" + hint);
  EXPECT_THAT(said("?,NA,0"), HasSubstr("t:1:1: \"?\" is not a number"));
  EXPECT_THAT(said("5,nan,0"), HasSubstr("t:1:3: \"nan\" is not finite"));
  EXPECT_THAT(said("5,x,0", {.header = CsvOptions::Header::no}), testing::Not(HasSubstr(hint)));
  EXPECT_THAT(said("1,2,0\n5,x,0"), testing::AllOf(HasSubstr("t:2:3: "), testing::Not(HasSubstr(hint))));

  EXPECT_EQ(said("Na,?,label"), "accepted");            // sodium, and whatever ? is
  EXPECT_EQ(said("150,setosa,virginica"), "accepted");  // a text among classes that are numbers
  EXPECT_THAT(said("150,NA,virginica"), HasSubstr("t:1:5: \"NA\" is not a number"));
  const std::string texts = "5,6,cat\n7,8,dog\n";
  EXPECT_THROW(parse_csv("x,2019,animal\n" + texts, "t"), DataError);
  EXPECT_EQ(parse_csv("x,2019,animal\n" + texts, "t", {.label_column = "animal"}).count, 2);
}

TEST(Csv, AMissingClassAmongNumbersIsNoHeaderAndNoClass) {
  const std::string numbers = "7,8,1\n5,5,0\n";
  for (const char* nothing : {"?", "NA", "N/A", "n/a", "NULL", "null", "None", "-"}) {
    EXPECT_THAT([&] { parse_csv("5,6," + std::string(nothing) + "\n" + numbers, "t"); },
                testing::ThrowsMessage<DataError>("t:1:5: the class is missing: \"" + std::string(nothing) +
                                                  "\" stands among numbers; leave the line out or fill the "
                                                  "class in"));
  }
  EXPECT_THROW(parse_csv(numbers + "5,6,?\n", "t"), DataError);
  EXPECT_THAT(parse_csv("5,6,-\n7,8,+\n", "t").class_names, ElementsAre("+", "-"));
}

TEST(Csv, AHeaderThatPandasWroteWithItsIndexIsKnown) {
  const std::string hint =
      "t:1:1: a value is missing; leave the line out or fill the value in; this line looks like a header "
      "whose "
      "first column has no name, as pandas writes it with its index: write the file with index=False, or "
      "leave "
      "that column out with --ignore-columns '\"\"'";
  for (const char* header : {",0,1,2\n", ",0,1,label\n"}) {
    EXPECT_THAT([&] { parse_csv(header + std::string("0,5,6,0\n1,7,8,1\n"), "t"); },
                testing::ThrowsMessage<DataError>(hint));
  }
}

TEST(Csv, AHeaderCountsWithoutTheClassToo) {
  const std::string texts = "cat,5,6\ndog,7,8\ncat,5,5\ndog,7,7\n";
  // Column 0 is "label" and column 1 is "0": as a header this line is refused, and not read as an animal.
  EXPECT_THAT([&] { parse_csv("label,0,1\n" + texts, "t", {.label_column = "0"}); },
              testing::ThrowsMessage<DataError>(HasSubstr("could be column 1")));
  EXPECT_EQ(parse_csv("label,0,1\n" + texts, "t", {.label_column = "label"}).count, 4);
  EXPECT_EQ(parse_csv("label,1,2\n" + texts, "t", {.label_column = "0"}).count, 4);
  EXPECT_EQ(parse_csv("bird,5,6\n" + texts, "t", {.label_column = "0"}).count, 5);
}

TEST(Csv, AClassInAnotherColumnMakesNoHeader) {
  EXPECT_EQ(parse_csv("cat,1,2\ndog,3,4\n", "t", {.label_column = "0"}).count, 2);
}

TEST(Csv, TextClassesAreNumberedInSortedOrder) {
  const Dataset d = parse_csv("1,pear\n2,apple\n3,pear\n", "t");
  EXPECT_THAT(d.class_names, ElementsAre("apple", "pear"));
  EXPECT_THAT(d.labels, ElementsAre(1, 0, 1));
}

TEST(Csv, TheLabelColumnHasANameOrANumber) {
  EXPECT_THAT(parse_csv("k,x,y\n1,5,6\n0,7,8\n", "t", {.label_column = "k"}).labels, ElementsAre(1, 0));
  EXPECT_THAT(parse_csv("1,5,6\n0,7,8\n", "t", {.label_column = "0"}).inputs, ElementsAre(5, 6, 7, 8));
}

TEST(Csv, ALabelColumnThatIsANameAndANumberMeansOneColumnOrNone) {
  const std::string text = "label,0,1\n0,5,6\n1,7,8\n";
  EXPECT_THAT([&] { parse_csv(text, "t", {.label_column = "0"}); },
              testing::ThrowsMessage<DataError>(
                  "t:1:7: label column \"0\" could be column 1 (counted from 0), which has this name, or "
                  "column 0, whose name is \"label\": choose that one by its name, or give this one a name "
                  "that is no number"));
  EXPECT_THROW(parse_csv(text, "t", {.header = CsvOptions::Header::yes, .label_column = "0"}), DataError);
  EXPECT_THAT(parse_csv(text, "t", {.label_column = "label"}).inputs, ElementsAre(5, 6, 7, 8));
  // The name is that of the column that is counted, or the first line is a sample, which has no names.
  EXPECT_EQ(parse_csv("0,1,label\n5,6,0\n7,8,1\n", "t", {.label_column = "2"}).count, 2);
  EXPECT_EQ(parse_csv("2,1,x\n5,6,y\n", "t", {.label_column = "2"}).count, 2);
  EXPECT_EQ(parse_csv("cat,0\ndog,1\n", "t", {.label_column = "0"}).count, 2);
}

// Whoever counts columns from 1 must not lose a sample that happens to hold that number.
TEST(Csv, ANumberBeyondTheLastColumnMakesNoHeader) {
  for (const bool labelled : {true, false}) {
    try {
      parse_csv("5,3,1\n4,2,0\n6,1,1\n", "t.csv", {.label_column = "3", .labelled = labelled});
      ADD_FAILURE() << "3 is no column";
    } catch (const DataError& e) {
      EXPECT_THAT(e.what(), HasSubstr("there is no label column \"3\"; a number from 0 to 2 works too"));
    }
  }
  // Where other columns have names, one may be a number.
  EXPECT_EQ(parse_csv("a,2020\n1,0\n2,1\n", "t", {.label_column = "2020"}).count, 2);
}

TEST(Csv, AClassThatIsGivenForItsColumnMakesNoHeader) {
  const std::string rows = "1,2,cat\n3,4,dog\n5,6,cat\n7,8,dog\n";
  for (const bool labelled : {true, false}) {
    EXPECT_THROW(parse_csv(rows, "t", {.label_column = "cat", .labelled = labelled}), DataError);
    EXPECT_EQ(parse_csv("1,2,kind\n" + rows, "t", {.label_column = "kind", .labelled = labelled}).count, 4);
    EXPECT_EQ(parse_csv("a,b,cat\n" + rows, "t", {.label_column = "cat", .labelled = labelled}).count, 4);
  }
}

// As a name it would be lost.
TEST(Csv, ADecimalWithACommaMakesNoHeader) {
  for (const char* text : {"\"1,5\"\n2\n", "\"1,5\",\"2,5\"\n2,3\n"})
    EXPECT_THROW(parse_csv(text, "t", {.labelled = false}), DataError) << text;
}

TEST(Csv, WithoutAClassEveryColumnIsAFeature) {
  const auto read = [](const std::string& text, const std::string& column = "") {
    return parse_csv(text, "t.csv", {.label_column = column, .labelled = false});
  };
  const Dataset d = read("1,2.5,0\n-3e-2,+4,1\n");
  EXPECT_EQ(d.count, 2);
  EXPECT_EQ(d.features, 3);
  EXPECT_THAT(d.inputs, ElementsAre(1, 2.5f, 0, -3e-2f, 4, 1));
  EXPECT_TRUE(d.labels.empty());
  EXPECT_EQ(d.classes(), 0);
  EXPECT_EQ(d.header, false);
  EXPECT_EQ(read("7\n8\n9\n").count, 3);
  EXPECT_EQ(read("a\n8\n9\n").header, true);

  // Names are a header; numbers are a sample, unless they count as pandas counts columns; and a number and a
  // name are a mistake.
  EXPECT_THAT(read("a,b\n1,2\n").inputs, ElementsAre(1, 2));
  EXPECT_EQ(read("0,1,3\n5,6,7\n").count, 2);
  EXPECT_EQ(read("0\n5\n").count, 2);
  for (const auto& [text, column] :
       {std::pair("0,1,2\n5,6,7\n", ""), std::pair("0,1\n5,6\n", ""), std::pair("0,1,2,a\n5,6,7,8\n", "3"),
        std::pair(",0,1\n5,6,7\n", "0"), std::pair("0,1,2,3\n5,6,7,8\n", "3"),
        std::pair("0,c,1\n5,6,7\n", "1")}) {
    try {
      read(text, column);
      ADD_FAILURE() << text;
    } catch (const DataError& e) {
      EXPECT_THAT(e.what(),
                  HasSubstr("t.csv:1:1: this line may be a sample, or name the columns by numbers"));
    }
    if (std::string(column) < "3" && *column != '\0') continue;  // as a header, another has this name
    for (const auto header : {CsvOptions::Header::yes, CsvOptions::Header::no}) {
      const CsvOptions options = {.header = header, .label_column = column, .labelled = false};
      EXPECT_EQ(parse_csv(text, "t", options).count, header == CsvOptions::Header::yes ? 1 : 2) << text;
    }
  }
  EXPECT_THROW(read("a,2\n1,2\n"), DataError);
  EXPECT_THROW(read("?,NA\n1,2\n"), DataError);
  EXPECT_THROW(read("a,b\n"), DataError);
  EXPECT_EQ(parse_csv("1,2\n3,4\n", "t", {.header = CsvOptions::Header::yes, .labelled = false}).count, 1);
  EXPECT_THROW(parse_csv("a,b\n3,4\n", "t", {.header = CsvOptions::Header::no, .labelled = false}),
               DataError);

  // One column may be of something else.
  EXPECT_THAT(read("a,b,c\n1,x,3\n4,,6\n", "b").inputs, ElementsAre(1, 3, 4, 6));
  EXPECT_THAT(read("x,2,3\ny,5,6\n", "0").inputs, ElementsAre(2, 3, 5, 6));
  EXPECT_THAT(read("x,2\nx,5\n", "0").features, 1);
  EXPECT_THROW(read("1,2\n", "2"), DataError);
  EXPECT_THROW(read("1,2\n", "b"), DataError);
  EXPECT_THROW(read("a\n1\n", "a"), DataError);
  // What it holds means nothing, also where a class would make a header of the first line.
  EXPECT_EQ(read("5,3,unknown\n6,3,2\n6,3,1\n", "2").count, 3);
  EXPECT_EQ(read("0,2,a\n6,3,b\n6,3,b\n", "2").count, 3);

  try {
    read("5,3,setosa\n");
    ADD_FAILURE();
  } catch (const DataError& e) {
    EXPECT_EQ(std::string(e.what()),
              "t.csv:1:5: \"setosa\" is not a number; leave the line out, or pass the column over with "
              "--ignore-columns; if this line names the columns, let no name be a number, "
              "or say so with "
              "--header yes");
  }
}

TEST(Csv, AcceptsWhatFilesLookLike) {
  EXPECT_EQ(parse_csv("1,0\r\n2,1\r\n", "crlf").count, 2);
  EXPECT_EQ(parse_csv("\xEF\xBB\xBF"
                      "1,0\n2,1\n",
                      "bom")
                .count,
            2);
  EXPECT_EQ(parse_csv("1,0\n2,1", "no final newline").count, 2);
  EXPECT_EQ(parse_csv("1,0\n2,1\n\n\n", "blank lines at the end").count, 2);
  EXPECT_EQ(parse_csv(" 1 , 0 \n\"2\",\"1\"\n", "spaces and quotes").count, 2);
  EXPECT_EQ(parse_csv("1e-45,0\n1e-60,1\n", "subnormal and underflow").inputs[1], 0);
  const Dataset quoted = parse_csv("1,\"a \"\"b\"\", c\"\n2,d\n", "doubled quotes");
  EXPECT_EQ(quoted.class_names[0], "a \"b\", c");
}

TEST(Csv, TooSmallIsZeroAndTooLargeIsRefusedHoweverTheyAreWritten) {
  const std::string zeros(700, '0');
  const auto read = [](const std::string& number) { return parse_csv(number + ",0\n1,1\n", "t").inputs[0]; };
  const std::vector<std::string> tiny = {"0." + zeros + "1",
                                         "0." + zeros + "1e5",
                                         "." + zeros + "1E+300",
                                         "1e-400",
                                         "1e-60",
                                         "1" + zeros + "e-1200",
                                         zeros + "1e-60",
                                         "1e-999999999999999999999",
                                         "0." + zeros + "1e-99999999999999999999"};
  for (const std::string& small : tiny) {
    EXPECT_EQ(read(small), 0) << small;
    EXPECT_FALSE(std::signbit(read(small))) << small;
    EXPECT_EQ(read("-" + small), 0) << small;
    EXPECT_TRUE(std::signbit(read("-" + small))) << small;
  }
  const std::vector<std::string> huge = {"1" + zeros,
                                         "1" + zeros + "e-100",
                                         "1" + zeros + ".5e-600",
                                         "0." + zeros + "1e800",
                                         zeros + "1e400",
                                         "1e39",
                                         "+1e+39",
                                         "-1e999999999999999999999"};
  for (const std::string& large : huge) {
    EXPECT_THAT([&] { read(large); }, testing::ThrowsMessage<DataError>(HasSubstr("too large for a 32-bit")))
        << large;
  }
  EXPECT_EQ(read("1" + zeros + "e-700"), 1);
  EXPECT_EQ(read("0." + zeros + "1e701"), 1);
  for (const char* zero : {"0e400", "0.0e99999999999999999999", "-0e-400", "0e-99999999999999999999"})
    EXPECT_EQ(read(zero), 0) << zero;
}

TEST(Csv, APlusIsTheSignOfAFeatureAndOfAClass) {
  const Dataset d = parse_csv("+1,+1\n+2.5,0\n3,+1.0\n", "t");
  EXPECT_THAT(d.inputs, ElementsAre(1, 2.5f, 3));
  EXPECT_THAT(d.labels, ElementsAre(1, 0, 1));
  EXPECT_THAT(d.class_names, ElementsAre("0", "1"));
}

struct Bad {
  const char* reason;
  std::string text;
  std::string message;
  CsvOptions options = {};
};
void PrintTo(const Bad& b, std::ostream* out) { *out << b.reason; }

// A header of so many names, and a sample.
std::string columns(int count) {
  std::string names, numbers;
  for (int c = 0; c < count; ++c) {
    names += (c == 0 ? "c" : ",c") + std::to_string(c);
    numbers += c == 0 ? "1" : ",1";
  }
  return names + "\n" + numbers + "\n";
}

class BadCsv : public testing::TestWithParam<Bad> {};

TEST_P(BadCsv, IsRefusedWithPlaceAndReason) {
  try {
    parse_csv(GetParam().text, "t.csv", GetParam().options);
    FAIL() << "accepted";
  } catch (const DataError& e) {
    EXPECT_THAT(e.what(), HasSubstr(GetParam().message));
    EXPECT_THAT(e.what(), HasSubstr("t.csv"));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Every, BadCsv,
    testing::Values(
        Bad{"empty", "", "the file is empty"}, Bad{"blank", "\n \n\n", "the file is empty"},
        Bad{"header only", "a,b,c\n", "a header and nothing else"},
        Bad{"short row", "1,2,0\n1,0\n", ":2:3: 2 fields, the first line has 3"},
        Bad{"long row", "1,2,0\n1,2,3,0\n", ":2:7: 4 fields"}, Bad{"cut last line", "1,2,0\n1,2", "2 fields"},
        Bad{"not a number", "1,2,0\n1,x,0\n",
            ":2:3: \"x\" is not a number, which every column but the class's holds: leave the line out, "
            "leave "
            "the column out with --ignore-columns, or choose it as the class"},
        Bad{"decimal comma and semicolons", "1,2,0\n1;5,2,0\n",
            ":2:1: \"1;5\" is not a number; separate fields by commas, and write decimals with a point"},
        Bad{"empty cell", "1,2,0\n1,,0\n", ":2:3: a value is missing"},
        Bad{"trailing comma", "1,2,0\n1,2,0,\n", "4 fields"}, Bad{"nan", "1,2,0\nnan,2,1\n", "is not finite"},
        Bad{"infinity", "1,2,0\n1,inf,1\n", "is not finite"},
        Bad{"too large for a double", "1,2,0\n1e400,2,1\n", "too large for a 32-bit float"},
        Bad{"too large for a float", "1,2,0\n1e39,2,1\n", "too large for a 32-bit float"},
        Bad{"hexadecimal", "1,2,0\n0x10,2,1\n", "\"0x10\" is not a number"},
        Bad{"underscores", "1,2,0\n1_000,2,1\n", "is not a number"},
        Bad{"number and letters", "1,2,0\n2abc,2,1\n", "\"2abc\" is not a number"},
        Bad{"two numbers", "1,2,0\n2 3,2,1\n", "is not a number"},
        Bad{"two signs", "1,2,0\n+-3,2,1\n", "is not a number"},
        Bad{"decimal comma", "1,2,0\n\"1,5\",2,1\n", "decimals are written with a point"},
        Bad{"semicolons", "1;2;0\n1;2;1\n", "separated by semicolons"},
        Bad{"tabs", "1\t2\t0\n", "separated by tabs"},
        Bad{"one column", "1\n2\n", "at least one feature and the class"},
        Bad{"open quote", "1,\"2,0\n3,4,1\n", ":1:3: a quote is opened here and never closed"},
        Bad{"text after a quote", "1,\"2\"x,0\n", "text follows the closing quote"},
        Bad{"negative class", "1,2,0\n1,2,-1\n", ":2:5: class \"-1\" is not a whole number"},
        Bad{"fractional class", "1,2,0\n1,2,0.5\n", "not a whole number"},
        Bad{"huge class", "1,2,0\n1,2,1e20\n", "not a whole number"},
        Bad{"missing class", "1,2,a\n1,2,\n", "the class is missing"},
        Bad{"one class", "1,2,0\n3,4,0\n", "the same class"},
        Bad{"one class that is not the first", "1,2,3\n3,4,3\n", "the same class"},
        Bad{"blank line in the middle", "1,2,0\n\n3,4,1\n", ":2:1: a blank line in the middle"},
        Bad{"duplicate header", "a,a,c\n1,2,0\n", ":1:3: column name \"a\" is there twice"},
        Bad{"unknown label column",
            "a,b,c\n1,2,0\n",
            "there is no label column \"z\"; the header has \"a\", \"b\", \"c\"",
            {.label_column = "z"}},
        Bad{"label column out of range", "1,2,0\n", "no label column \"3\"", {.label_column = "3"}},
        Bad{"carriage returns only", "1,2,0\r3,4,1\r", "a carriage return without a line feed"},
        Bad{"NUL", std::string("1,2,0\n1,\0,1\n", 12), "byte 8 is NUL"},
        Bad{"UTF-16",
            "\xFF\xFE"
            "1,2",
            "UTF-16"},
        Bad{"long token", "1,2,0\n" + std::string(1 << 20, 'x') + ",2,1\n", "is not a number"},
        Bad{"long name of a column",
            "a," + std::string(1 << 20, 'b') + ",c\n1,2,0\n3,4,1\n",
            "there is no label column \"z\"; the header has \"a\", \"" + std::string(40, 'b') +
                "...\", \"c\"; a",
            {.label_column = "z"}},
        Bad{"names of many columns",
            columns(30),
            "\"c18\", \"c19\" and 10 more; a number from 0 to 29 works too",
            {.label_column = "z"}},
        Bad{"many columns", std::string(200'000, ','), "more than 100000 columns"}));

TEST(Embedded, DigitsAndIrisAreWhatTheySay) {
  const Dataset d = digits();
  EXPECT_EQ(d.count, 1797);
  EXPECT_EQ(d.features, 64);
  EXPECT_EQ(d.classes(), 10);
  EXPECT_EQ(*std::max_element(d.inputs.begin(), d.inputs.end()), 1.0f);
  const Dataset f = iris();
  EXPECT_EQ(f.count, 150);
  EXPECT_EQ(f.features, 4);
  EXPECT_THAT(f.class_names, ElementsAre("setosa", "versicolor", "virginica"));
  EXPECT_EQ(f.inputs[0], 5.1f);
}

}  // namespace
}  // namespace reel::data
