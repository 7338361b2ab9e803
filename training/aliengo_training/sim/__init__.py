"""Physics backends behind one interface; `make_simulator` chooses by name."""

from __future__ import annotations

from typing import Optional

from aliengo_training.sim.simulator import SimulationConfig, Simulator

BACKENDS = ("mujoco_warp", "mujoco", "isaacgym")

__all__ = ["BACKENDS", "SimulationConfig", "Simulator", "make_simulator"]


def make_simulator(
    name: str,
    num_envs: int,
    device: str,
    config: Optional[SimulationConfig] = None,
    headless: bool = True,
) -> Simulator:
    """Build a physics backend; only the chosen one is imported.

    Args:
        name: One of `BACKENDS`.
        num_envs: Number of robots.
        device: Torch device name; the "mujoco" backend needs "cpu".
        config: Time stepping.
        headless: Without a window; only Isaac Gym has one of its own.

    Raises:
        ValueError: On an unknown name or a device that the backend cannot use.
    """
    if name == "mujoco":
        if not device.startswith("cpu"):
            raise ValueError(
                f"--sim mujoco runs on the CPU, found device {device!r}; use --rl_device cpu"
            )
        from aliengo_training.sim.mujoco_cpu import MujocoCpuSimulator

        return MujocoCpuSimulator(num_envs, config)
    if name == "mujoco_warp":
        from aliengo_training.sim.mujoco_warp import MujocoWarpSimulator

        return MujocoWarpSimulator(num_envs, device, config)
    if name == "isaacgym":
        from aliengo_training.sim.isaac_gym import IsaacGymSimulator

        return IsaacGymSimulator(num_envs, device, config, headless=headless)
    raise ValueError(f"unknown simulator {name!r}, allowed are {', '.join(BACKENDS)}")
