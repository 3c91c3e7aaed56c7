#!/usr/bin/env python3
"""Writes the files of this folder: good and bad input for every reader, with what each must say.

    make_corpus.py            writes them
    make_corpus.py --check    only compares; exit code 1 if they differ
"""

import pathlib
import sys

import checkpoint_cases
import csv_cases
import idx_cases
import npy_cases
import npz_cases
import safetensors_cases


def main():
    folder = pathlib.Path(__file__).parent
    check = sys.argv[1:] == ["--check"]
    differ, good, bad = [], 0, 0
    for module in (safetensors_cases, checkpoint_cases, npy_cases, npz_cases, idx_cases, csv_cases):
        cases = module.cases()
        path = folder / (cases.kind + ".tsv")
        good += cases.good
        bad += len(cases.lines) - cases.good
        if check:
            if not path.exists() or path.read_bytes() != cases.text().encode():
                differ.append(path.name)
        else:
            path.write_bytes(cases.text().encode())
    print("%d good and %d bad cases" % (good, bad))
    if differ:
        sys.exit("not what make_corpus.py writes: " + ", ".join(differ))


if __name__ == "__main__":
    main()
