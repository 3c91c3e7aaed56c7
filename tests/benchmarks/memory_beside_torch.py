#!/usr/bin/env python3
"""Peak memory of training in Reel beside PyTorch, each in a process of its own.

    tests/benchmarks/memory_beside_torch.py GPT_STEP [--threads N] [--case NAME]...

GPT_STEP is the built benchmark of that name. Figures are the most that a process ever held (VmHWM of /proc/self/status), in
MiB, after at least five steps of the cases of beside_torch.py; what PyTorch holds after its imports, before there is a
model, and Reel's program when main begins, stand beside it.
"""

import argparse
import json
import subprocess
import sys

REEL = {
    "gpt-4x128-b12-t64": "",
    "gpt2-124m-b4-t64": "--layers 12 --heads 12 --width 768 --vocabulary 50257 --positions 1024 --batch 4",
}


def peak():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    sys.exit("/proc/self/status has no VmHWM")


def train_in_torch(case, threads):
    from beside_torch import CASES, torch, torch_step

    torch.set_num_threads(threads)
    imported = peak()
    step = torch_step(*CASES[case])
    for _ in range(5):
        step()
    print(json.dumps({"started_mib": imported, "peak_mib": peak()}))


def output_of(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)  # what it complains of is shown as it is
    if done.returncode != 0:
        sys.exit(f"{command[0]} ended with {done.returncode}")
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--case", action="append", choices=REEL)
    parser.add_argument("--torch-alone", action="store_true", help="what this script asks of itself")
    options = parser.parse_args()
    if options.torch_alone:
        return train_in_torch(options.case[0], options.threads)
    threads = ["--threads", str(options.threads)]
    print(f"{options.threads} thread(s), MiB\n\n| case | Reel at its start | Reel | PyTorch after imports | PyTorch | ratio |")
    print("|---|---|---|---|---|---|")
    for case in options.case or REEL:
        ours = output_of([options.program, *REEL[case].split(), *threads])
        theirs = output_of([sys.executable, __file__, options.program, "--torch-alone", "--case", case, *threads])
        print(f"| {case} | {ours['started_mib']:.0f} | {ours['peak_mib']:.0f} | {theirs['started_mib']:.0f} "
              f"| {theirs['peak_mib']:.0f} | {theirs['peak_mib'] / ours['peak_mib']:.1f}x |", flush=True)


if __name__ == "__main__":
    main()
