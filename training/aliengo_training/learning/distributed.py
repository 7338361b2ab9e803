"""Several GPUs on one host: one process each, started by `torchrun`, gradients averaged."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class World:
    """This process among its peers.

    Attributes:
        rank: 0 is the one that logs and saves.
        size: Number of processes; 1 without `torchrun`.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process logs and saves."""
        return self.rank == 0

    def average_(self, tensor: Tensor) -> None:
        """Replace a tensor by its mean over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(tensor)
            tensor.div_(self.size)

    def broadcast_(self, tensor: Tensor) -> None:
        """Replace a tensor by that of rank 0, in place."""
        if self.size > 1:
            dist.broadcast(tensor, 0)

    def close(self) -> None:
        """Leave the process group."""
        if self.size > 1:
            dist.destroy_process_group()


def join_world(device: str) -> World:
    """Join the process group that `torchrun` describes in the environment, or stand alone.

    Args:
        device: Device of this process; "cuda..." talks through NCCL, anything else through Gloo.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return World()
    # Optimisers import this later. Imported while a process group exists, it holds that for ever, and
    # Gloo's threads, still running at the interpreter's end, abort the process now and then.
    importlib.import_module("torch._dynamo")
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    return World(dist.get_rank(), size)


def device_of(device: str) -> str:
    """The device of this process: under `torchrun`, "cuda" means the GPU with the local rank."""
    if device.startswith("cuda") and "LOCAL_RANK" in os.environ:
        return f"cuda:{os.environ['LOCAL_RANK']}"
    return device


def seed_everything(seed: int, world: World, iteration: int = 0) -> None:
    """Seed torch so that every process draws differently but reproducibly, also when resumed at an iteration."""
    torch.manual_seed(seed + 1000 * world.rank + 1_000_003 * iteration)
