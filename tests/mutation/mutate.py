#!/usr/bin/env python3
"""Plants the bugs of the *.bugs files one at a time and shows whether the tests notice.

    tests/mutation/mutate.py                      # all of them; about 20 seconds each
    tests/mutation/mutate.py --only softmax       # those with this word in the title or the file's name
    tests/mutation/mutate.py --list               # what there is
    tests/mutation/mutate.py --check              # whether every entry still applies; builds nothing
    tests/mutation/mutate.py --native             # those of native.bugs, in a build for this machine; needs AVX-512 and AMX

A bug is four or more lines, with an empty line behind them:

    what is wrong
    path/of/the/file.cpp  test_program  gtest_filter
    - text that stands exactly once in the file
    + what stands there instead

Several lines with - or + make one text of several lines. The filter may be left out. Bugs are planted in copies of the
tree below build/mutation, never in the tree itself.
"""

import argparse
import os
import queue
import resource
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# A test program that is still running then has noticed, too. Processor time, since other work may hold the machine up.
MOST_PROCESSOR_SECONDS = 300
MOST_SECONDS = 1800


@dataclass
class Bug:
    title: str
    file: str
    program: str
    filter: str
    before: str
    after: str
    where: str

    def problem(self):
        """Why this entry does not apply to the tree, or an empty string."""
        path = ROOT / self.file
        if not path.is_file():
            return f"{self.where}: there is no {self.file}"
        count = path.read_text().count(self.before)
        if count != 1:
            return f"{self.where}: `{self.before}` stands {count} times in {self.file}, not once"
        return ""


def parse(path):
    bugs = []
    block = []
    for number, line in enumerate(path.read_text().split("\n") + [""], start=1):
        if line.startswith("#"):
            continue
        if line.strip():
            block.append((number, line))
            continue
        if not block:
            continue
        where = f"{path.relative_to(ROOT)}:{block[0][0]}"
        texts = [text for _, text in block]
        before = [t[2:] for t in texts[2:] if t.startswith("-")]
        after = [t[2:] for t in texts[2:] if t.startswith("+")]
        head = texts[1].split() if len(texts) > 1 else []
        if len(head) not in (2, 3) or not before or len(before) + len(after) != len(texts) - 2:
            sys.exit(f"{where}: not a bug: a title, `file program [filter]`, lines with - and lines with +")
        bugs.append(Bug(texts[0], head[0], head[1], head[2] if len(head) == 3 else "*", "\n".join(before),
                        "\n".join(after), where))
        block = []
    return bugs


def limit_processor_time():
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_PROCESSOR_SECONDS, MOST_PROCESSOR_SECONDS))


class Copy:
    """A copy of the tree with a build folder of its own."""

    def __init__(self, folder, native):
        self.source = folder / "source"
        self.build = folder / "build"
        self.copy_tree()
        # -O1 without this machine's instructions compiles quickly. Warnings about a bug's leftovers do not matter.
        self.run_or_exit(["cmake", "-G", "Ninja", "-S", self.source, "-B", self.build, "-DCMAKE_BUILD_TYPE=Debug",
                          "-DCMAKE_CXX_FLAGS_DEBUG=-O1", f"-DREEL_NATIVE={'ON' if native else 'OFF'}", "-DREEL_WERROR=OFF",
                          "-DCMAKE_GTEST_DISCOVER_TESTS_DISCOVERY_MODE=PRE_TEST"])

    def copy_tree(self):
        names = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                               check=True, stdout=subprocess.PIPE).stdout.decode().split("\0")
        wanted = {name for name in names if name and (ROOT / name).is_file()}
        for old in self.source.rglob("*"):
            if old.is_file() and str(old.relative_to(self.source)) not in wanted:
                old.unlink()
        for name in wanted:
            to = self.source / name
            if to.is_file() and to.read_bytes() == (ROOT / name).read_bytes():
                continue  # left alone, so that nothing is built again
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, to)

    def run_or_exit(self, command):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            sys.exit(done.stdout)

    def compiles(self, program):
        done = subprocess.run(["cmake", "--build", self.build, "-j1", "--target", program], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        return done.returncode == 0, done.stdout

    def passes(self, program, test_filter):
        command = [self.build / "tests" / program, f"--gtest_filter={test_filter}", "--gtest_fail_fast", "--gtest_brief=1"]
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=MOST_SECONDS,
                                  preexec_fn=limit_processor_time, text=True, errors="replace", cwd=self.build)
        except subprocess.TimeoutExpired:
            return False, "it did not end"
        # Without a test there is nothing that could fail.
        return done.returncode == 0 and "[  PASSED  ] 0 tests" not in done.stdout, done.stdout

    def try_bug(self, bug):
        path = self.source / bug.file
        original = path.read_text()
        path.write_text(original.replace(bug.before, bug.after))
        try:
            compiles, text = self.compiles(bug.program)
            if not compiles:
                return "does not compile", text
            passes, text = self.passes(bug.program, bug.filter)
            return ("survived", "") if passes else ("killed", text)
        finally:
            path.write_text(original)


def require_green(copy, bugs):
    """The tests must pass before anything is planted."""
    for program in sorted({bug.program for bug in bugs}):
        compiles, text = copy.compiles(program)
        if not compiles:
            sys.exit(f"{program} does not compile without a bug:\n{text}")
        filters = sorted({bug.filter for bug in bugs if bug.program == program})
        for test_filter in ["*"] if "*" in filters else filters:
            passes, text = copy.passes(program, test_filter)
            if not passes:
                sys.exit(f"{program} --gtest_filter={test_filter} fails, or runs nothing, without a bug:\n{text}")


def plant(bugs, jobs, native, verbose):
    folder = ROOT / "build" / "mutation"
    copies = [Copy(folder / (f"native-{i}" if native else str(i)), native) for i in range(jobs)]
    waiting = queue.Queue()
    for bug in bugs:
        waiting.put(bug)
    outcomes = []
    printing = threading.Lock()

    def work(copy):
        while not waiting.empty():
            try:
                bug = waiting.get_nowait()
            except queue.Empty:
                return
            start = time.monotonic()
            outcome, text = copy.try_bug(bug)
            with printing:
                outcomes.append(outcome)
                print(f"{outcome:<9} {time.monotonic() - start:6.1f} s  {bug.file}: {bug.title}", flush=True)
                if verbose or outcome == "does not compile":
                    print(text, flush=True)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda copy: require_green(copy, bugs), copies))
        list(pool.map(work, copies))
    killed = outcomes.count("killed")
    print(f"{killed} of {len(bugs)} planted bugs were noticed")
    return killed == len(bugs)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", nargs="+", default=[""], metavar="WORD", help="bugs with one of these in title or file")
    options.add_argument("--jobs", type=int, default=1, help="how many bugs at once, each in a copy of its own")
    options.add_argument("--list", action="store_true", help="show the bugs")
    options.add_argument("--check", action="store_true", help="only check that every entry applies")
    options.add_argument("--native", action="store_true", help="the bugs of native.bugs, in a build for this machine")
    options.add_argument("--verbose", action="store_true", help="show what the tests said")
    chosen = options.parse_args()

    bugs = [bug for path in sorted(Path(__file__).parent.glob("*.bugs")) for bug in parse(path)]
    problems = [problem for problem in (bug.problem() for bug in bugs) if problem]
    if problems:
        sys.exit("\n".join(problems) + "\nthe code has changed: write what stands there now, and plant the bug again")
    bugs = [bug for bug in bugs if any(word in bug.title or word in bug.file for word in chosen.only)]
    if not chosen.check:
        bugs = [bug for bug in bugs if chosen.native == bug.where.startswith("tests/mutation/native.bugs")]
    if chosen.list:
        for bug in bugs:
            print(f"{bug.file}: {bug.title}  [{bug.program} {bug.filter}]")
    if chosen.list or chosen.check:
        print(f"{len(bugs)} bugs, every one of them applies")
        return 0
    return 0 if plant(bugs, max(1, chosen.jobs), chosen.native, chosen.verbose) else 1


if __name__ == "__main__":
    os.environ.setdefault("CCACHE_BASEDIR", str(ROOT / "build" / "mutation"))
    sys.exit(main())
