"""The Keras text's convolutional net in a hand-written PyTorch loop: resident tensors, fused Adam.
usage: torch_convolutional.py [--epochs 3]"""

import argparse
import time

start = time.perf_counter()
import torch
import torch.nn.functional as F
from mnist import load, report
from torch import nn

p = argparse.ArgumentParser()
p.add_argument("--epochs", type=int, default=3)
a = p.parse_args()
torch.manual_seed(0)
x, test = torch.from_numpy(load("train")), torch.from_numpy(load("t10k"))


class Upsample(nn.Module):
    def __init__(self, side):
        super().__init__()
        self.side = side

    def forward(self, images):
        return F.interpolate(images, scale_factor=2)[..., : self.side, : self.side]


def conv(n_in, n_out):
    return nn.Conv2d(n_in, n_out, 3, padding=1)


def pool():
    return nn.MaxPool2d(2, ceil_mode=True)


# fmt: off
net = nn.Sequential(
    nn.Unflatten(1, (1, 28, 28)),
    conv(1, 16), nn.ReLU(), pool(), conv(16, 8), nn.ReLU(), pool(), conv(8, 8), nn.ReLU(), pool(),
    conv(8, 8), nn.ReLU(), Upsample(7), conv(8, 8), nn.ReLU(), Upsample(14), conv(8, 16), nn.ReLU(),
    Upsample(28), conv(16, 1), nn.Flatten(),
)
# fmt: on
optimizer = torch.optim.Adam(net.parameters(), fused=True)


def step(batch):
    optimizer.zero_grad(set_to_none=True)
    loss = F.binary_cross_entropy_with_logits(net(batch), batch)
    loss.backward()
    optimizer.step()
    return loss.detach()


seconds = []
for _ in range(a.epochs):
    t = time.perf_counter()
    order, total = torch.randperm(len(x)), torch.zeros(())
    for i in range(0, len(x), 256):
        total += step(x[order[i : i + 256]])
    float(total)
    seconds.append(time.perf_counter() - t)
with torch.no_grad():
    report(
        "torch_convolutional",
        seconds,
        F.binary_cross_entropy_with_logits(net(test), test),
        time.perf_counter() - start,
    )
