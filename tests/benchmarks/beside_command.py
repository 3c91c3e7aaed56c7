#!/usr/bin/env python3
"""A training step of `reel bench` beside the same step of any other program, in turn, each in a process of its own.

    tests/benchmarks/beside_command.py REEL CASE [--threads N] [--rounds N] [--precision KIND] -- COMMAND [ARGUMENT...]

COMMAND trains as CASE does, with as many threads, and prints `ms_median X` somewhere: the milliseconds of its median step.
The table has the median of the rounds and the range of their ratios.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys


def output_of(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"{command[0]}: exit code {done.returncode}")
    return done.stdout


def reel_step(chosen):
    told = json.loads(output_of([chosen.reel, "bench", "--case", chosen.case, "--threads", str(chosen.threads),
                                 "--precision", chosen.precision, "--json"]))
    return told["cases"][0]["ms_per_step"]


def other_step(command):
    found = re.findall(r"\bms_median ([0-9.]+)", output_of(command))
    if not found:
        sys.exit(f"{command[0]}: it printed no `ms_median X`")
    return float(found[-1])


def main():
    words = sys.argv[1:]
    at = words.index("--") if "--" in words else len(words)
    words, command = words[:at], words[at + 1 :]
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("reel")
    options.add_argument("case")
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--precision", default="f32", help="of Reel; the other program has its own")
    chosen = options.parse_args(words)
    if not command:
        options.error("name the other program behind --")
    ours, theirs = [], []
    for _ in range(chosen.rounds):
        ours.append(reel_step(chosen))
        theirs.append(other_step(command))
    ratios = sorted(b / a for a, b in zip(ours, theirs))
    print(f"{chosen.case}, {chosen.threads} thread(s): Reel {statistics.median(ours):.4g} ms, {command[0]} "
          f"{statistics.median(theirs):.4g} ms, {statistics.median(ratios):.2f}x ({ratios[0]:.2f} to {ratios[-1]:.2f})")


if __name__ == "__main__":
    main()
