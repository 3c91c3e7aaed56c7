"""NPZ files: zip archives of NPY files. The archives are put together here, byte by byte, so that they can be wrong."""

import struct
import zlib

from corpus_format import Cases
from npy_cases import array, file, header


class Member:
    def __init__(self, name, data, method=0, **wrong):
        self.name = name.encode() if isinstance(name, str) else name
        packed = data
        if method == 8:
            squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
            packed = squeeze.compress(data) + squeeze.flush()
        self.packed = wrong.get("packed", packed)
        self.flags = wrong.get("flags", 0)
        self.method = wrong.get("code", method)
        self.crc = wrong.get("crc", zlib.crc32(data))
        self.packed_size = wrong.get("packed_size", len(self.packed))
        self.size = wrong.get("size", len(data))
        self.local_name = wrong.get("local_name", self.name)
        self.at = wrong.get("at")

    def fields(self):
        return struct.pack("<HHHHHIII", 20, self.flags, self.method, 0, 33, self.crc, self.packed_size, self.size)

    def local(self):
        return b"PK\3\4" + self.fields() + struct.pack("<HH", len(self.local_name), 0) + self.local_name + self.packed

    def central(self, at):
        return b"PK\1\2" + struct.pack("<H", 20) + self.fields() + struct.pack("<HHHHHII", len(self.name), 0, 0, 0, 0, 0, self.at if self.at is not None else at) + self.name


def archive(*members, count=None, comment=b"", directory_at=None, directory_size=None, prefix=b""):
    body, central = prefix, b""
    for m in members:
        central += m.central(len(body))
        body += m.local()
    n = len(members) if count is None else count
    at = len(body) if directory_at is None else directory_at
    size = len(central) if directory_size is None else directory_size
    return body + central + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, n, n, size, at, len(comment)) + comment


def cases():
    c = Cases("npz")
    x, y = array((2,), 1, 2), array((3,), 4, 5, 6, kind="i")
    good = archive(Member("x.npy", x), Member("y.npy", y))

    c.add("empty-file", "the file is empty", b"")
    c.add("npy", "this is an NPY file; read it as NPY", x)
    for name, data in (("text", b"hello"), ("gzip", b"\x1f\x8b\x08\0"), ("rar", b"Rar!\x1a\x07"), ("one-byte", b"P"), ("pk-alone", b"PK"), ("junk-in-front", b"#!x\n" + good)):
        c.add("magic-" + name, "this is no NPZ file: it is not a zip archive", data)
    damaged = "the zip archive is damaged"
    for n in range(10, len(good), 40):
        c.add("cut-at-%d" % n, damaged, good[:n])
    c.add("cut-by-1", damaged, good[:-1])
    c.add("cut-by-22", damaged, good[:-22])
    c.add("count-too-large", damaged, archive(Member("x.npy", x), count=2))
    c.add("count-too-small", damaged, archive(Member("x.npy", x), Member("y.npy", y), count=1))
    c.add("directory-past-the-end", damaged, archive(Member("x.npy", x), directory_at=100_000))
    c.add("directory-at-0", damaged, archive(Member("x.npy", x), directory_at=0))
    c.add("directory-size-0", damaged, archive(Member("x.npy", x), directory_size=0))
    c.add("directory-size-huge", damaged, archive(Member("x.npy", x), directory_size=2**32 - 2))
    c.add("member-past-the-end", damaged, archive(Member("x.npy", x, at=5000)))
    c.add("local-name-differs", damaged, archive(Member("x.npy", x, local_name=b"z.npy")))

    for method, code in ((0, "stored"), (8, "deflated")):
        c.add("wrong-checksum-" + code, "[x.npy]: it is damaged", archive(Member("x.npy", x, method, crc=1)))
        c.add("data-changed-" + code, "[x.npy]: it is damaged",
              archive(Member("x.npy", x, method, packed=(lambda p: p[:-6] + bytes([p[-6] ^ 1]) + p[-5:])(Member("x", x, method).packed))))
    c.add("deflate-garbage", "[x.npy]: it is damaged", archive(Member("x.npy", x, 8, packed=b"\xff" * 40)))
    c.add("deflate-cut", "[x.npy]: it is damaged", archive(Member("x.npy", x, 8, packed=Member("x", x, 8).packed[:-8])))
    c.add("size-too-small", "[x.npy]: it is damaged", archive(Member("x.npy", x, 8, size=len(x) - 4)))
    c.add("size-too-large", "[x.npy]: it is damaged", archive(Member("x.npy", x, 8, size=len(x) + 4)))
    c.add("stored-size-differs", "bytes, which cannot be in", archive(Member("x.npy", x, size=len(x) + 4)))
    c.add("claims-4-gib", "it claims 4294967294 bytes, which cannot be in", archive(Member("x.npy", x, 8, size=2**32 - 2)))
    squeeze = zlib.compressobj(0, zlib.DEFLATED, -15)
    million = squeeze.compress(b"\0" * 10**6) + squeeze.flush()
    for times, said in ((200, "[x.npy]: it is damaged: it is shorter than the archive says"),
                        (1000, "[x.npy]: it claims 1000000000 bytes from")):
        c.add("claims-%d-times-its-size" % times, said,
              archive(Member("x.npy", b"", 8, packed=million, crc=zlib.crc32(b"\0" * 10**6), size=times * 10**6)))
    c.add("encrypted", "[x.npy]: it is encrypted", archive(Member("x.npy", x, flags=1)))
    for code in (1, 6, 12, 14, 93, 97, 98):
        c.add("method-%d" % code, "[x.npy]: it is packed by method %d; numpy.savez and numpy.savez_compressed use 0 and 8" % code, archive(Member("x.npy", x, code=code)))

    twice = "the name of a member is there twice"
    c.add("name-twice", twice, archive(Member("x.npy", x), Member("x.npy", y)))
    c.add("name-twice-same-data", twice, archive(Member("x.npy", x), Member("x.npy", x)))
    no_array = "it is no array: its name does not end in .npy"
    for name in ("x", "x.txt", "x.NPY", "x.npy/", ".npy", "x.npy ", "__MACOSX/x"):
        c.add("member-named-" + name.replace("/", "-slash").replace(" ", "-space"), no_array, archive(Member(name, x)))
    c.add("second-member-is-no-array", "[readme.txt]: " + no_array, archive(Member("x.npy", x), Member("readme.txt", b"hello")))
    c.add("name-with-terminal-escape", "[\\x1b[31m]: " + no_array, archive(Member("\x1b[31m", x)))

    # What is wrong inside a member is said with the member's name.
    for name, data, said in (
        ("empty", b"", "[x.npy]: byte 0: the file ends inside the 6 bytes that start an NPY file"),
        ("text", b"hello, world", "[x.npy]: byte 0: this is no NPY file"),
        ("objects", file(header("'|O'"), b"\x80\4."), "is an array of Python objects"),
        ("short", x[:-1], "shape and type need 8 bytes of data, 7 follow"),
        ("long", x + b"\0", "shape and type need 8 bytes of data, 9 follow"),
        ("pickle", b"\x80\4\x95", "this is a Python pickle, which is not read"),
        ("zip", good, "[x.npy]: byte 0: this is a zip archive"),
        ("claims-4-gib", file(header(shape="(1073741824,)")), "shape and type need 4294967296 bytes of data, 0 follow"),
    ):
        for method in (0, 8):
            c.add("member-%s-%s" % (name, "deflated" if method else "stored"), said, archive(Member("x.npy", data, method)))

    both = "ok; x [2] 1 2; y [3] 4 5 6"
    c.add("ok-stored", both, good)
    c.add("ok-deflated", both, archive(Member("x.npy", x, 8), Member("y.npy", y, 8)))
    c.add("ok-mixed", both, archive(Member("x.npy", x, 8), Member("y.npy", y)))
    c.add("ok-in-another-order", both, archive(Member("y.npy", y), Member("x.npy", x)))
    c.add("ok-no-members", "ok", archive())
    c.add("ok-comment", both, archive(Member("x.npy", x), Member("y.npy", y), comment=b"made by hand"))
    c.add("ok-folder-in-the-name", "ok; layer/w [2] 1 2", archive(Member("layer/w.npy", x)))
    c.add("ok-utf8-name", "ok; \u00e4 [2] 1 2", archive(Member("\u00e4.npy", x, flags=0x800)))
    c.add("ok-zeros-deflated", "ok; z [30, 30] " + " ".join(["0"] * 900), archive(Member("z.npy", array((30, 30), *[0.0] * 900), 8)))
    return c
