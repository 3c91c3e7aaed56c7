"""NPY files: NumPy Enhancement Proposal 1."""

import struct

from corpus_format import Cases, f32, f64, number, shape_text

MAGIC = b"\x93NUMPY"


def header(descr="'<f4'", order="False", shape="(2,)"):
    return "{'descr': %s, 'fortran_order': %s, 'shape': %s, }\n" % (descr, order, shape)


def file(text, data=b"", version=(1, 0), length=None, pad=False):
    text = text if isinstance(text, bytes) else text.encode("latin-1")
    if pad:
        text = text[:-1] + b" " * (-(len(text) + 10) % 64) + b"\n"
    n = len(text) if length is None else length
    return MAGIC + bytes(version) + (struct.pack("<H", n) if version[0] == 1 else struct.pack("<I", n)) + text + data


def array(shape, *values, kind="f"):
    """A good file of float32 or int64."""
    data = f32(*values) if kind == "f" else struct.pack("<%dq" % len(values), *values)
    text = "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"
    return file(header("'<f4'" if kind == "f" else "'<i8'", shape=text), data, pad=True)


def cases():
    c = Cases("npy")
    good = file(header(), f32(1, 2))
    for n in range(6):
        c.add("cut-at-%d" % n, "byte %d: the file ends inside the 6 bytes that start an NPY file" % n, good[:n])
    for n in (6, 7):
        c.add("cut-at-%d" % n, "byte %d: the file ends inside its version" % n, good[:n])
    for n in (8, 9):
        c.add("cut-at-%d" % n, "byte %d: the file ends inside its header's length" % n, good[:n])
    for n in range(10, 10 + len(header()), 4):
        c.add("cut-at-%d" % n, "byte 8: the header claims %d bytes, %d follow" % (len(header()), n - 10), good[:n])
    for n in range(8):
        c.add("data-%d-of-8-bytes" % n, "shape and type need 8 bytes of data, %d follow" % n, good[: len(good) - 8 + n])
    for n in (1, 4, 8):
        c.add("data-long-by-%d" % n, "shape and type need 8 bytes of data, %d follow" % (8 + n), good + b"\0" * n)

    # The start of the file.
    for name, start in (("x90", b"\x90NUMPY"), ("x92", b"\x92NUMPY"), ("lower-case", b"\x93numpy"), ("no-first-byte", b"NUMPY\x01"),
                        ("utf8", b"\xc2\x93NUMP"), ("last-letter", b"\x93NUMPX"), ("nul", b"\0NUMPY"), ("text", b"1,2,3\n"), ("hdf5", b"\x89HDF\r\n"),
                        ("gzip", b"\x1f\x8b\x08\0\0\0"), ("byte-order-mark", b"\xef\xbb\xbf\x93NU"), ("newline-first", b"\n\x93NUMP")):
        c.add("magic-" + name, "byte 0: this is no NPY file: it does not start with \\x93NUMPY", start + good[6:])
    c.add("zip", "byte 0: this is a zip archive, as NPZ files are; read it as NPZ", b"PK\3\4" + good)
    for protocol in (2, 3, 4, 5):
        c.add("pickle-protocol-%d" % protocol, "byte 0: this is a Python pickle, which is not read", bytes([0x80, protocol]) + b"cos\nsystem\n")
    for version in ((1, 1), (0, 0), (0, 1), (2, 2), (4, 0), (255, 255), (2, 1), (3, 1), (1, 255), (255, 0)):
        c.add("version-%d-%d" % version, "byte 6: version %d.%d is unknown; 1.0, 2.0 and 3.0 are read" % version,
              MAGIC + bytes(version) + b"\x10\0\0\0" + header().encode() + f32(1, 2))
    for version in (1, 2, 3):
        c.add("header-length-0-version-%d" % version, "byte 8: the header has length 0", file("", f32(1, 2), (version, 0)))
    c.add("header-length-65535", "byte 8: the header claims 65535 bytes", file(header(), f32(1, 2), length=65535))
    for version in (2, 3):
        for n in (2**32 - 1, 2**31, 2**31 - 1, 2**20):
            c.add("header-length-%d-version-%d" % (n, version), "byte 8: the header claims %d bytes" % n, file(header(), f32(1, 2), (version, 0), length=n))
    c.add("header-length-short-by-1", "'shape' is", file(header(shape="3"), f32(1, 2), length=len(header(shape="3")) - 1))
    c.add("header-length-cuts-the-brace", "the header's dictionary is not closed", file(header(), f32(1, 2), length=len(header()) - 3))

    # The dictionary.
    for name, text, said in (
        ("spaces", "    \n", "the header is not a dictionary"),
        ("list", "['<f4', False, (2,)]\n", "byte 10: the header is not a dictionary"),
        ("tuple", "('<f4', False, (2,))\n", "the header is not a dictionary"),
        ("number", "7\n", "the header is not a dictionary"),
        ("json-null", "null\n", "the header is not a dictionary"),
        ("call", "dict(descr='<f4')\n", "the header is not a dictionary"),
        ("code", "__import__('os').system('id')\n", "the header is not a dictionary"),
        ("empty", "{}\n", "the header has no 'descr'"),
        ("no-descr", "{'fortran_order': False, 'shape': (2,)}\n", "the header has no 'descr'"),
        ("no-order", "{'descr': '<f4', 'shape': (2,)}\n", "the header has no 'fortran_order'"),
        ("no-shape", "{'descr': '<f4', 'fortran_order': False}\n", "the header has no 'shape'"),
        ("extra-key", "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}\n", "the header has an unknown key 'x'"),
        ("key-upper-case", "{'Descr': '<f4', 'fortran_order': False, 'shape': (2,)}\n", "the header has an unknown key 'Descr'"),
        ("key-with-space", "{'descr ': '<f4', 'fortran_order': False, 'shape': (2,)}\n", "the header has an unknown key 'descr '"),
        ("descr-twice", "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}\n", "the header has the key 'descr' twice"),
        ("shape-twice", "{'descr': '<f4', 'shape': (2,), 'fortran_order': False, 'shape': (3,)}\n", "the header has the key 'shape' twice"),
        ("key-number", "{1: '<f4'}\n", "a key of the header is not a text in quotes"),
        ("key-bytes", "{b'descr': '<f4'}\n", "a key of the header is not a text in quotes"),
        ("key-bare", "{descr: '<f4'}\n", "a key of the header is not a text in quotes"),
        ("key-with-escape", "{'de\\x73cr': '<f4'}\n", "a key of the header has an escape in it"),
        ("triple-quotes", "{'''descr''': '<f4'}\n", "the header has an unknown key ''"),
        ("set", "{'descr', 'fortran_order', 'shape'}\n", "a colon is expected after 'descr'"),
        ("equals", "{'descr'= '<f4'}\n", "a colon is expected after 'descr'"),
        ("no-comma", "{'descr': '<f4' 'fortran_order': False}\n", "a comma or } is expected in the header"),
        ("two-commas", "{'descr': '<f4',, 'fortran_order': False}\n", "a key of the header is not a text in quotes"),
        ("leading-comma", "{, 'descr': '<f4'}\n", "a key of the header is not a text in quotes"),
        ("unclosed", "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)\n", "the header's dictionary is not closed"),
        ("unclosed-tuple", "{'descr': '<f4', 'fortran_order': False, 'shape': (2,", "the header's dictionary is not closed"),
        ("unclosed-quote", "{'descr': '<f4, 'fortran_order\n", "the type '<f4, ' is unknown"),
        ("unclosed-last-quote", "{'descr': '<f4\n", "a quote in the header is not closed"),
        ("mixed-quotes", "{'descr\": '<f4'}\n", "the header has an unknown key 'descr\": '"),
        ("text-after", header()[:-1] + "x\n", "text follows the header's dictionary"),
        ("second-dictionary", header()[:-1] + "{}\n", "text follows the header's dictionary"),
        ("semicolon-and-code", header()[:-1] + ";import os\n", "text follows the header's dictionary"),
        ("nul-padding", header()[:-1] + "\0\0\0\n", "text follows the header's dictionary"),
        ("comment", "{'descr': '<f4', # x\n 'fortran_order': False, 'shape': (2,)}\n", "a key of the header is not a text in quotes"),
        ("brackets-bomb", "(" * 30000 + "\n", "the header is not a dictionary"),
        ("brackets-bomb-in-the-shape", header(shape="(" * 30000), "a size in 'shape' is not a whole number"),
        ("braces-bomb", "{" * 30000 + "\n", "a key of the header is not a text in quotes"),
    ):
        c.add("header-" + name, said, file(text, f32(1, 2)))

    # The shape.
    for name, shape, said in (
        ("list", "[2]", "'shape' is not a tuple"), ("number", "2", "'shape' is not a tuple"), ("none", "None", "'shape' is not a tuple"),
        ("string", "'2'", "'shape' is not a tuple"), ("number-in-brackets", "(2)", "'shape' is a number in brackets, not a tuple"),
        ("negative", "(-2,)", "a size in 'shape' is negative"), ("minus-one", "(-1,)", "a size in 'shape' is negative"),
        ("two-negatives", "(-1, -2)", "a size in 'shape' is negative"), ("plus", "(+2,)", "a size in 'shape' is not a whole number"),
        ("float", "(2.0,)", "a size in 'shape' is not a whole number"), ("exponent", "(2e0,)", "a size in 'shape' is not a whole number"),
        ("text", "('2',)", "a size in 'shape' is not a whole number"), ("true", "(True,)", "a size in 'shape' is not a whole number"),
        ("nested", "((2,),)", "a size in 'shape' is not a whole number"), ("hexadecimal", "(0x2,)", "a size in 'shape' is not a whole number"),
        ("underscore", "(1_0,)", "a size in 'shape' is not a whole number"), ("long", "(2L,)", "a size in 'shape' is not a whole number"),
        ("leading-zero", "(02,)", "a size in 'shape' starts with 0"), ("sum", "(1+1,)", "a size in 'shape' is not a whole number"),
        ("comma-alone", "(,)", "a size in 'shape' is not a whole number"), ("two-commas", "(2,,)", "a size in 'shape' is not a whole number"),
        ("33-sizes", "(" + "1, " * 32 + "2)", "'shape' has more than 32 sizes"),
        ("2-to-63", "(9223372036854775808,)", "a size in 'shape' is larger than 2^63 - 1"),
        ("2-to-64", "(18446744073709551616,)", "a size in 'shape' is larger than 2^63 - 1"),
        ("2-to-64-plus-2", "(18446744073709551618,)", "a size in 'shape' is larger than 2^63 - 1"),
        ("1000-digits", "(" + "9" * 1000 + ",)", "a size in 'shape' is larger than 2^63 - 1"),
        ("product-over-2-to-64", "(9223372036854775807, 9223372036854775807)", "the shape multiplies to more than 2^64 bytes"),
        ("product-wraps-to-0", "(4294967296, 1073741824)", "the shape multiplies to more than 2^64 bytes"),
        ("product-wraps-to-the-right-size", "(2, 2147418113, 2147549185)", "the shape multiplies to more than 2^64 bytes"),
        ("int32-wrap", "(65536, 65537)", "shape and type need 17180131328 bytes of data, 8 follow"),
        ("claims-4-gib", "(1073741824,)", "shape and type need 4294967296 bytes of data, 8 follow"),
        ("claims-2-to-62", "(1152921504606846976,)", "shape and type need 4611686018427387904 bytes of data"),
        ("scalar-with-two", "()", "shape and type need 4 bytes of data, 8 follow"),
        ("zero-with-data", "(0,)", "shape and type need 0 bytes of data, 8 follow"),
    ):
        c.add("shape-" + name, said, file(header(shape=shape), f32(1, 2)))
    c.add("shape-overflow-hidden-by-zero", "the shape multiplies to more than 2^64 bytes",
          file(header(shape="(4294967296, 4294967296, 0)")))

    for name, order in (("string", "'False'"), ("zero", "0"), ("one", "1"), ("lower-case", "false"), ("lower-case-true", "true"), ("none", "None"), ("empty-list", "[]")):
        c.add("order-" + name, "'fortran_order' is neither True nor False", file(header(order=order), f32(1, 2)))

    objects, texts = "is an array of Python objects", "is an array of texts"
    for name, descr, said in (
        ("object", "'|O'", objects), ("object-8", "'|O8'", objects), ("object-little", "'<O'", objects),
        ("unicode", "'<U2'", texts), ("bytes", "'|S8'", texts), ("bytes-a", "'|a8'", texts), ("void", "'|V8'", "is an array of records"),
        ("complex64", "'<c8'", "is complex"), ("complex128", "'<c16'", "is complex"), ("datetime", "'<M8[ns]'", "is an array of dates"),
        ("timedelta", "'<m8[s]'", "is an array of dates"), ("long-double", "'<f16'", "is long double"), ("long-double-12", "'<f12'", "is long double"),
        ("float3", "'<f3'", "the type '<f3' is unknown"), ("int3", "'<i3'", "is unknown"), ("int16-bytes", "'<i16'", "is unknown"), ("empty", "''", "the type '' is unknown"),
        ("order-only", "'<'", "the type '<' is unknown"), ("name", "'float32'", "the type 'float32' is unknown"), ("no-order", "'f4'", "the type 'f4' is unknown"),
        ("two-fields", "'<f4,<f4'", "is unknown"), ("subarray", "'2<f4'", "is unknown"), ("trailing-space", "'<f4 '", "is unknown"), ("order-at", "'@f4'", "is unknown"),
        ("order-bang", "'!f4'", "is unknown"), ("capital", "'<F4'", "is unknown"), ("leading-zero", "'<f04'", "is unknown"),
        ("native-order", "'=f4'", "does not say its byte order"), ("no-byte-order", "'|f4'", "does not say its byte order"),
        ("list", "[('x', '<f4')]", "'descr' is a list: an array of records"), ("tuple", "('<f4', (2,))", "'descr' of the header is not a text in quotes"),
        ("none", "None", "'descr' of the header is not a text in quotes"), ("number", "4", "'descr' of the header is not a text in quotes"),
        ("escape", "'\\x3cf4'", "'descr' of the header has an escape in it"),
        ("terminal-escape", "'\x1b[31m'", "the type '?[31m' is unknown"),
    ):
        c.add("descr-" + name, said, file(header(descr), f32(1, 2)))
    for descr, size in (("<f8", 16), ("<f2", 4), ("<i8", 16), ("|u1", 2), ("|b1", 2), (">i2", 4)):
        c.add("descr-%s-for-f4-data" % descr[1:], "shape and type need %d bytes of data, 8 follow" % size, file(header("'%s'" % descr), f32(1, 2)))
    c.add("bool-2", "element 1 of a bool array is neither 0 nor 1", file(header("'|b1'", shape="(3,)"), b"\1\2\1"))
    c.add("bool-255", "element 0 of a bool array is neither 0 nor 1", file(header("'|b1'", shape="(1,)"), b"\xff"))

    accepted(c)
    return c


def accepted(c):
    def ok(name, shape, values, content):
        c.add("ok-" + name, " ".join(["ok", shape_text(shape)] + [number(v) for v in values]), content)

    for version in (1, 2, 3):
        ok("version-%d" % version, [2], [1, 2], file(header(), f32(1, 2), (version, 0)))
    ok("as-numpy-pads-it", [2, 2], [1, 2, 3, 4], array((2, 2), 1, 2, 3, 4))
    ok("scalar", [], [7], file(header(shape="()"), f32(7)))
    ok("empty", [0, 3], [], file(header(shape="(0, 3)")))
    ok("zero-before-an-overflow", [0, 4294967296, 4294967296], [], file(header(shape="(0, 4294967296, 4294967296)")))
    ok("keys-in-another-order", [2], [1, 2], file("{'shape': (2,), 'descr': '<f4', 'fortran_order': False}\n", f32(1, 2)))
    ok("double-quotes", [2], [1, 2], file(header().replace("'", '"'), f32(1, 2)))
    ok("no-spaces", [1, 2], [1, 2], file("{'descr':'<f4','fortran_order':False,'shape':(1,2)}", f32(1, 2)))
    ok("many-spaces", [1, 2], [1, 2], file(" { 'descr' :\t'<f4' ,\n 'fortran_order' : False , 'shape' : ( 1 , 2 , ) , } \n", f32(1, 2)))
    ok("trailing-comma-in-the-shape", [1, 2], [1, 2], file(header(shape="(1, 2,)"), f32(1, 2)))
    ok("32-sizes", [1] * 31 + [2], [1, 2], file(header(shape="(" + "1, " * 31 + "2)"), f32(1, 2)))
    ok("fortran-order", [2, 3], [1, 2, 3, 4, 5, 6], file(header(order="True", shape="(2, 3)"), f32(1, 4, 2, 5, 3, 6)))
    ok("fortran-order-one-dimension", [2], [1, 2], file(header(order="True"), f32(1, 2)))
    ok("fortran-order-three-dimensions", [2, 2, 2], range(8), file(header(order="True", shape="(2, 2, 2)"), f32(0, 4, 2, 6, 1, 5, 3, 7)))
    ok("fortran-order-empty", [2, 0], [], file(header(order="True", shape="(2, 0)")))
    ok("fortran-order-big-endian", [2, 2], [1, 2, 3, 4], file(header("'>f4'", "True", "(2, 2)"), struct.pack(">4f", 1, 3, 2, 4)))
    ok("infinity-and-subnormal", [3], [float("inf"), -0.0, struct.unpack("<f", b"\1\0\0\0")[0]], file(header(shape="(3,)"), struct.pack("<3I", 0x7F800000, 0x80000000, 1)))
    ok("nan", [1], [float("nan")], file(header(shape="(1,)"), struct.pack("<I", 0x7FC00001)))
    for code, pack, values in (("f8", "d", [0.1, -2]), ("f4", "f", [0.5, -2]), ("f2", "e", [0.5, -2]), ("i8", "q", [-(2**40), 5]), ("i4", "i", [-(2**31), 5]),
                               ("i2", "h", [-(2**15), 5]), ("u8", "Q", [2**40, 5]), ("u4", "I", [2**32 - 1, 5]), ("u2", "H", [65535, 5])):
        for order in "<>":
            ok("%s-%s-endian" % (code, "little" if order == "<" else "big"), [2], values, file(header("'%s%s'" % (order, code)), struct.pack(order + "2" + pack, *values)))
    ok("i1", [2], [-128, 127], file(header("'|i1'"), b"\x80\x7f"))
    ok("u1", [2], [128, 127], file(header("'|u1'"), b"\x80\x7f"))
    ok("bool", [2], [1, 0], file(header("'|b1'"), b"\1\0"))
