"""How a case is written down: one line, tab-separated: kind, name, expectation, content, and what the kind adds.

Bytes are written as text: printable ASCII stands for itself, everything else is \\xNN, and \\*COUNT(...) is a
repetition. The expectation is "ok" with what must have been read, or a part of the error message.
"""

import re
import struct

REPEATED = re.compile(rb"(.{1,8}?)\1{11,}", re.DOTALL)


def plain(data):
    text = ""
    for byte in data:
        char = chr(byte)
        text += char if 0x20 <= byte < 0x7F and char != "\\" else "\\x%02x" % byte
    return text


def escaped(data):
    if isinstance(data, str):
        data = data.encode()
    text, at = "", 0
    for match in REPEATED.finditer(data):
        unit = match.group(1)
        text += plain(data[at : match.start()])
        text += "\\*%d(%s)" % (len(match.group()) // len(unit), "".join("\\x%02x" % b if b in b"()" else plain(bytes([b])) for b in unit))
        at = match.end()
    return text + plain(data[at:])


def number(x, width=64):
    """A number as the replaying test prints it: %.9g, or the bits of a NaN."""
    if x != x:
        return "nan"
    return "%.9g" % x


def shape_text(shape):
    return "[" + ", ".join(str(n) for n in shape) + "]"


class Cases:
    def __init__(self, kind):
        self.kind = kind
        self.lines = []
        self.names = set()
        self.good = 0

    def add(self, name, expected, content, more=b"", kind=None):
        assert name not in self.names, name
        assert expected, name
        self.names.add(name)
        self.good += expected.startswith("ok")
        self.lines.append("\t".join([kind or self.kind, name, escaped(expected), escaped(content), escaped(more)]))

    def text(self):
        return "# kind\tcase\texpectation\tcontent\tmore\n" + "".join(line + "\n" for line in self.lines)


def f32(*values):
    return struct.pack("<%df" % len(values), *values)


def f64(*values):
    return struct.pack("<%dd" % len(values), *values)
