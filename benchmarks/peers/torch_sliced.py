"""A good hand-written PyTorch loop: resident tensors, one permutation per epoch, fused Adam.
usage: torch_sliced.py [--hidden 128,64] [--epochs 6] [--dataloader]"""

import argparse
import time

start = time.perf_counter()
import torch
import torch.nn.functional as F
from mnist import load, report

p = argparse.ArgumentParser()
p.add_argument("--hidden", default="")
p.add_argument("--epochs", type=int, default=6)
p.add_argument("--dataloader", action="store_true")
a = p.parse_args()
torch.manual_seed(0)
x, test = torch.from_numpy(load("train")), torch.from_numpy(load("t10k"))
widths = [784, *map(int, filter(None, a.hidden.split(","))), 32]
widths += widths[-2::-1]
layers = []
for i, (m, n) in enumerate(zip(widths, widths[1:])):
    layer = torch.nn.Linear(m, n)
    torch.nn.init.xavier_uniform_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    layers += [layer] + ([torch.nn.ReLU()] if i < len(widths) - 2 else [])
net = torch.nn.Sequential(*layers)
optimizer = torch.optim.Adam(net.parameters(), fused=not a.dataloader)
if a.dataloader:
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x), batch_size=256, shuffle=True)


def step(batch):
    optimizer.zero_grad(set_to_none=True)
    loss = F.binary_cross_entropy_with_logits(net(batch), batch)
    loss.backward()
    optimizer.step()
    return loss.detach()


def epoch():
    if a.dataloader:
        return sum(step(batch).item() for (batch,) in loader)
    order, total = torch.randperm(len(x)), torch.zeros(())
    for i in range(0, len(x), 256):
        total += step(x[order[i : i + 256]])
    return float(total)


seconds = []
for _ in range(a.epochs):
    t = time.perf_counter()
    epoch()
    seconds.append(time.perf_counter() - t)
with torch.no_grad():
    report(
        "torch_dataloader" if a.dataloader else "torch_sliced",
        seconds,
        F.binary_cross_entropy_with_logits(net(test), test),
        time.perf_counter() - start,
    )
