"""IDX files: Y. LeCun, C. Cortes, C. Burges, the MNIST database."""

import struct
import zlib

from corpus_format import Cases, number, shape_text


def file(shape, data, kind=8, count=None, start=b"\0\0"):
    return start + bytes([kind, len(shape) if count is None else count]) + b"".join(struct.pack(">I", n) for n in shape) + data


def gzip(data, level=9, **wrong):
    squeeze = zlib.compressobj(level, zlib.DEFLATED, -15)
    packed = wrong.get("packed", squeeze.compress(data) + squeeze.flush())
    return b"\x1f\x8b\x08\0\0\0\0\0\x02\xff" + packed + struct.pack("<II", wrong.get("crc", zlib.crc32(data)), wrong.get("size", len(data) & 0xFFFFFFFF))


def cases():
    c = Cases("idx")
    good = file([1, 2, 2], b"\1\2\3\4")
    for pack, name in ((lambda d: d, ""), (gzip, "gzip-")):
        for n in range(4):
            c.add(name + "cut-at-%d" % n, "it ends inside the 4 bytes that start an IDX file", pack(good[:n]))
        for n in range(4, 16):
            c.add(name + "cut-at-%d" % n, "it ends inside the size of dimension %d" % ((n - 4) // 4), pack(good[:n]))
        for n in range(4):
            c.add(name + "data-%d-of-4-bytes" % n, "it holds %d of the 4 bytes that its header claims" % n, pack(good[: 16 + n]))
        c.add(name + "long-by-1", "it is longer than its header says", pack(good + b"\0"))
        c.add(name + "long-by-1000", "it is longer than its header says", pack(good + b"\0" * 1000))
        c.add(name + "first-byte-1", "this is no IDX file: the first two bytes are not 0", pack(b"\1" + good[1:]))
        c.add(name + "second-byte-1", "this is no IDX file: the first two bytes are not 0", pack(b"\0\1" + good[2:]))
        c.add(name + "little-endian-magic", "this is no IDX file: the first two bytes are not 0", pack(b"\x03\x08\0\0" + good[4:]))
    for name, data in (("text", b"1,2,3\n4,5,6\n"), ("png", b"\x89PNG\r\n\x1a\n"), ("npy", b"\x93NUMPY\1\0"), ("zip", b"PK\3\4aaaaaaaa")):
        c.add("is-" + name, "this is no IDX file", data)
    for kind in (0, 1, 7, 10, 15, 16, 127, 128, 255):
        c.add("type-%d" % kind, "element type %d (byte 2) is unknown; 8, 9, 11, 12, 13 and 14 are known" % kind, file([4], b"\1\2\3\4", kind))
    c.add("no-dimensions", "0 dimensions (byte 3); 1 to 8 are read", file([], b"\1"))
    for n in (9, 127, 255):
        c.add("%d-dimensions" % n, "%d dimensions (byte 3); 1 to 8 are read" % n, file([1] * n, b"\1"))
    for name, shape, said in (
        ("first-dimension-0", [0, 2, 2], "dimension 0 is 0"), ("last-dimension-0", [1, 2, 0], "dimension 2 is 0"), ("all-0", [0], "dimension 0 is 0"),
        ("product-0-mod-2-to-32", [65536, 65536], "its header claims 4294967296 bytes"),
        ("product-4-mod-2-to-32", [2**31 + 2, 2], "its header claims 4294967300 bytes"),
        ("product-0-mod-2-to-64", [2**31, 2**31, 4], "its dimensions multiply to more than 2^64 bytes"),
        ("product-over-2-to-64", [2**32 - 1] * 8, "its dimensions multiply to more than 2^64 bytes"),
        ("claims-3-terabytes", [60000, 7600, 7600], "its header claims 3465600000000 bytes of [60000, 7600, 7600] numbers, which cannot be in a file of 20 bytes"),
        ("claims-2-to-32-minus-1", [2**32 - 1], "its header claims 4294967295 bytes"),
        ("little-endian-sizes", [0x01000000], "its header claims 16777216 bytes"),
    ):
        c.add(name, said, file(shape, b"\1\2\3\4"))
    c.add("i16-claims-twice-the-file", "its header claims 80 bytes of [40] numbers", file([40], b"\1\2\3\4" * 10, 0x0B))
    c.add("f64-short-by-1", "it holds 15 of the 16 bytes that its header claims", file([2], b"\0" * 15, 0x0E))

    packed = gzip(good)
    for n in range(10, len(packed), 3):
        c.add("gzip-file-cut-at-%d" % n, "the gzip data ends too early", packed[:n])
    c.add("gzip-bad-checksum", "the gzip data is damaged: incorrect data check", gzip(good, crc=1))
    c.add("gzip-bad-length", "the gzip data is damaged: incorrect length check", gzip(good, size=7))
    c.add("gzip-bad-block", "the gzip data is damaged", gzip(good, packed=b"\xff\xff\xff\xff"))
    c.add("gzip-bad-method", "the gzip data is damaged: unknown compression method", b"\x1f\x8b\x07" + packed[3:])
    c.add("gzip-reserved-flags", "the gzip data is damaged", b"\x1f\x8b\x08\xe0" + packed[4:])
    c.add("gzip-trailing-byte", "1 bytes follow the gzip data", packed + b"\0")
    c.add("gzip-trailing-text", "5 bytes follow the gzip data", packed + b"hello")
    c.add("gzip-two-members", "it is longer than its header says", packed + packed)
    c.add("gzip-claims-more-than-it-can-hold", "its header claims 3465600000000 bytes", gzip(file([60000, 7600, 7600], b"\1\2\3\4")))
    c.add("gzip-claims-200-times-its-size", "it holds 1000000 of the 200000000 bytes that its header claims", gzip(file([2 * 10**8], b"\0" * 10**6), 0))
    c.add("gzip-claims-1000-times-its-size", "its header claims 1000000000 bytes from", gzip(file([10**9], b"\0" * 10**6), 0))
    c.add("gzip-bomb", "packed ones; more than 256 times as many are refused", gzip(file([2**26], b"\0" * 2**26)))
    c.add("gzip-bomb-after-a-small-array", "it is longer than its header says", gzip(good + b"\0" * 2**22))
    c.add("gzip-in-gzip", "this is no IDX file: the first two bytes are not 0", gzip(packed))
    c.add("not-finite", "number 1 is not finite in 32 bits", file([2], struct.pack(">2f", 1, float("nan")), 0x0D))
    c.add("infinite", "number 0 is not finite in 32 bits", file([1], struct.pack(">f", float("-inf")), 0x0D))
    c.add("f64-too-large-for-f32", "number 0 is not finite in 32 bits", file([1], struct.pack(">d", 1e39), 0x0E))

    pairs(c)

    def ok(name, shape, values, content):
        c.add("ok-" + name, " ".join(["ok", shape_text(shape)] + [number(v) for v in values]), content)

    ok("images", [1, 2, 2], [1, 2, 3, 4], good)
    ok("gzip", [1, 2, 2], [1, 2, 3, 4], packed)
    ok("gzip-stored", [1, 2, 2], [1, 2, 3, 4], gzip(good, 0))
    ok("gzip-well-packed", [100, 10], [0] * 1000, gzip(file([100, 10], b"\0" * 1000)))
    ok("eight-dimensions", [1] * 7 + [2], [5, 6], file([1] * 7 + [2], b"\5\6"))
    ok("u8", [2], [0, 255], file([2], b"\0\xff"))
    ok("i8", [2], [-128, 127], file([2], b"\x80\x7f", 9))
    ok("i16", [2], [-2, 300], file([2], struct.pack(">2h", -2, 300), 0x0B))
    ok("i32", [2], [-2, 70000], file([2], struct.pack(">2i", -2, 70000), 0x0C))
    ok("f32", [2], [-2.5, 0.5], file([2], struct.pack(">2f", -2.5, 0.5), 0x0D))
    ok("f64", [2], [-2.5, 0.5], file([2], struct.pack(">2d", -2.5, 0.5), 0x0E))
    return c


def pairs(c):
    images, labels = file([2, 1, 2], b"\0\xff\x33\x66"), file([2], b"\1\0")
    pair = dict(kind="idx-pair")
    c.add("pair-swapped", "it has one dimension, as labels have; images have at least two. Are the two files swapped?", labels, images, **pair)
    c.add("pair-labels-are-images", "it has shape [2, 1, 2]; labels have one dimension. Are the two files swapped?", images, images, **pair)
    c.add("pair-images-are-labels", "it has one dimension, as labels have", labels, labels, **pair)
    c.add("pair-one-label-too-few", "2 images, but 1 labels", images, file([1], b"\1"), **pair)
    c.add("pair-one-label-too-many", "2 images, but 3 labels", images, file([3], b"\1\0\1"), **pair)
    c.add("pair-label-10-of-10-classes", "label 10 of image 1 is no class; classes run from 0 to 9", images, file([2], b"\1\x0a"), kind="idx-pair-10")
    c.add("pair-label-255-of-10-classes", "of image 0 is no class; classes run from 0 to 9", images, file([2], b"\xff\0"), kind="idx-pair-10")
    c.add("pair-label-negative", "of image 1 is no class", images, file([2], b"\0\xff", 9), **pair)
    c.add("pair-label-fraction", "label 0.5 of image 1 is no class", images, file([2], struct.pack(">2f", 1, 0.5), 0x0D), **pair)
    c.add("pair-label-two-thousand-million", "label 2147483647 of image 0 is no class", images, file([2], struct.pack(">2i", 2**31 - 1, 0), 0x0C), **pair)
    c.add("pair-one-class", "every image has the same class; there is nothing to tell apart", images, file([2], b"\0\0"), **pair)
    c.add("ok-pair", "ok 2 of 2 classes; 1: 0 1; 0: 0.200000003 0.400000006", images, labels, **pair)
    c.add("ok-pair-gzip", "ok 2 of 2 classes; 1: 0 1; 0: 0.200000003 0.400000006", gzip(images), gzip(labels), **pair)
    c.add("ok-pair-10", "ok 2 of 10 classes; 9: 0 1; 0: 0.200000003 0.400000006", images, file([2], b"\x09\0"), kind="idx-pair-10")
    c.add("ok-pair-float-labels", "ok 2 of 2 classes; 1: 0 1; 0: 0.200000003 0.400000006", images, file([2], struct.pack(">2f", 1, 0), 0x0D), **pair)
