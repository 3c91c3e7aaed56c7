"""Unfused attention in PyTorch on a packed projection, beside attention_benchmark.

    python3 attention_torch.py [threads] [seconds]
"""

import math
import sys
import time

try:
    import torch
except ImportError:
    sys.exit(f"{sys.argv[0]}: {sys.executable} has no PyTorch (Debian: python3-torch, which /usr/bin/python3 finds)")


def measure(batch, heads, steps, channels, causal, seconds):
    width = heads * channels
    qkv = (torch.rand(batch, steps, 3 * width) * 2 - 1).requires_grad_()
    dy = torch.rand(batch, steps, width) * 2 - 1
    hidden = ~torch.ones(steps, steps, dtype=torch.bool).tril()

    def attend():
        q, k, v = (x.view(batch, steps, heads, channels).transpose(1, 2) for x in qkv.split(width, dim=2))
        scores = (q @ k.transpose(-2, -1)) * (1 / math.sqrt(channels))
        if causal:
            scores = scores.masked_fill(hidden, float("-inf"))
        return (torch.softmax(scores, -1) @ v).transpose(1, 2).reshape(batch, steps, width)

    forward, backward = [], []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(forward) < 3:
        qkv.grad = None
        begin = time.perf_counter()
        y = attend()
        middle = time.perf_counter()
        y.backward(dy)
        forward.append(middle - begin)
        backward.append(time.perf_counter() - middle)
    f, b = (sorted(x)[len(x) // 10] * 1e6 for x in (forward, backward))
    name = f"{batch:4} x {heads:2} heads x {steps:5} x {channels:3} {'causal' if causal else '':8}"
    print(f"{name} forward {f:9.1f} us   backward {b:9.1f} us   together {f + b:9.1f} us")


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    duration = float(sys.argv[2]) if len(sys.argv) > 2 else 1.0
    for problem in [
        (12, 4, 64, 32, True),
        (12, 4, 64, 32, False),
        (1, 12, 1024, 64, True),
        (1, 12, 1024, 64, False),
        (64, 4, 16, 16, True),
        (1, 1, 2048, 64, True),
    ]:
        measure(*problem, duration)
