#!/usr/bin/env python3
"""Writes gpt2.safetensors, llama.safetensors and hf_gpt2.safetensors: tiny Transformers, and what PyTorch makes of
them.

gpt2   learned positions, GELU, biases, a head tied to the embedding; the parameters have GPT-2's names and shapes
llama  rotary positions, SwiGLU, no biases but the norms', a head of its own

Each of these two files holds, for one batch of tokens and labels:
    transformer.* lm_head.*   the weights, F32
    tokens labels             [batch, time], I32; the label -100 counts for nothing
    logits loss gradient.*    from weights and arithmetic in double precision, F64
    losses                    of 10 AdamW steps on that batch, each before its step, F64; the norm of the gradients is
                              limited to 1, which it exceeds
Everything is written out in plain operations, so that it depends on no layer of PyTorch's being like Reel's.

hf_gpt2 is laid out as Hugging Face's GPT2LMHeadModel is: linear weights [in, out], masks among the tensors, no head.
Its logits come from PyTorch's own layers, and stand with the tokens in the metadata.

    python3 tests/golden/gpt.py tests/golden        (made with PyTorch 1.13)
"""
import json
import math
import struct
import sys

import torch

BATCH = 3


def linear(w, name, x):
    y = x @ w[name + ".weight"].T
    return y + w[name + ".bias"] if name + ".bias" in w else y


def layer_norm(w, name, x):
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * w[name + ".weight"] + w[name + ".bias"]


def gelu(x):
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def rotate(x):
    """Turns the pairs (i, i + channels / 2) of x [batch, heads, time, channels] by position / 10000^(2 i / channels)."""
    time, half = x.shape[-2], x.shape[-1] // 2
    rate = 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = torch.arange(time, dtype=torch.float64)[:, None] * rate
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], -1)


def attention(w, name, x, c):
    batch, time, width = x.shape
    q, k, v = (
        part.view(batch, time, c["heads"], width // c["heads"]).transpose(1, 2)
        for part in linear(w, name + ".c_attn", x).split(width, 2)
    )
    if c["rotary"]:
        q, k = rotate(q), rotate(k)
    scores = q @ k.transpose(2, 3) / math.sqrt(width // c["heads"])
    later = torch.ones(time, time, dtype=torch.bool).triu(1)
    y = scores.masked_fill(later, -math.inf).softmax(-1) @ v
    return linear(w, name + ".c_proj", y.transpose(1, 2).reshape(batch, time, width))


def feed_forward(w, name, x, c):
    up = linear(w, name + ".c_fc", x)
    if not c["swiglu"]:
        return linear(w, name + ".c_proj", gelu(up))
    gate = linear(w, name + ".c_gate", x)
    return linear(w, name + ".c_proj", gate * torch.sigmoid(gate) * up)


def gpt(w, tokens, c):
    x = w["transformer.wte.weight"][tokens]
    if not c["rotary"]:
        x = x + w["transformer.wpe.weight"][: tokens.shape[1]]
    for i in range(c["layers"]):
        block = "transformer.h.%d." % i
        x = x + attention(w, block + "attn", layer_norm(w, block + "ln_1", x), c)
        x = x + feed_forward(w, block + "mlp", layer_norm(w, block + "ln_2", x), c)
    x = layer_norm(w, "transformer.ln_f", x)
    return x @ w["transformer.wte.weight" if c["tie_head"] else "lm_head.weight"].T


def shapes(c):
    width, rows = c["width"], {}
    rows["transformer.wte"] = (c["vocabulary"], width), False
    if not c["rotary"]:
        rows["transformer.wpe"] = (c["context"], width), False
    for i in range(c["layers"]):
        block = "transformer.h.%d." % i
        rows[block + "ln_1"] = (width,), True
        rows[block + "attn.c_attn"] = (3 * width, width), c["bias"]
        rows[block + "attn.c_proj"] = (width, width), c["bias"]
        rows[block + "ln_2"] = (width,), True
        rows[block + "mlp.c_fc"] = (4 * width, width), c["bias"]
        if c["swiglu"]:
            rows[block + "mlp.c_gate"] = (4 * width, width), c["bias"]
        rows[block + "mlp.c_proj"] = (width, 4 * width), c["bias"]
    rows["transformer.ln_f"] = (width,), True
    if not c["tie_head"]:
        rows["lm_head"] = (c["vocabulary"], width), False
    return rows


def weights(c):
    """Larger than GPT-2's at first, so that no part of the sum is too small to be seen."""
    w = {}
    for name, (shape, bias) in shapes(c).items():
        w[name + ".weight"] = torch.randn(shape) * 0.3 + (1 if len(shape) == 1 else 0)
        if bias:
            w[name + ".bias"] = torch.randn(shape[0]) * 0.3
    return w


def loss_of(w, tokens, labels, c):
    logits = gpt(w, tokens, c)
    return logits, torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)


def losses(w, tokens, labels, c, steps=10):
    """Weight decay for matrices alone, gradients no longer than 1."""
    p = {name: torch.nn.Parameter(x.double()) for name, x in w.items()}
    matrices = [x for x in p.values() if x.dim() > 1]
    vectors = [x for x in p.values() if x.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0}]
    adam = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), eps=1e-8)
    seen = []
    for _ in range(steps):
        adam.zero_grad()
        loss = loss_of(p, tokens, labels, c)[1]
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(list(p.values()), 1.0)
        assert norm > 1
        adam.step()
        seen.append(loss.item())
    return torch.tensor(seen, dtype=torch.float64)


def hf_weights(vocabulary, context, layers, width):
    w = {"wte.weight": (vocabulary, width), "wpe.weight": (context, width)}
    for i in range(layers):
        block = "h.%d." % i
        for name, columns in [("attn.c_attn", 3 * width), ("attn.c_proj", width), ("mlp.c_fc", 4 * width)]:
            w[block + name + ".weight"], w[block + name + ".bias"] = (width, columns), (columns,)
        w[block + "mlp.c_proj.weight"], w[block + "mlp.c_proj.bias"] = (4 * width, width), (width,)
    for norm in ["h.%d.ln_%d" % (i, k) for i in range(layers) for k in (1, 2)] + ["ln_f"]:
        w[norm + ".weight"] = w[norm + ".bias"] = (width,)
    w = {"transformer." + name: torch.randn(shape) * 0.4 for name, shape in w.items()}
    for i in range(layers):
        w["transformer.h.%d.attn.bias" % i] = torch.ones(1, 1, context, context, dtype=torch.bool).tril()
        w["transformer.h.%d.attn.masked_bias" % i] = torch.tensor(-1e4)
    return w


def hf_logits(w, tokens, layers, heads):
    """[batch, time, vocabulary], by PyTorch's own layers."""
    f = torch.nn.functional
    w = {name.replace("transformer.", ""): x if x.dtype == torch.bool else x.double() for name, x in w.items()}
    time, width = tokens.shape[1], w["wte.weight"].shape[1]
    norm = lambda name, x: f.layer_norm(x, (width,), w[name + ".weight"], w[name + ".bias"])
    conv1d = lambda name, x: f.linear(x, w[name + ".weight"].T, w[name + ".bias"])
    x = f.embedding(tokens, w["wte.weight"]) + w["wpe.weight"][:time]
    for i in range(layers):
        block = "h.%d." % i
        q, k, v = (
            part.unflatten(-1, (heads, width // heads)).transpose(1, 2)
            for part in conv1d(block + "attn.c_attn", norm(block + "ln_1", x)).chunk(3, -1)
        )
        seen = w[block + "attn.bias"][..., :time, :time]
        scores = torch.where(seen, q @ k.mT / math.sqrt(width // heads), -math.inf)
        x = x + conv1d(block + "attn.c_proj", (f.softmax(scores, -1) @ v).transpose(1, 2).flatten(2))
        x = x + conv1d(block + "mlp.c_proj", f.gelu(conv1d(block + "mlp.c_fc", norm(block + "ln_2", x)), approximate="tanh"))
    return f.linear(norm("ln_f", x), w["wte.weight"])


def write_safetensors(path, tensors, metadata):
    """https://github.com/huggingface/safetensors: length of the header, header, bytes."""
    names = {torch.float64: "F64", torch.float32: "F32", torch.int32: "I32", torch.bool: "BOOL"}
    header, data = {"__metadata__": metadata}, b""
    for name, x in sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0])):
        raw = x.detach().contiguous().numpy().tobytes()
        header[name] = {"dtype": names[x.dtype], "shape": list(x.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def main(folder):
    gpt2 = dict(vocabulary=11, context=8, layers=2, heads=2, width=16, bias=True, tie_head=True, rotary=False, swiglu=False)
    llama = dict(vocabulary=7, context=9, layers=1, heads=3, width=12, bias=False, tie_head=False, rotary=True, swiglu=True)
    for seed, (name, c) in enumerate({"gpt2": gpt2, "llama": llama}.items()):
        torch.manual_seed(seed)
        w = weights(c)
        tokens = torch.randint(c["vocabulary"], (BATCH, c["context"]))
        labels = torch.randint(c["vocabulary"], (BATCH, c["context"]))
        labels[0, 2] = labels[2, 5] = -100
        p = {n: x.double().requires_grad_() for n, x in w.items()}
        logits, loss = loss_of(p, tokens, labels, c)
        loss.backward()
        tensors = dict(w)
        tensors.update({"gradient." + n: x.grad for n, x in p.items()})
        tensors.update(logits=logits, loss=loss, losses=losses(w, tokens, labels, c))
        tensors.update(tokens=tokens.int(), labels=labels.int())
        write_safetensors("%s/%s.safetensors" % (folder, name), tensors, {k: str(int(v)) for k, v in c.items()})
        print(name, "loss", loss.item(), "losses", tensors["losses"].tolist())

    torch.manual_seed(2)
    w = hf_weights(vocabulary=10, context=6, layers=2, width=12)
    tokens = torch.randint(10, (1, 6))
    metadata = {"tokens": tokens.flatten().tolist(), "logits": hf_logits(w, tokens, layers=2, heads=3).flatten().tolist()}
    metadata = {name: " ".join(map(repr, values)) for name, values in metadata.items()}
    write_safetensors("%s/hf_gpt2.safetensors" % folder, w, metadata)


if __name__ == "__main__":
    main(sys.argv[1])
