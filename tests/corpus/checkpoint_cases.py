"""Checkpoints: safetensors files whose metadata has a format, a version, a step and a SHA-256 over the whole file."""

import hashlib
import json
import struct

from corpus_format import Cases, f32

GOOD = {"format": "reel-checkpoint", "version": "1", "step": "12", "optimizer": "AdamW", "checksum": "0" * 64}


def file(metadata, values=f32(1, 2), damage=None, seal=True):
    tensor = {"dtype": "F32", "shape": [len(values) // 4], "data_offsets": [0, len(values)]}
    header = json.dumps({"__metadata__": metadata, "a": tensor}, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    header += b" " * (-len(header) % 8)
    data = struct.pack("<Q", len(header)) + header + values
    if damage:
        data = damage(data)
    key = b'"checksum":"'
    if seal and key in data:
        at = data.index(key) + len(key)
        data = data[:at] + hashlib.sha256(data).hexdigest().encode() + data[at + 64 :]
    return data


def changed(**changes):
    metadata = dict(GOOD, **changes)
    return {key: value for key, value in metadata.items() if value is not None}


def cases():
    c = Cases("checkpoint")
    good = file(GOOD)
    damaged = "the checksum does not match: the file is damaged"
    none = 'it is a safetensors file, but no checkpoint of Reel: its metadata has no format "reel-checkpoint"'
    for name, metadata in (("no-metadata", {}), ("no-format", changed(format=None)), ("model-format", changed(format="reel-model")),
                           ("torch-format", {"format": "pt"}), ("format-upper-case", changed(format="Reel-checkpoint"))):
        c.add(name, none, file(metadata))
    for version in ("2", "0", "", "1.0", "99999999999999999999", "one"):
        c.add("version-" + (version or "empty"), 'it is a checkpoint of version "%s"; this program reads version 1' % version, file(changed(version=version)))
        c.add("version-%s-with-another-checksum" % (version or "empty"), 'it is a checkpoint of version "%s"' % version, file(changed(version=version), seal=False))
    c.add("no-version", 'it is a checkpoint of version ""', file(changed(version=None)))
    for step in ("-1", "", "x", "1x", "1.5", "+1", " 1", "0x10", "9223372036854775808", "1e3", "NaN"):
        c.add("step-" + (step or "empty"), 'its step "%s" is not a number' % step, file(changed(step=step)))
    c.add("no-step", 'its step "" is not a number', file(changed(step=None)))
    c.add("no-checksum", damaged, file(changed(checksum=None)))
    for name, checksum in (("empty", ""), ("zeros", "0" * 64), ("short", "0" * 63), ("long", "0" * 65), ("not-hexadecimal", "g" * 64)):
        c.add("checksum-" + name, damaged, file(changed(checksum=checksum), seal=False))
    at = good.index(b'"checksum":"') + 12
    c.add("checksum-upper-case", damaged, good[:at] + good[at : at + 64].upper() + good[at + 64 :])
    c.add("checksum-of-the-data-only", damaged, good[:at] + hashlib.sha256(f32(1, 2)).hexdigest().encode() + good[at + 64 :])
    c.add("weight-changed", damaged, good[:-1] + bytes([good[-1] ^ 1]))
    c.add("weights-exchanged", damaged, good[:-8] + good[-4:] + good[-8:-4])
    c.add("step-changed", damaged, good.replace(b'"step":"12"', b'"step":"13"'))
    c.add("name-changed", damaged, good.replace(b'"a":{', b'"b":{'))
    c.add("weight-cut-off", "the file is cut short or damaged", good[:-4])

    c.add("ok-plain", "ok step 12", good)
    c.add("ok-step-0", "ok step 0", file(changed(step="0")))
    c.add("ok-largest-step", "ok step 9223372036854775807", file(changed(step="9223372036854775807")))
    c.add("ok-notes", "ok step 12; config={\"w\":1}; x=", file(dict(GOOD, **{"note.config": '{"w":1}', "note.x": ""})))
    c.add("ok-note-that-looks-like-a-checksum", 'ok step 12; a="checksum":"0"', file(dict(GOOD, **{"note.a": '"checksum":"0"'})))
    c.add("ok-note-in-utf8", "ok step 12; \u00e4=\u20ac", file(dict(GOOD, **{"note.\u00e4": "\u20ac"})))
    c.add("ok-weights-not-finite", "ok step 12", file(GOOD, f32(float("nan"), float("inf"))))
    c.add("ok-no-weights", "ok step 12", file(GOOD, b""))
    return c
