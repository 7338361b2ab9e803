"""Domain randomisation: ranges as data, samples as tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import numpy as np
import torch
from torch import Tensor

from aliengo_description import robot
from aliengo_training.sim.simulator import PhysicsParameters, nominal_parameters

Range = Tuple[float, float]


@dataclass(frozen=True)
class RandomizationConfig:
    """Ranges of the physical parameters, each sampled once per environment.

    Attributes:
        enabled: Off means the nominal robot everywhere.
        foot_friction: Sliding friction coefficient.
        trunk_mass_offset: Mass added to the trunk [kg].
        trunk_com_offset: Shift of the trunk's centre of mass along each axis [m].
        gain_scale: Factor on kp and on kd, independent per joint.
        motor_strength: Factor on the PD law's torque, before it is clipped; independent per joint.
        joint_scale: Factor on the spread of the identified armature, friction and damping; 1 covers
            both published fits.
        action_delay_s: Latency between policy and motor [s].
    """

    enabled: bool = True
    foot_friction: Range = (0.4, 1.25)
    trunk_mass_offset: Range = (-1.5, 3.0)
    trunk_com_offset: Range = (-0.03, 0.03)
    gain_scale: Range = (0.9, 1.1)
    motor_strength: Range = (0.9, 1.1)
    joint_scale: float = 1.0
    action_delay_s: Range = (0.0, 0.02)


def _uniform(
    shape: Tuple[int, ...], bounds: Range, generator: torch.Generator, device: torch.device
) -> Tensor:
    sample = torch.rand(shape, generator=generator)
    return (bounds[0] + (bounds[1] - bounds[0]) * sample).to(device)


def _per_joint(num_envs: int, bounds: Tensor, scale: float, generator: torch.Generator) -> Tensor:
    """Sample between per-joint bounds (2, 12) whose half width is multiplied by `scale`."""
    middle, half = bounds.mean(0), (bounds[1] - bounds[0]) / 2 * scale
    return middle + half * (2 * torch.rand(num_envs, 12, generator=generator) - 1)


def sample_parameters(
    config: RandomizationConfig,
    num_envs: int,
    device: torch.device,
    physics_step_s: float,
    seed: int,
) -> PhysicsParameters:
    """Draw one set of physical parameters per environment.

    Args:
        config: The ranges.
        num_envs: Rows to draw.
        device: Where the result lives; the draw itself is made on the CPU and so is the same on every device.
        physics_step_s: Physics step that `action_delay_s` is rounded to [s].
        seed: Of the draw.

    Returns:
        Parameters with `num_envs` rows; the nominal robot if randomisation is off.

    Raises:
        ValueError: If a range is reversed or leaves its physical bounds.
    """
    parameters = nominal_parameters(num_envs, device)
    if not config.enabled:
        return parameters
    _check(config)
    generator = torch.Generator().manual_seed(seed)
    delays = [round(bound / physics_step_s) for bound in config.action_delay_s]

    parameters.foot_friction = _uniform((num_envs,), config.foot_friction, generator, device)
    parameters.trunk_mass_offset = _uniform(
        (num_envs,), config.trunk_mass_offset, generator, device
    )
    parameters.trunk_com_offset = _uniform(
        (num_envs, 3), config.trunk_com_offset, generator, device
    )
    parameters.kp = parameters.kp * _uniform((num_envs, 12), config.gain_scale, generator, device)
    parameters.kd = parameters.kd * _uniform((num_envs, 12), config.gain_scale, generator, device)
    parameters.motor_strength = _uniform((num_envs, 12), config.motor_strength, generator, device)
    for name, bounds in (
        ("joint_armature", robot.ARMATURE_RANGE),
        ("joint_friction", robot.FRICTIONLOSS_RANGE),
        ("joint_damping", robot.DAMPING_RANGE),
    ):
        spread = torch.as_tensor(np.array(bounds), dtype=torch.float32)
        sample = _per_joint(num_envs, spread, config.joint_scale, generator)
        setattr(parameters, name, sample.clamp(min=0.0).to(device))
    parameters.action_delay_steps = torch.randint(
        delays[0], delays[1] + 1, (num_envs,), generator=generator
    ).to(device)
    return parameters


def _check(config: RandomizationConfig) -> None:
    for name in ("foot_friction", "gain_scale", "motor_strength", "action_delay_s"):
        low, high = getattr(config, name)
        if not 0.0 <= low <= high:
            raise ValueError(f"randomization.{name} is {(low, high)}, expected 0 <= low <= high")
    for name in ("trunk_mass_offset", "trunk_com_offset"):
        low, high = getattr(config, name)
        if low > high:
            raise ValueError(f"randomization.{name} is {(low, high)}, expected low <= high")
