#!/usr/bin/env python3
"""Training steps of Reel beside the same steps in PyTorch, in turn, on the same machine.

    tests/benchmarks/beside_torch.py PROGRAM [--threads N] [--rounds N] [--precision KIND] [--case NAME]...

PROGRAM is the built `reel`. Every round times each contestant once; the table shows the medians and their ratio.
"""

import argparse
import glob
import json
import math
import os
import statistics
import subprocess
import sys
import time

# The libraries below PyTorch read these once, when they are loaded: torch.set_num_threads alone leaves the products on
# all cores.
THREADS = sys.argv[sys.argv.index("--threads") + 1] if "--threads" in sys.argv[:-1] else "1"
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = THREADS
# Two pools of threads take the cores from each other, so PyTorch gets the OpenBLAS that shares its OpenMP threads (Debian:
# libopenblas0-openmp); where there is none, waiting threads sleep early: if they spin, two are slower than one.
SHARED_POOL = glob.glob("/usr/lib/*/openblas-openmp")
if not SHARED_POOL:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
elif SHARED_POOL[0] not in os.environ.get("LD_LIBRARY_PATH", "").split(":"):
    os.environ["LD_LIBRARY_PATH"] = ":".join(filter(None, [SHARED_POOL[0], os.environ.get("LD_LIBRARY_PATH")]))
    os.execv(sys.executable, [sys.executable] + sys.argv)

try:
    import torch
except ImportError:
    sys.exit(f"{sys.argv[0]}: {sys.executable} has no PyTorch (Debian: python3-torch, which /usr/bin/python3 finds)")
import torch.nn as nn
import torch.nn.functional as F


def mlp(sizes, batch):
    layers = []
    for i, (a, b) in enumerate(zip(sizes, sizes[1:])):
        layers += [nn.ReLU()] if i else []
        layers.append(nn.Linear(a, b))
    model = nn.Sequential(*layers)
    x, y = torch.randn(batch, sizes[0]), torch.randint(sizes[-1], (batch,))
    return model, lambda: F.cross_entropy(model(x), y)


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.c_attn, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.c_fc, self.c_proj = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x, mask):
        b, t, w = x.shape
        q, k, v = (p.view(b, t, self.heads, w // self.heads).transpose(1, 2) for p in self.c_attn(self.ln_1(x)).split(w, 2))
        scores = (q @ k.transpose(-2, -1)) / math.sqrt(w // self.heads)
        a = F.softmax(scores.masked_fill(mask, float("-inf")), -1) @ v
        x = x + self.proj(a.transpose(1, 2).reshape(b, t, w))
        return x + self.c_proj(F.gelu(self.c_fc(self.ln_2(x)), approximate="tanh"))


def gpt(layers, heads, width, vocabulary, context, batch, t):
    model = nn.ModuleDict(
        dict(wte=nn.Embedding(vocabulary, width), wpe=nn.Embedding(context, width),
             h=nn.ModuleList(Block(width, heads) for _ in range(layers)), ln_f=nn.LayerNorm(width)))
    tokens, targets = torch.randint(vocabulary, (batch, t)), torch.randint(vocabulary, (batch * t,))
    mask = torch.triu(torch.ones(t, t, dtype=torch.bool), 1)

    def loss():
        x = model["wte"](tokens) + model["wpe"](torch.arange(t))
        for block in model["h"]:
            x = block(x, mask)
        return F.cross_entropy((model["ln_f"](x) @ model["wte"].weight.t()).view(batch * t, -1), targets)

    return model, loss


CASES = {
    "mlp-2-16-16-3-b32": (lambda: mlp((2, 16, 16, 3), 32), 0),
    "mlp-64-64-10-b32": (lambda: mlp((64, 64, 10), 32), 0),
    "mlp-784-128-10-b64": (lambda: mlp((784, 128, 10), 64), 0),
    "mlp-784-512-512-10-b128": (lambda: mlp((784, 512, 512, 10), 128), 0),
    "mlp-784-500-10-b500": (lambda: mlp((784, 500, 10), 500), 0),
    "gpt-4x128-b12-t64": (lambda: gpt(4, 4, 128, 65, 64, 12, 64), 1.0),
    "gpt2-124m-b4-t64": (lambda: gpt(12, 12, 768, 50257, 1024, 4, 64), 1.0),
}


def torch_step(make, clip):
    model, loss = make()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()

    return step


def milliseconds(step):
    step()
    times, begin = [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - begin < 1:
        start = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", default="f32", help="of Reel; PyTorch's is f32")
    parser.add_argument("--case", action="append", choices=CASES)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    print(f"{options.threads} thread(s), PyTorch {torch.__version__}, median of {options.rounds} rounds")
    print(f"{'case':26} {'reel ms':>10} {'torch ms':>10} {'ratio':>7}")
    for name in options.case or [n for n in CASES if not n.startswith("gpt2")]:
        step, ours, theirs = torch_step(*CASES[name]), [], []
        for _ in range(options.rounds):
            command = [options.program, "bench", "--case", name, "--threads", str(options.threads),
                       "--precision", options.precision, "--json"]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            ours.append(json.loads(out)["cases"][0]["ms_per_step"])
            theirs.append(milliseconds(step))
        a, b = statistics.median(ours), statistics.median(theirs)
        print(f"{name:26} {a:10.4f} {b:10.4f} {b / a:6.1f}x", flush=True)


if __name__ == "__main__":
    main()
