#!/usr/bin/env python3
"""How time and memory of a training step grow with batch, context, width and layers.

    tests/benchmarks/growth.py GPT_STEP [--threads N] [--rounds N] [--seconds S] [--axis NAME]...

GPT_STEP is the built benchmark of that name. One size at a time is doubled, the others stay as they are. For each
quantity the table shows its values, the exponent of a power law fitted to them (least squares of the logarithms), and the
exponent to expect; `off` marks what is more than 0.15 away from it. Times are the fastest steps of all rounds.
"""

import argparse
import json
import math
import subprocess

COMMON = {"layers": 4, "heads": 4, "width": 128, "vocabulary": 65, "context": 64, "batch": 8}

# Channels of a head stay 32, so that only the numbers of heads and of columns grow.
AXES = {
    "batch": ([2, 4, 8, 16, 32], lambda n: {"batch": n}),
    "context": ([64, 128, 256, 512, 1024], lambda n: {"context": n, "batch": 2}),
    "width": ([128, 256, 512, 1024], lambda n: {"width": n, "heads": n // 32, "batch": 4, "layers": 2}),
    "layers": ([2, 4, 8, 16], lambda n: {"layers": n}),
}


def products(result):
    """Of all layers, with the gelu of the hidden ones."""
    return sum(ms for op, ms in result["ops"].items() if "linear" in op)


# Per axis: what, where it stands in the output of gpt_step, and the least and the largest exponent to expect.
QUANTITIES = {
    "batch": [("step, ms", lambda r: r["ms"], 1, 1),
              ("products, ms", products, 1, 1),
              ("attention, ms", lambda r: r["ops"]["self_attention"], 1, 1),
              ("values, MiB", lambda r: r["values_mib"], 1, 1)],
    "context": [("step, ms", lambda r: r["ms"], 1, 2),
                ("products, ms", products, 1, 1),
                ("attention, ms", lambda r: r["ops"]["self_attention"], 1, 2),
                ("values, MiB", lambda r: r["values_mib"], 1, 1)],
    "width": [("step, ms", lambda r: r["ms"], 1, 2),
              ("products, ms", products, 2, 2),
              ("attention, ms", lambda r: r["ops"]["self_attention"], 1, 1),
              ("values, MiB", lambda r: r["values_mib"], 1, 1),
              ("weights, MiB", lambda r: r["weights_mib"], 2, 2)],
    "layers": [("step, ms", lambda r: r["ms"], 1, 1),
               ("products, ms", products, 1, 1),
               ("attention, ms", lambda r: r["ops"]["self_attention"], 1, 1),
               ("values, MiB", lambda r: r["values_mib"], 1, 1),
               ("weights, MiB", lambda r: r["weights_mib"], 1, 1)],
}


def measure(options, sizes):
    command = [options.program, "--threads", str(options.threads), "--seconds", str(options.seconds)]
    for name, value in sizes.items():
        command += ["--" + name, str(value)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def exponent(sizes, values):
    x, y = [math.log(s) for s in sizes], [math.log(v) for v in values]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y)) / sum((a - mean_x) ** 2 for a in x)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--axis", action="append", choices=AXES)
    options = parser.parse_args()
    print(f"{options.threads} thread(s)\n\n| doubled | quantity | values | expected | seen | last doubling | |")
    print("|---|---|---|---|---|---|---|")
    for axis in options.axis or AXES:
        sizes, change = AXES[axis]
        rounds = [[measure(options, COMMON | change(n)) for n in sizes] for _ in range(options.rounds)]
        for what, of, least, most in QUANTITIES[axis]:
            values = [min(of(one[i]) for one in rounds) for i in range(len(sizes))]
            seen = exponent(sizes, values)
            last = math.log2(values[-1] / values[-2])
            mark = "" if least - 0.15 <= seen <= most + 0.15 else "off"
            expected = f"{least}" if least == most else f"{least} to {most}"
            print(f"| {axis} {', '.join(map(str, sizes))} | {what} | {', '.join(f'{v:.3g}' for v in values)} "
                  f"| {expected} | {seen:.2f} | {last:.2f} | {mark} |", flush=True)


if __name__ == "__main__":
    main()
