"""The only thing a task sees of the physics: batched torch tensors and a few verbs.

A backend (MuJoCo, MuJoCo Warp, Isaac Gym) owns the tensors below and refreshes them in place, so that a task may keep
references to them and a CUDA graph may be captured over them. Resets take a boolean mask rather than indices, because
the number of environments that reset must not change the shape of anything inside a captured graph.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from aliengo_description import robot

NUM_JOINTS = 12
NUM_FEET = 4


@dataclass(frozen=True)
class SimulationConfig:
    """Time stepping and numerics shared by all backends.

    Attributes:
        timestep_s: Physics step [s].
        decimation: Physics steps per control step; their product is the control period.
        solver_iterations: Newton iterations of the contact solver (MuJoCo backends).
        line_search_iterations: Line-search iterations inside each of them (MuJoCo backends).
        body_contacts: Whether thighs and calves collide with the ground. The feet and the trunk always do.
    """

    timestep_s: float = 0.005
    decimation: int = 4
    solver_iterations: int = 4
    line_search_iterations: int = 8
    body_contacts: bool = False

    @property
    def control_period_s(self) -> float:
        """Seconds of simulated time per control step."""
        return self.timestep_s * self.decimation


@dataclass
class RobotState:
    """Full kinematic state of a batch of robots, used to reset them.

    Attributes:
        base_position_w: (N, 3) trunk origin in the world [m].
        base_quaternion: (N, 4) orientation base to world, wxyz, unit norm.
        base_linear_velocity_w: (N, 3) velocity of the trunk origin, world frame [m/s].
        base_angular_velocity_b: (N, 3) angular velocity, body frame [rad/s].
        joint_positions: (N, 12) policy order [rad].
        joint_velocities: (N, 12) policy order [rad/s].
    """

    base_position_w: Tensor
    base_quaternion: Tensor
    base_linear_velocity_w: Tensor
    base_angular_velocity_b: Tensor
    joint_positions: Tensor
    joint_velocities: Tensor


@dataclass
class PhysicsParameters:
    """What domain randomisation may change, one row per environment.

    Attributes:
        foot_friction: (N,) sliding friction coefficient between feet and ground.
        trunk_mass_offset: (N,) mass added to the trunk [kg].
        trunk_com_offset: (N, 3) shift of the trunk's centre of mass, body frame [m].
        kp: (N, 12) proportional gains [N m/rad].
        kd: (N, 12) derivative gains [N m s/rad].
        motor_strength: (N, 12) factor on the PD law's torque, before it is clipped to the motor's limits.
        joint_armature: (N, 12) reflected rotor inertia [kg m^2].
        joint_friction: (N, 12) Coulomb friction [N m].
        joint_damping: (N, 12) viscous friction [N m s/rad].
        action_delay_steps: (N,) int64, physics steps by which joint targets arrive late, 0..decimation.
    """

    foot_friction: Tensor
    trunk_mass_offset: Tensor
    trunk_com_offset: Tensor
    kp: Tensor
    kd: Tensor
    motor_strength: Tensor
    joint_armature: Tensor
    joint_friction: Tensor
    joint_damping: Tensor
    action_delay_steps: Tensor


def nominal_parameters(
    num_envs: int, device: torch.device, friction: float = robot.FOOT_FRICTION
) -> PhysicsParameters:
    """The parameters of the robot's description, without any randomisation."""

    def rows(values: np.ndarray) -> Tensor:
        row = torch.as_tensor(np.array(values), dtype=torch.float32, device=device)
        return row.expand(num_envs, 12).clone()

    return PhysicsParameters(
        foot_friction=torch.full((num_envs,), friction, device=device),
        trunk_mass_offset=torch.zeros(num_envs, device=device),
        trunk_com_offset=torch.zeros(num_envs, 3, device=device),
        kp=rows(robot.KP),
        kd=rows(robot.KD),
        motor_strength=torch.ones(num_envs, 12, device=device),
        joint_armature=rows(robot.ARMATURE),
        joint_friction=rows(robot.FRICTIONLOSS),
        joint_damping=rows(robot.DAMPING),
        action_delay_steps=torch.zeros(num_envs, dtype=torch.int64, device=device),
    )


class Simulator(ABC):
    """A batch of Aliengos on flat ground.

    Attributes:
        num_envs: Number of robots, N below.
        device: Torch device of every tensor.
        config: Time stepping.
        base_position_w: (N, 3) [m].
        base_quaternion: (N, 4) wxyz.
        base_linear_velocity_w: (N, 3) velocity of the trunk origin [m/s].
        base_angular_velocity_b: (N, 3) [rad/s].
        joint_positions: (N, 12) [rad].
        joint_velocities: (N, 12) [rad/s].
        joint_torques: (N, 12) torque delivered in the last physics step [N m].
        foot_forces: (N, 4) normal contact force of each foot in the last physics step [N].
        trunk_force: (N,) normal contact force on the trunk [N].
        capturable: Whether torch work around it may be recorded as CUDA graphs: nothing but
            `step_physics` waits for the host, and the current stream is not the legacy default one.
    """

    capturable = False

    num_envs: int
    device: torch.device
    config: SimulationConfig
    base_position_w: Tensor
    base_quaternion: Tensor
    base_linear_velocity_w: Tensor
    base_angular_velocity_b: Tensor
    joint_positions: Tensor
    joint_velocities: Tensor
    joint_torques: Tensor
    foot_forces: Tensor
    trunk_force: Tensor

    @property
    @abstractmethod
    def backend(self) -> str:
        """Name of the physics engine, as `--sim` spells it."""

    def step(self, joint_targets: Tensor) -> None:
        """Advance one control period towards joint targets.

        Args:
            joint_targets: (N, 12) desired joint positions in policy order [rad], tracked by the motors' PD law.
        """
        self.write_targets(joint_targets)
        self.step_physics()

    @abstractmethod
    def write_targets(self, joint_targets: Tensor) -> None:
        """First half of `step`: hand over (N, 12) targets; torch operations only, so that a graph can capture it."""

    @abstractmethod
    def step_physics(self) -> None:
        """Second half of `step`: advance one control period and refresh the tensors."""

    @abstractmethod
    def reset(self, mask: Tensor, state: RobotState) -> None:
        """Put the masked environments into a state; the others are untouched.

        Args:
            mask: (N,) bool.
            state: One row per environment; rows outside the mask are ignored.
        """

    @abstractmethod
    def push(self, velocity_change_w: Tensor) -> None:
        """Add to the base's linear velocity.

        Args:
            velocity_change_w: (N, 3) [m/s], zero rows for robots that are left alone.
        """

    @abstractmethod
    def set_parameters(self, parameters: PhysicsParameters) -> None:
        """Apply physical parameters to all environments (not inside a captured graph)."""

    def close(self) -> None:  # noqa: B027, not every backend holds anything
        """Free what the backend holds; nothing by default."""


def check_rows(name: str, tensor: Tensor, shape: Sequence[int]) -> None:
    """Refuse a tensor of another shape.

    Raises:
        ValueError: Names the tensor, its shape and the shape it must have.
    """
    if tuple(tensor.shape) != tuple(shape):
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}, expected {tuple(shape)}")


def delayed_targets(
    previous: Tensor, target: Tensor, delay_steps: Tensor, decimation: int
) -> Tuple[Tensor, ...]:
    """Joint targets of each physics step when commands arrive late.

    Args:
        previous: (N, 12) targets of the last control step.
        target: (N, 12) targets of this one.
        delay_steps: (N,) physics steps before `target` takes over.
        decimation: Physics steps per control step.

    Returns:
        `decimation` tensors (N, 12).
    """
    late = delay_steps.unsqueeze(-1)
    return tuple(torch.where(late > k, previous, target) for k in range(decimation))
