"""CSV files: RFC 4180, numbers and a class."""

from corpus_format import Cases


def cases():
    c = Cases("csv")
    two = "1,2,0\n3,4,1\n"

    def bad(name, said, content, more=b""):
        c.add(name, said, content, more)

    bad("empty", "the file is empty", "")
    bad("blank-only", "the file is empty", "\n\n\n")
    bad("spaces-only", "the file is empty", "   \n")
    bad("byte-order-mark-only", "the file is empty", b"\xef\xbb\xbf")
    bad("header-only", "there is a header and nothing else", "a,b,class\n")
    bad("header-without-line-end", "there is a header and nothing else", "a,b,class")
    bad("one-column", "one column; at least one feature and the class are needed", "1\n2\n")
    bad("one-class", "every sample has the same class", "1,2,0\n3,4,0\n")
    bad("one-text-class", "every sample has the same class", "1,2,x\n3,4,x\n")
    for name, line, n in (("short", "5,6", 2), ("long", "5,6,1,9", 4), ("one-field", "5", 1), ("trailing-comma", "5,6,1,", 4)):
        bad("row-" + name, ":3:%d: %d fields, the first line has 3" % (line.rfind(",") + 2, n), two + line + "\n")
        bad("row-%s-in-the-middle" % name, ":2:%d: %d fields, the first line has 3" % (line.rfind(",") + 2, n), "1,2,0\n" + line + "\n3,4,1\n")
    bad("last-line-cut", ":3:3: 2 fields, the first line has 3", two + "5,6")
    for name, cell in (("text", "x"), ("word-in-numbers", "12a"), ("leading-word", "a12"), ("two-numbers", "2 3"), ("hexadecimal", "0x10"), ("underscore", "1_000"),
                       ("suffix", "2abc"), ("percent", "5%"), ("dollar", "$5"), ("two-points", "1.2.3"), ("two-signs", "--1"), ("plus-minus", "+-1"), ("sign-alone", "-"),
                       ("plus-alone", "+"), ("point-alone", "."), ("exponent-alone", "e5"), ("exponent-unfinished", "1e"), ("fraction", "1/2"), ("none", "None"),
                       ("question-mark", "?"), ("n-a", "N/A"), ("true", "true"), ("inner-minus", "1-2"), ("float-suffix", "1.5f"), ("space-after-sign", "- 1"), ("apostrophe", "1'000")):
        bad("cell-" + name, ":3:1: \"%s\" is not a number" % cell, two + cell + ",6,1\n")
    bad("cell-empty", ":3:1: a value is missing; leave the line out or fill the value in", two + ",6,1\n")
    bad("cell-empty-second", ":3:3: a value is missing", two + "5,,1\n")
    bad("cell-spaces", ":3:1: a value is missing", two + "   ,6,1\n")
    bad("cell-empty-quotes", ":3:1: a value is missing", two + '"",6,1\n')
    for name, cell in (("nan", "nan"), ("NaN", "NaN"), ("minus-nan", "-nan"), ("inf", "inf"), ("Infinity", "Infinity"), ("minus-inf", "-inf"), ("nan-with-payload", "nan(123)")):
        bad("cell-" + name, ":3:3: \"%s\" is not finite; leave the line out or fill the value in" % cell, two + "5,%s,1\n" % cell)
    for cell in ("1e400", "-1e400", "1e39", "3.5e38", "1" + "0" * 39, "1e99999999999"):
        bad("cell-%s" % (cell if len(cell) < 20 else "of-40-digits"), ":3:1: \"%s\" is too large for a 32-bit float" % cell, two + cell + ",6,1\n")
    bad("decimal-comma-in-quotes", ":1:1: \"1,5\" is not a number; decimals are written with a point", '"1,5",2,0\n3,4,1\n')
    bad("decimal-comma", "the fields are separated by semicolons; separate them by commas", "1;2;0\n3;4;1\n")
    bad("semicolons-with-header", "the fields are separated by semicolons", "a;b;class\n1;2;0\n")
    bad("tabs", "the fields are separated by tabs; separate them by commas", "1\t2\t0\n3\t4\t1\n")
    bad("quote-unclosed", ":3:1: a quote is opened here and never closed", two + '"5,6,1\n')
    bad("quote-unclosed-at-the-end", ":2:5: a quote is opened here and never closed", '1,2,0\n3,4,"1')
    bad("text-after-a-quote", "text follows the closing quote; quotes inside a quoted field are doubled", two + '"5"x,6,1\n')
    bad("quote-not-doubled", "text follows the closing quote", '"a"b",c,d\n' + two)
    for name, label in (("negative", "-1"), ("fraction", "0.5"), ("1e20", "1e20"), ("too-large", "1000000"), ("not-finite", "inf"), ("nan", "nan"), ("1e400", "1e400")):
        bad("label-" + name, ":2:5: class \"%s\" is not a whole number from 0 to 999999" % label, "1,2,0\n3,4,%s\n" % label)
    bad("label-missing-among-texts", ":2:5: the class is missing", "1,2,x\n3,4,\n5,6,y\n")
    bad("blank-line-in-the-middle", ":2:1: a blank line in the middle; remove it", "1,2,0\n\n3,4,1\n")
    bad("two-blank-lines-in-the-middle", ":3:1: a blank line in the middle; remove it", "1,2,0\n3,4,1\n\n\n5,6,1\n")
    bad("column-name-twice", ":1:3: column name \"a\" is there twice", "a,a,class\n" + two)
    names = "; if this line names the columns, let no name be a number, or choose the class by its name with --label-column"
    for name, cell in (("n-a", "NA"), ("question-mark", "?"), ("word", "x")):
        bad("first-line-" + name, ":1:3: \"%s\" is not a number, which every column but the class's holds: leave the line out, leave the column out with --ignore-columns, or choose it as the class%s" % (cell, names), "5,%s,0\n" % cell + two)
    bad("first-line-empty", ":1:3: a value is missing; leave the line out or fill the value in" + names, "5,,0\n" + two)
    bad("first-line-nothing-but-missing", ":1:1: \"NA\" is not a number", "NA,?,0\n" + two)
    for name, cell in (("n-a", "NA"), ("question-mark", "?"), ("null", "null")):
        bad("class-%s-in-the-first-line" % name, ":1:5: the class is missing: \"%s\" stands among numbers; leave the line out or fill the class in" % cell, "5,6,%s\n" % cell + two)
    bad("class-question-mark", ":3:5: the class is missing: \"?\" stands among numbers", two + "5,6,?\n")
    for name, header in (("numbers", ",0,1,2\n"), ("numbers-and-class", ",0,1,label\n")):
        bad("index-of-pandas-before-" + name, ":1:1: a value is missing; leave the line out or fill the value in; this line looks like a header whose first column has no name, as pandas writes it with its index: write the file with index=False", header + "0,1,2,0\n1,3,4,1\n")
    bad("column-names-empty", ":1:1: a value is missing", ",,class\n" + two)
    bad("label-column-missing", "there is no label column \"species\"; the header has \"a\", \"b\", \"class\"; a number from 0 to 2 works too", "a,b,class\n" + two, b"label=species")
    bad("label-column-name-and-number", ":1:1: label column \"2\" could be column 0 (counted from 0), which has this name, or column 2, whose name is \"label\"", "2,1,label\n" + two, b"label=2")
    bad("ignored-column-missing", "there is no ignored column \"id\"; the header has \"a\", \"b\", \"class\"; a number from 0 to 2 works too", "a,b,class\n" + two, b"ignore=id")
    bad("label-column-out-of-range", "there is no label column \"3\"", two, b"label=3")
    bad("label-column-negative", "there is no label column \"-1\"", two, b"label=-1")
    bad("carriage-returns-only", ":1: a carriage return without a line feed; end lines with LF or CRLF", "1,2,0\r3,4,1\r")
    bad("carriage-return-in-a-line", ":2: a carriage return without a line feed", "1,2,0\n3,\r4,1\n")
    bad("carriage-return-at-the-end", ":2: a carriage return without a line feed", "1,2,0\n3,4,1\r")
    bad("nul", "byte 7 is NUL: this is no text file", "1,2,0\n3\0,4,1\n")
    bad("utf-16-little", "the file is UTF-16; save it as UTF-8", two.encode("utf-16"))
    bad("utf-16-big", "the file is UTF-16; save it as UTF-8", b"\xfe\xff" + two.encode("utf-16-be"))
    bad("utf-16-without-mark", "byte 1 is NUL: this is no text file", two.encode("utf-16-le"))
    bad("png", "byte 8 is NUL: this is no text file", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    invalid = "the text is not UTF-8"
    for name, data in (("in-a-class", b"1,2,\xff\n3,4,b\n"), ("in-a-number", b"1,2,0\n\xc3,4,1\n"), ("in-the-header", b"a,\xe9,class\n1,2,0\n3,4,1\n"), ("latin-1", b"1,2,sch\xf6n\n3,4,b\n"),
                       ("overlong", b"1,2,\xc0\xaf\n3,4,b\n"), ("surrogate", b"1,2,\xed\xa0\x80\n3,4,b\n"), ("beyond-10ffff", b"1,2,\xf4\x90\x80\x80\n3,4,b\n"), ("cut-at-the-end", b"1,2,a\n3,4,\xe2\x82")):
        bad("invalid-utf8-" + name, invalid, data)
    bad("token-of-1-mebibyte", "is not a number", two + "x" * 2**20 + ",6,1\n")
    bad("digits-of-1-mebibyte", "is too large for a 32-bit float", two + "9" * 2**20 + ",6,1\n")
    bad("200000-columns", "more than 100000 columns", "1," * 200_000 + "0\n")

    plain = "ok 2 features, classes 0 1; 0: 1 2; 1: 3 4"
    c.add("ok-plain", plain, two)
    c.add("ok-header", plain, "a,b,class\n" + two)
    c.add("ok-crlf", plain, two.replace("\n", "\r\n"))
    c.add("ok-byte-order-mark", plain, b"\xef\xbb\xbf" + two.encode())
    c.add("ok-byte-order-mark-and-header", plain, b"\xef\xbb\xbfa,b,class\n" + two.encode())
    c.add("ok-no-final-newline", plain, two[:-1])
    c.add("ok-blank-lines-at-the-end", plain, two + "\n\n")
    c.add("ok-quotes", plain, '"1","2","0"\n"3",4,"1"\n')
    c.add("ok-spaces", plain, " 1 , 2,0 \n3,  4 ,1\n")
    c.add("ok-spaces-around-quotes", plain, ' "1" ,2,0\n3,4,1\n')
    c.add("ok-plus-sign", plain, "+1,2,0\n3,+4.0,1\n")
    c.add("ok-exponents", plain, "1e0,0.2E1,0\n30e-1,4.,1\n")
    c.add("ok-text-classes", "ok 2 features, classes cat dog; 1: 1 2; 0: 3 4", "1,2,dog\n3,4,cat\n")
    c.add("ok-text-classes-with-header", "ok 2 features, classes cat dog; 1: 1 2; 0: 3 4", "a,b,animal\n1,2,dog\n3,4,cat\n")
    c.add("ok-doubled-quotes-and-comma-in-a-class", 'ok 2 features, classes a "b", c d; 0: 1 2; 1: 3 4', '1,2,"a ""b"", c"\n3,4,d\n')
    c.add("ok-utf8-class", "ok 2 features, classes sch\u00f6n \U0001f600; 0: 1 2; 1: 3 4", "1,2,sch\u00f6n\n3,4,\U0001f600\n")
    c.add("ok-label-first", "ok 2 features, classes 0 1; 0: 1 2; 1: 3 4", "0,1,2\n1,3,4\n", b"label=0")
    c.add("ok-label-by-name", "ok 2 features, classes 0 1; 0: 1 2; 1: 3 4", "a,class,b\n1,0,2\n3,1,4\n", b"label=class")
    c.add("ok-header-of-numbers", plain, "0,1,class\n" + two)
    c.add("ok-header-of-numbers-by-name", "ok 2 features, classes cat dog; 1: 1 2; 0: 3 4", "2019,2020,animal\n1,2,dog\n3,4,cat\n", b"label=animal")
    c.add("ok-header-that-counts", "ok 2 features, classes 0 1; 0: 1 2; 1: 3 4; 0: 5 6; 1: 7 8", "0,1,2\n" + two + "5,6,0\n7,8,1\n")
    c.add("ok-header-of-numbers-and-names", plain, "150,setosa,virginica\n" + two)
    c.add("ok-header-with-a-missing-name", plain, "Na,?,class\n" + two)
    c.add("ok-classes-plus-and-minus", "ok 2 features, classes + -; 1: 1 2; 0: 3 4", "1,2,-\n3,4,+\n")
    c.add("ok-subnormal", "ok 1 features, classes 0 1; 0: 1.40129846e-45; 1: 1.17549421e-38", "1e-45,0\n1.1754942e-38,1\n")
    c.add("ok-too-small-is-zero", "ok 1 features, classes 0 1; 0: 0; 1: 0", "1e-60,0\n1e-400,1\n")
    c.add("ok-minus-zero", "ok 1 features, classes 0 1; 0: -0; 1: 0", "-0,0\n0,1\n")
    c.add("ok-largest-float", "ok 1 features, classes 0 1; 0: 3.40282347e+38; 1: -3.40282347e+38", "3.4028235e38,0\n-3.4028235e38,1\n")
    c.add("ok-a-class-nobody-has", "ok 1 features, classes 0 1 2; 0: 1; 2: 2", "1,0\n2,2\n")
    c.add("ok-class-as-1.0", "ok 1 features, classes 0 1; 1: 1; 0: 2", "1,1.0\n2,0.0\n")
    return c
