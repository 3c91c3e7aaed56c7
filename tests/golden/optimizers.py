#!/usr/bin/env python3
"""Writes optimizers.txt: what PyTorch's optimizers and schedules do with small gradients that are exact in binary.

Each line is "name step numbers...": the weights after that step, or for a schedule "name first numbers...": the learning
rates of consecutive steps. tests/kernels/optimizer_test.cpp and tests/nn build the same inputs.

    python3 tests/golden/optimizers.py > tests/golden/optimizers.txt        (made with PyTorch 1.13)
"""
import torch

SIZE = 8


def start(size=SIZE):
    return torch.tensor([(i - 3) * 0.5 for i in range(size)], dtype=torch.float32)


def gradient(step, size=SIZE):
    return torch.tensor([((i * 7 + step * 3) % 11 - 5) * 0.125 for i in range(size)], dtype=torch.float32)


def show(name, step, values):
    print(name, step, *("%.9g" % v for v in values))


def run(name, make, clip=None):
    w = torch.nn.Parameter(start())
    optimizer = make([w])
    for step in range(1, 11):
        w.grad = gradient(step)
        if clip:
            torch.nn.utils.clip_grad_norm_([w], clip)
        optimizer.step()
        if step in (1, 3, 10):
            show(name, step, w.tolist())


o = torch.optim
run("sgd", lambda p: o.SGD(p, lr=0.1))
run("sgd_decay", lambda p: o.SGD(p, lr=0.1, weight_decay=0.05))
run("sgd_momentum", lambda p: o.SGD(p, lr=0.1, momentum=0.9))
run("sgd_dampening", lambda p: o.SGD(p, lr=0.1, momentum=0.9, dampening=0.5, weight_decay=0.05))
run("sgd_nesterov", lambda p: o.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.05))
run("adam", lambda p: o.Adam(p))
run("adam_l2", lambda p: o.Adam(p, lr=0.05, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1))
run("adamw", lambda p: o.AdamW(p, lr=0.05))
run("adamw_large_decay", lambda p: o.AdamW(p, lr=0.05, weight_decay=0.5))
run("adamw_betas", lambda p: o.AdamW(p, lr=0.05, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.2))
run("adamw_clipped", lambda p: o.AdamW(p, lr=0.05), clip=0.5)
run("sgd_clipped", lambda p: o.SGD(p, lr=0.1, momentum=0.9), clip=0.5)
run("rmsprop", lambda p: o.RMSprop(p))
run("rmsprop_momentum", lambda p: o.RMSprop(p, lr=0.02, momentum=0.9))
run("rmsprop_centered", lambda p: o.RMSprop(p, lr=0.02, alpha=0.9, eps=1e-4, centered=True))
run("rmsprop_all", lambda p: o.RMSprop(p, lr=0.02, alpha=0.9, momentum=0.5, centered=True, weight_decay=0.1))


def run_groups(name, make):
    """Two weights and a bias in two groups; the bias has no gradient in steps 2, 3 and 7."""
    first, bias, second = (torch.nn.Parameter(start(n)) for n in (5, 3, 8))
    optimizer = make([first, second], [bias])
    for step in range(1, 11):
        first.grad = gradient(step, 5)
        bias.grad = None if step in (2, 3, 7) else gradient(step + 1, 3)
        second.grad = gradient(step + 2, 8)
        optimizer.step()
        if step in (1, 3, 10):
            show(name, step, first.tolist() + bias.tolist() + second.tolist())


run_groups("groups_adamw", lambda a, b: o.AdamW([{"params": a}, {"params": b, "weight_decay": 0.0}], lr=0.05, weight_decay=0.1))
run_groups("groups_adam", lambda a, b: o.Adam([{"params": a}, {"params": b, "weight_decay": 0.0}], lr=0.05, weight_decay=0.1))
run_groups("groups_sgd", lambda a, b: o.SGD([{"params": a}, {"params": b, "weight_decay": 0.2, "lr": 0.05}], lr=0.1, momentum=0.9, dampening=0.25))
run_groups("groups_rmsprop", lambda a, b: o.RMSprop([{"params": a}, {"params": b, "weight_decay": 0.0}], lr=0.05, momentum=0.3, weight_decay=0.1))


def rates(name, count, make, rate=0.5):
    optimizer = o.SGD([torch.nn.Parameter(start())], lr=rate)
    schedule = make(optimizer)
    seen = []
    for _ in range(count):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    print(name, 0, *("%.17g" % r for r in seen))


s = o.lr_scheduler
rates("step_decay", 12, lambda p: s.StepLR(p, step_size=3, gamma=0.1))
rates("linear_warmup", 8, lambda p: s.LinearLR(p, start_factor=0.2, end_factor=1.0, total_iters=5))
rates("cosine", 11, lambda p: s.CosineAnnealingLR(p, T_max=10, eta_min=0.05))
rates("cosine_warmup", 15, lambda p: s.SequentialLR(
    p, [s.LinearLR(p, start_factor=0.2, total_iters=4), s.CosineAnnealingLR(p, T_max=10, eta_min=0.05)], milestones=[4]))
rates("one_cycle", 20, lambda p: s.OneCycleLR(p, max_lr=0.5, total_steps=20))
rates("one_cycle_linear", 17, lambda p: s.OneCycleLR(
    p, max_lr=0.5, total_steps=17, pct_start=0.4, anneal_strategy="linear", div_factor=10, final_div_factor=100))
