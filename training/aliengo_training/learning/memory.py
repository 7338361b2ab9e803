"""How much GPU memory a run needs, and how many robots fit: counted, not measured.

The figures below are sums of array sizes, which are the same on a CPU: of Warp's arrays, and of
torch's, those that stay and those that an iteration has alive at once. What they leave out is
known only on the device: the CUDA context, the library's workspaces, the pools of captured graphs,
fragmentation. `fitting_num_envs` therefore takes twice the count and `RESERVE_BYTES` more.
`benchmark.py` measures the truth on a GPU.
"""

from __future__ import annotations

from typing import Dict, Optional

__all__ = ["CPU_NUM_ENVS", "counted_bytes", "fitting_num_envs", "free_gpu_bytes"]

#: Robots of a run on a CPU, where the user names no number: some 0.4 GB of MuJoCo's. The tasks'
#: own number, a GPU's, would take 23 GB and minutes for an iteration.
CPU_NUM_ENVS = 256

#: Arrays of MuJoCo Warp's model and data per robot, by `MujocoWarpSimulator.array_bytes`.
SIMULATOR_BYTES: Dict[str, int] = {"mujoco_warp": 31_660}
#: Torch's, for task aliengo_amp with its defaults (rollouts of 16 steps, 4 mini-batches): whatever
#: the number of robots is, and per robot what stays and what the update has alive at its peak. From
#: torch's memory profile of one iteration on a CPU with 2048 and 4096 robots.
LEARNING_BYTES = 273_000_000
LEARNING_BYTES_PER_ENV = 14_540 + 74_945
#: What is left to CUDA, its libraries and the screen.
RESERVE_BYTES = 2**30
#: Nobody has counted PhysX: two thirds of the memory are left to it.
_UNCOUNTED_SHARE = 1.0 / 3.0
_SMALLEST = 256


def counted_bytes(num_envs: int, sim: str = "mujoco_warp") -> int:
    """Bytes of the arrays of a run; without the physics for simulators that were not counted."""
    physics = SIMULATOR_BYTES.get(sim, 0)
    return LEARNING_BYTES + num_envs * (LEARNING_BYTES_PER_ENV + physics)


def fitting_num_envs(free_bytes: int, sim: str, wanted: int) -> int:
    """The wanted number of robots, halved until a run fits into the free memory.

    Args:
        free_bytes: Of the GPU.
        sim: Physics backend.
        wanted: What is taken where memory allows.

    Raises:
        ValueError: If not even 256 fit.
    """
    share = 1.0 if sim in SIMULATOR_BYTES else _UNCOUNTED_SHARE
    num_envs = wanted
    while 2 * counted_bytes(num_envs, sim) + RESERVE_BYTES > share * free_bytes:
        num_envs //= 2
        if num_envs < _SMALLEST:
            raise ValueError(
                f"{free_bytes / 2**30:.1f} GiB of free GPU memory are too little for {_SMALLEST} "
                f"robots in {sim}; give --num_envs to try all the same"
            )
    return num_envs


def free_gpu_bytes(device: str) -> Optional[int]:
    """Free memory of a CUDA device; None for other devices."""
    if not device.startswith("cuda"):
        return None
    import torch

    return int(torch.cuda.mem_get_info(torch.device(device))[0])
