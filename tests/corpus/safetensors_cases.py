"""Safetensors files: https://github.com/huggingface/safetensors."""

import struct

from corpus_format import Cases, f32, f64

NOT_JSON = "the header is not JSON"


def file(header, data=b"", length=None):
    if isinstance(header, str):
        header = header.encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def tensor(dtype='"F32"', shape="[2]", offsets="[0,8]"):
    return '{"a":{"dtype":%s,"shape":%s,"data_offsets":%s}}' % (dtype, shape, offsets)


def cases():
    c = Cases("safetensors")
    length_prefix(c)
    json_text(c)
    metadata(c)
    entries(c)
    shapes(c)
    offsets(c)
    coverage(c)
    accepted(c)
    return c


def length_prefix(c):
    good = file(tensor(), f32(1, 2))
    for n in range(8):
        c.add("prefix-cut-at-%d" % n, "it has %d bytes; a safetensors file starts with 8 bytes" % n, good[:n])
    c.add("prefix-alone", "the header claims %d bytes, 0 follow" % (len(good) - 16), good[:8])
    c.add("header-length-0", "byte 0: the header has length 0", file("", length=0))
    c.add("header-length-0-with-data", "byte 0: the header has length 0", file("", f32(1), length=0))
    for name, n in (("over-100-million", 100_000_001), ("2-to-32", 2**32), ("2-to-63-minus-1", 2**63 - 1), ("2-to-63", 2**63),
                    ("2-to-64-minus-8", 2**64 - 8), ("2-to-64-minus-1", 2**64 - 1), ("2-to-40", 2**40)):
        c.add("header-length-" + name, "the header claims %d bytes, at most 100000000 are read" % n, file("{}", length=n))
    for n in (3, 4, 11, 1000, 99_999_999, 100_000_000):
        c.add("header-length-%d-of-2" % n, "the header claims %d bytes, 2 follow" % n, file("{}", length=n))
    for n in range(1, 10):
        c.add("header-length-short-by-%d" % n, NOT_JSON, file(tensor(), f32(1, 2), length=len(tensor()) - n))
    for n in range(1, 9):
        c.add("header-length-long-by-%d" % n, NOT_JSON, file(tensor(), b"\xfe" * 8, length=len(tensor()) + n))


def json_text(c):
    for name, header, said in (
        ("byte-order-mark", b"\xef\xbb\xbf{}", "byte 8: the header starts with a byte order mark"),
        ("utf-16", '{}'.encode("utf-16"), NOT_JSON),
        ("invalid-utf8", b'{"\xff":1}', NOT_JSON),
        ("overlong-utf8", b'{"\xc0\xaf":1}', NOT_JSON),
        ("utf8-surrogate", b'{"\xed\xa0\x80":1}', NOT_JSON),
        ("utf8-beyond-10ffff", b'{"\xf4\x90\x80\x80":1}', NOT_JSON),
        ("utf8-cut", b'{"\xc3', NOT_JSON),
        ("lone-surrogate-escape", r'{"\ud800":1}', NOT_JSON),
        ("lone-low-surrogate-escape", r'{"\udc00":1}', NOT_JSON),
        ("short-unicode-escape", r'{"\u12":1}', NOT_JSON),
        ("unknown-escape", r'{"\x":1}', NOT_JSON),
        ("control-character-in-name", b'{"\x01":1}', NOT_JSON),
        ("newline-in-name", '{"a\n":1}', NOT_JSON),
        ("nul-padding", "{}\0\0\0\0\0\0", "byte 10: the header is not JSON: it holds a NUL"),
        ("garbage-after-nul", '{}\0{"a":1}', "byte 10: the header is not JSON: it holds a NUL"),
        ("nul-in-a-name", '{"a\0":1}', "byte 11: the header is not JSON: it holds a NUL"),
        ("nul-in-front", "\0{}", NOT_JSON),
        ("empty-header-of-spaces", "        ", NOT_JSON),
        ("array", "[]", "the header is an array, not an object"),
        ("null", "null", "the header is null, not an object"),
        ("true", "true", "the header is a boolean, not an object"),
        ("number", "17", "the header is a number, not an object"),
        ("negative-number", "-17", "the header is a negative number, not an object"),
        ("float", "1.5", "the header is the number 1.5, not an object"),
        ("string", '"{}"', "the header is a string, not an object"),
        ("unterminated-object", "{", NOT_JSON),
        ("unterminated-string", '{"a', NOT_JSON),
        ("unterminated-entry", '{"a":{"dtype":"F32"', NOT_JSON),
        ("trailing-comma", '{"__metadata__":{},}', NOT_JSON),
        ("trailing-comma-in-array", tensor(shape="[2,]"), NOT_JSON),
        ("leading-comma", "{,}", NOT_JSON),
        ("missing-colon", '{"a"{}}', NOT_JSON),
        ("missing-comma", '{"__metadata__":{}"a":{}}', NOT_JSON),
        ("line-comment", "{}//x", NOT_JSON),
        ("block-comment", "{/*x*/}", NOT_JSON),
        ("hash-comment", "{}#x", NOT_JSON),
        ("single-quotes", "{'a':1}", NOT_JSON),
        ("bare-name", "{a:1}", NOT_JSON),
        ("two-objects", "{}{}", NOT_JSON),
        ("garbage-after-object", "{} x", NOT_JSON),
        ("closing-brace-twice", "{}}", NOT_JSON),
        ("nan", tensor(shape="[NaN]"), NOT_JSON),
        ("infinity", tensor(shape="[Infinity]"), NOT_JSON),
        ("leading-zero", tensor(shape="[02]"), NOT_JSON),
        ("plus-sign", tensor(shape="[+2]"), NOT_JSON),
        ("hexadecimal", tensor(shape="[0x2]"), NOT_JSON),
        ("number-ends-in-point", tensor(shape="[2.]"), NOT_JSON),
        ("python-true", '{"a":True}', NOT_JSON),
        ("arrays-100000-deep", "[" * 100_000, "the header is an array, not an object"),
        ("arrays-100000-deep-in-a-shape", '{"a":{"shape":' + "[" * 100_000, 'tensor "a": its shape holds an array'),
        ("objects-100000-deep", '{"a":' * 100_000, 'tensor "a": it has an unknown field "a"'),
        ("objects-deep-in-metadata", '{"__metadata__":' + '{"a":' * 1000, '__metadata__ has an object under "a", not a string'),
        ("long-bad-token", '{"a":' + "q" * 5000, NOT_JSON),
        ("number-of-10000-digits", tensor(shape="[" + "9" * 10_000 + "]"), "the header is not JSON: number overflow parsing"),
    ):
        c.add("json-" + name, said, file(header))
    twice = '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},%s:{"dtype":"F32","shape":[1],"data_offsets":%s}}'
    said = 'the name "a" is there twice'
    c.add("name-twice", said, file(twice % ('"a"', "[4,8]"), f32(1, 2)))
    c.add("name-twice-same-range", said, file(twice % ('"a"', "[0,4]"), f32(1)))
    c.add("name-twice-after-unescaping", said, file(twice % (r'"\u0061"', "[4,8]"), f32(1, 2)))
    c.add("metadata-twice", 'the name "__metadata__" is there twice', file('{"__metadata__":{},"__metadata__":{}}'))


def metadata(c):
    for name, value, said in (
        ("null", "null", "__metadata__ is null, not an object"),
        ("array", "[]", "__metadata__ is an array, not an object"),
        ("string", '"x"', "__metadata__ is a string, not an object"),
        ("number", "3", "__metadata__ is a number, not an object"),
        ("boolean", "true", "__metadata__ is a boolean, not an object"),
        ("value-number", '{"k":3}', '__metadata__ has a number under "k", not a string'),
        ("value-negative", '{"k":-3}', '__metadata__ has a negative number under "k", not a string'),
        ("value-float", '{"k":1e5}', '__metadata__ has the number 1e5 under "k", not a string'),
        ("value-null", '{"k":null}', '__metadata__ has null under "k", not a string'),
        ("value-boolean", '{"k":false}', '__metadata__ has a boolean under "k", not a string'),
        ("value-array", '{"k":["x"]}', '__metadata__ has an array under "k", not a string'),
        ("value-object", '{"k":{}}', '__metadata__ has an object under "k", not a string'),
        ("second-value-number", '{"j":"x","k":3}', '__metadata__ has a number under "k", not a string'),
        ("key-twice", '{"k":"x","k":"x"}', '__metadata__ has the key "k" twice'),
    ):
        c.add("metadata-" + name, said, file('{"__metadata__":%s}' % value))


def entries(c):
    for name, value, what in (("null", "null", "null"), ("array", "[]", "an array"), ("string", '"x"', "a string"),
                              ("number", "1", "a number"), ("boolean", "true", "a boolean"), ("float", "0.5", "the number 0.5")):
        c.add("entry-" + name, 'tensor "a": it is %s, not an object' % what, file('{"a":%s}' % value))
    c.add("entry-empty", 'tensor "a": its field dtype is missing', file('{"a":{}}'))
    c.add("entry-no-dtype", "its field dtype is missing", file('{"a":{"shape":[2],"data_offsets":[0,8]}}', f32(1, 2)))
    c.add("entry-no-shape", "its field shape is missing", file('{"a":{"dtype":"F32","data_offsets":[0,8]}}', f32(1, 2)))
    c.add("entry-no-offsets", "its field data_offsets is missing", file('{"a":{"dtype":"F32","shape":[2]}}', f32(1, 2)))
    c.add("entry-unknown-field", 'tensor "a": it has an unknown field "x"', file('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}}', f32(1, 2)))
    c.add("entry-field-upper-case", 'unknown field "Shape"', file('{"a":{"dtype":"F32","Shape":[2],"data_offsets":[0,8]}}', f32(1, 2)))
    for field, value in (("dtype", '"F32"'), ("shape", "[2]"), ("data_offsets", "[0,8]")):
        body = '"dtype":"F32","shape":[2],"data_offsets":[0,8],"%s":%s' % (field, value)
        c.add("entry-%s-twice" % field, 'tensor "a": its field %s is there twice' % field, file('{"a":{%s}}' % body, f32(1, 2)))
    for name, dtype in (("lower-case", "f32"), ("empty", ""), ("unknown", "F33"), ("numpy", "<f4"), ("torch", "torch.float32"),
                        ("space", "F32 "), ("quantised", "Q8_0"), ("escapes", "\x1b[31m")):
        shown = dtype.replace("\x1b", "\\u001b")
        c.add("dtype-" + name, 'its dtype "%s" is unknown' % shown, file(tensor('"%s"' % shown), f32(1, 2)))
    for dtype in ("F4", "F6_E2M3", "F6_E3M2", "F8_E5M2", "F8_E4M3", "F8_E8M0", "C64"):
        c.add("dtype-" + dtype.lower(), "its dtype %s is not supported; convert it to F32" % dtype, file(tensor('"%s"' % dtype), f32(1, 2)))
    for name, value, what in (("number", "32", "a number"), ("null", "null", "null"), ("boolean", "true", "a boolean"),
                              ("array", '["F32"]', "an array"), ("object", "{}", "an object"), ("negative", "-1", "a negative number")):
        c.add("dtype-is-" + name, "its field dtype is " + what, file(tensor(value), f32(1, 2)))
        if name != "array":
            c.add("shape-is-" + name, "its field shape is " + what, file(tensor(shape=value), f32(1, 2)))
            c.add("offsets-are-" + name, "its field data_offsets is " + what, file(tensor(offsets=value), f32(1, 2)))
    c.add("shape-is-string", "its field shape is a string", file(tensor(shape='"[2]"'), f32(1, 2)))


def shapes(c):
    large = str(2**48 - 1)
    for name, shape, said in (
        ("negative", "[-2]", "its shape holds a negative number; sizes are whole numbers"),
        ("two-negatives", "[-1,-2]", "its shape holds a negative number"),
        ("minus-zero", "[-0]", "its shape holds a negative number"),
        ("float", "[2.0]", "its shape holds the number 2.0"),
        ("exponent", "[2e0]", "its shape holds the number 2e0"),
        ("string", '["2"]', "its shape holds a string"),
        ("boolean", "[true]", "its shape holds a boolean"),
        ("null", "[null]", "its shape holds null"),
        ("nested", "[[2]]", "its shape holds an array"),
        ("object", "[{}]", "its shape holds an object"),
        ("2-to-64", "[18446744073709551616]", "its shape holds the number 18446744073709551616"),
        ("2-to-64-minus-1", "[18446744073709551615]", "dimension 18446744073709551615 is larger than 2^48 - 1"),
        ("2-to-63", "[9223372036854775808]", "dimension 9223372036854775808 is larger than 2^48 - 1"),
        ("2-to-48", "[281474976710656]", "dimension 281474976710656 is larger than 2^48 - 1"),
        ("33-dimensions", "[" + "1," * 32 + "2]", "its shape has more than 32 dimensions"),
        ("100000-dimensions", "[" + "1," * 99_999 + "2]", "its shape has more than 32 dimensions"),
        ("product-over-2-to-64", "[%s,%s]" % (large, large), "its shape multiplies to more than 2^64 bytes"),
        ("bytes-over-2-to-64", "[4294967296,1073741824]", "its shape multiplies to more than 2^64 bytes"),
        ("product-wraps-to-0", "[16777216,16777216,16384,1]", "its shape multiplies to more than 2^64 bytes"),
        # 2^62 + 1 is the product of the last two.
        ("product-wraps-to-the-right-size", "[2,2147418113,2147549185]", "multiplies to more than 2^64 bytes"),
        ("int32-wrap", "[65536,65537]", "span 8 bytes, its shape and dtype need 17180131328"),
        ("too-small", "[1]", "its data_offsets span 8 bytes, its shape and dtype need 4"),
        ("too-large", "[3]", "its data_offsets span 8 bytes, its shape and dtype need 12"),
        ("scalar-with-two", "[]", "its data_offsets span 8 bytes, its shape and dtype need 4"),
        ("zero-with-data", "[0]", "its data_offsets span 8 bytes, its shape and dtype need 0"),
        ("overflow-hidden-by-zero-with-data", "[%s,%s,0]" % (large, large), "its shape multiplies to more than 2^64 bytes"),
    ):
        c.add("shape-" + name, said, file(tensor(shape=shape), f32(1, 2)))
    c.add("shape-overflow-hidden-by-zero", "its shape multiplies to more than 2^64 bytes",
          file(tensor(shape="[%s,%s,0]" % (large, large), offsets="[0,0]")))
    for dtype, size in (("F64", 16), ("F16", 4), ("BF16", 4), ("I64", 16), ("U8", 2), ("BOOL", 2), ("I16", 4), ("U64", 16)):
        c.add("dtype-%s-for-f32-data" % dtype.lower(), "span 8 bytes, its shape and dtype need %d" % size, file(tensor('"%s"' % dtype), f32(1, 2)))


def offsets(c):
    for name, value, said in (
        ("none", "[]", "its data_offsets have 0 numbers, not 2"),
        ("one", "[0]", "its data_offsets have 1 numbers, not 2"),
        ("three", "[0,8,8]", "its data_offsets have more than 2 numbers"),
        ("float", "[0,8.0]", "its data_offsets hold the number 8.0; offsets are whole numbers"),
        ("string", '["0","8"]', "its data_offsets hold a string"),
        ("null", "[null,8]", "its data_offsets hold null"),
        ("negative", "[-8,0]", "its data_offsets hold a negative number"),
        ("nested", "[[0,8]]", "its data_offsets hold an array"),
        ("object", "[{},8]", "its data_offsets hold an object"),
        ("reversed", "[8,0]", "its data_offsets run backwards"),
        ("over-2-to-64", "[0,18446744073709551616]", "its data_offsets hold the number 18446744073709551616"),
        ("2-to-64-minus-1", "[0,18446744073709551615]", "span 18446744073709551615 bytes"),
        ("wrapping", "[18446744073709551608,18446744073709551615]", "span 7 bytes"),
        ("both-at-the-end-of-u64", "[18446744073709551607,18446744073709551615]", "its data ends at byte 18446744073709551615 of the data section"),
        ("past-the-end", "[8,16]", "its data ends at byte 16 of the data section, which has 8"),
        ("too-short-span", "[0,7]", "span 7 bytes, its shape and dtype need 8"),
        ("empty-span", "[0,0]", "span 0 bytes, its shape and dtype need 8"),
    ):
        c.add("offsets-" + name, said, file(tensor(offsets=value), f32(1, 2)))
    c.add("offsets-start-after-a-hole", "its data starts at byte 4 of the data section, which leaves a hole after byte 0",
          file(tensor(shape="[1]", offsets="[4,8]"), f32(1, 2)))


def coverage(c):
    def two(a, b, data, sizes=(1, 1)):
        return file('{"a":{"dtype":"F32","shape":[%d],"data_offsets":[%d,%d]},"b":{"dtype":"F32","shape":[%d],"data_offsets":[%d,%d]}}'
                    % (sizes[0], *a, sizes[1], *b), data)

    good = file(tensor(), f32(1, 2))
    for n in range(1, 8):
        c.add("data-short-by-%d" % n, "its data ends at byte 8 of the data section, which has %d; the file is cut short or damaged" % (8 - n), good[:-n])
    c.add("data-absent", "its data ends at byte 8 of the data section, which has 0", good[:-8])
    for n in (1, 4, 8):
        c.add("data-long-by-%d" % n, "the tensors fill 8 of the %d bytes of the data section" % (8 + n), good + b"\0" * n)
    c.add("data-without-tensors", "the tensors fill 0 of the 4 bytes of the data section", file("{}", f32(1)))
    c.add("data-with-metadata-only", "the tensors fill 0 of the 1 bytes of the data section", file('{"__metadata__":{}}', b"x"))
    c.add("hole-in-the-middle", 'tensor "b": its data starts at byte 8 of the data section, which leaves a hole after byte 4', two((0, 4), (8, 12), f32(1, 2, 3)))
    c.add("hole-at-the-end", "the tensors fill 8 of the 12 bytes", two((0, 4), (4, 8), f32(1, 2, 3)))
    c.add("overlap", 'tensor "b": its data starts at byte 4 of the data section, inside the data that ends at byte 8', two((0, 8), (4, 12), f32(1, 2, 3), (2, 2)))
    c.add("overlap-by-one-byte", "starts at byte 3 of the data section, inside the data that ends at byte 4", two((0, 4), (3, 7), b"1234567"))
    c.add("same-range-twice", 'tensor "b": its data starts at byte 0 of the data section, inside', two((0, 4), (0, 4), f32(1)))
    c.add("contained", "inside the data that ends at byte 12", two((0, 12), (4, 8), f32(1, 2, 3), (3, 1)))
    c.add("empty-tensor-inside-another", "starts at byte 4 of the data section, inside the data that ends at byte 8", two((0, 8), (4, 4), f32(1, 2), (2, 0)))
    c.add("empty-tensor-after-a-hole", "its data starts at byte 4 of the data section, which leaves a hole", file(tensor(shape="[0]", offsets="[4,4]"), f32(1)))


def accepted(c):
    c.add("ok-empty-object", "ok", file("{}"))
    c.add("ok-metadata-only", "ok | k=v", file('{"__metadata__":{"k":"v"}}'))
    c.add("ok-empty-metadata", "ok; a F32 [2] 1 2", file('{"__metadata__":{},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', f32(1, 2)))
    c.add("ok-one-tensor", "ok; a F32 [2] 1 2", file(tensor(), f32(1, 2)))
    c.add("ok-scalar", "ok; a F32 [] 3", file(tensor(shape="[]", offsets="[0,4]"), f32(3)))
    c.add("ok-empty-tensor", "ok; a F32 [0, 3]", file(tensor(shape="[0,3]", offsets="[0,0]")))
    large = 2**48 - 1
    c.add("ok-zero-before-an-overflow", "ok; a F32 [0, %d, %d]" % (large, large), file(tensor(shape="[0,%d,%d]" % (large, large), offsets="[0,0]")))
    c.add("ok-32-dimensions", "ok; a F32 [" + "1, " * 31 + "1] 5", file(tensor(shape="[" + "1," * 31 + "1]", offsets="[0,4]"), f32(5)))
    c.add("ok-fields-in-another-order", "ok; a F32 [2] 1 2", file('{"a":{"data_offsets":[0,8],"shape":[2],"dtype":"F32"}}', f32(1, 2)))
    c.add("ok-tensors-not-in-data-order", "ok; a F32 [1] 2; b F32 [1] 1",
          file('{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', f32(1, 2)))
    for n in range(1, 8):
        c.add("ok-header-%d-past-8-bytes" % n, "ok; a F32 [2] 1 2", file(tensor() + " " * ((n - len(tensor())) % 8), f32(1, 2)))
    c.add("ok-spaces-and-newlines", "ok; a F32 [2] 1 2", file(" \n\t" + tensor().replace(":", " :\r\n") + "\n ", f32(1, 2)))
    c.add("ok-nan-and-infinity-keep-their-bits", "ok; a F32 [4] nan:ffc12345 inf -inf nan:7f800001",
          file(tensor(shape="[4]", offsets="[0,16]"), struct.pack("<4I", 0xFFC12345, 0x7F800000, 0xFF800000, 0x7F800001)))
    c.add("ok-minus-zero-and-subnormal", "ok; a F32 [2] -0 1.40129846e-45", file(tensor(), struct.pack("<2I", 0x80000000, 1)))
    c.add("ok-escaped-name", "ok; a\"\\\u00e4 F32 [] 1", file('{"a\\"\\\\\\u00e4":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}', f32(1)))
    c.add("ok-surrogate-pair-in-name", "ok; \U0001f600 F32 [] 1", file(r'{"\ud83d\ude00":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}', f32(1)))
    c.add("ok-empty-name", "ok;  F32 [] 1", file('{"":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}', f32(1)))
    c.add("ok-f64", "ok; a F64 [1] 0.1", file(tensor('"F64"', "[1]"), f64(0.1)))
    c.add("ok-f16", "ok; a F16 [4] 1 -2 5.96046448e-08 65504", file(tensor('"F16"', "[4]"), struct.pack("<4H", 0x3C00, 0xC000, 1, 0x7BFF)))
    c.add("ok-bf16", "ok; a BF16 [4] 1 -2 inf 3.38953139e+38", file(tensor('"BF16"', "[4]"), struct.pack("<4H", 0x3F80, 0xC000, 0x7F80, 0x7F7F)))
    for dtype, width in (("BOOL", 1), ("U8", 1), ("I8", 1), ("U16", 2), ("I16", 2), ("U32", 4), ("I32", 4), ("U64", 8), ("I64", 8)):
        c.add("ok-" + dtype.lower(), "ok; a %s [%d]" % (dtype, 8 // width), file(tensor('"%s"' % dtype, "[%d]" % (8 // width)), b"\x01\0\0\0\0\0\0\0"))
