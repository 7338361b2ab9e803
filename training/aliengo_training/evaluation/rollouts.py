"""Randomised rollouts of a policy at fixed commands, recorded at every control step."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
import torch

from aliengo_training.checks import require
from aliengo_training.evaluation.policy import OnnxPolicy
from aliengo_training.sim.randomization import RandomizationConfig, sample_parameters
from aliengo_training.sim.simulator import SimulationConfig, Simulator
from aliengo_training.tasks.config import (
    NoiseConfig,
    PushConfig,
    ResetConfig,
    RewardConfig,
    TaskConfig,
)
from aliengo_training.tasks.geometry import rotate_inverse
from aliengo_training.tasks.locomotion import LocomotionTask

__all__ = [
    "LARGEST_SEED",
    "Command",
    "Recorder",
    "RolloutConfig",
    "Trajectory",
    "make_task",
    "random_push",
    "roll_out",
    "simulation_config",
]

Command = Tuple[float, float, float]
#: Nothing asks for a reward here, and its terms take time.
_WITHOUT: Dict[str, Any] = {
    field.name: 0.0
    for field in dataclasses.fields(RewardConfig)
    if field.name not in ("termination", "carried_leg")
}
_NO_REWARD = RewardConfig(**_WITHOUT)
#: What numpy's generators take, too.
LARGEST_SEED = 2**32 - 1


@dataclasses.dataclass(frozen=True)
class RolloutConfig:
    """Under which conditions a policy is judged.

    Attributes:
        seconds: Length of a rollout [s].
        settle_s: Left out of errors and gait figures at the start [s]; a fall always counts.
        push_interval_s: Time between pushes [s]; 0 never pushes.
        push_velocity: Largest planar velocity change of a push, uniform in size and angle [m/s].
        recovery_s: Time after a push that "steady" figures leave out [s].
        physics_steps: Physics steps in a control step of 20 ms, 4 to 100. 4, as in the base's training, are fast to
            compute; with 20 the motors follow their law at 1 kHz, as on the robot and in the twin, and fast policies
            run a few percent faster.
        body_contacts: Whether thighs and calves collide. A fall is judged as in training
            (`ResetConfig`): by the trunk's contact, height and tilt and by the height of the knees.
        noise: Sensor noise.
        randomization: Physical parameters, drawn once per rollout.
        seed: Of everything random.
    """

    seconds: float = 20.0
    settle_s: float = 1.0
    push_interval_s: float = 5.0
    push_velocity: float = 0.7
    recovery_s: float = 1.0
    physics_steps: int = SimulationConfig.decimation
    body_contacts: bool = True
    noise: NoiseConfig = dataclasses.field(default_factory=NoiseConfig)
    randomization: RandomizationConfig = dataclasses.field(default_factory=RandomizationConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse a rollout that leaves nothing to measure, and numbers that mean nothing."""
        require("seconds", self.seconds, math.isfinite(self.seconds), "a finite number")
        for name in ("push_interval_s", "push_velocity", "recovery_s"):
            value = getattr(self, name)
            require(name, value, 0.0 <= value < math.inf, "a finite number of at least 0")
        require("physics_steps", self.physics_steps, 4 <= self.physics_steps <= 100, "4 to 100")
        require("seed", self.seed, 0 <= self.seed <= LARGEST_SEED, f"0 to {LARGEST_SEED}")
        if not 0.0 <= self.settle_s < self.seconds:
            raise ValueError(
                f"settle_s is {self.settle_s}, expected 0 to less than seconds ({self.seconds})"
            )


@dataclasses.dataclass(frozen=True)
class Trajectory:
    """N rollouts of T control steps, float32, policy order; entry t is the state after step t.

    Attributes:
        period_s: Control period [s].
        command: (N, 3) vx, vy [m/s], wz [rad/s].
        alive: (N, T) bool, no fall up to and including the step.
        steady: (T,) bool, neither settling nor recovering from a push.
        settled: (T,) bool, not settling.
        base_position_w: (N, T, 3) [m].
        base_quaternion: (N, T, 4) wxyz.
        linear_velocity_b: (N, T, 3) base, body frame [m/s].
        angular_velocity_b: (N, T, 3) [rad/s].
        joint_positions: (N, T, 12) [rad].
        joint_velocities: (N, T, 12) [rad/s].
        joint_torques: (N, T, 12) [N m].
        joint_targets: (N, T, 12) [rad].
        foot_forces: (N, T, 4) normal force [N].
    """

    period_s: float
    command: np.ndarray
    alive: np.ndarray
    steady: np.ndarray
    settled: np.ndarray
    base_position_w: np.ndarray
    base_quaternion: np.ndarray
    linear_velocity_b: np.ndarray
    angular_velocity_b: np.ndarray
    joint_positions: np.ndarray
    joint_velocities: np.ndarray
    joint_torques: np.ndarray
    joint_targets: np.ndarray
    foot_forces: np.ndarray

    @property
    def survived(self) -> np.ndarray:
        """(N,) bool, rollouts without a fall."""
        return np.asarray(self.alive[:, -1])

    @property
    def times_s(self) -> np.ndarray:
        """(T,) time at the end of each step [s]."""
        return (np.arange(self.alive.shape[1]) + 1) * self.period_s

    def rows(self, which: Sequence[int]) -> Trajectory:
        """The rollouts with these indices."""
        chosen = list(which)
        changes = {
            field.name: getattr(self, field.name)[chosen]
            for field in dataclasses.fields(self)
            if field.name not in ("period_s", "steady", "settled")
        }
        return dataclasses.replace(self, **changes)


def simulation_config(config: RolloutConfig) -> SimulationConfig:
    """The physics that rollouts run on: the control period of training, the whole robot colliding."""
    period = SimulationConfig().control_period_s
    return SimulationConfig(
        timestep_s=period / config.physics_steps,
        decimation=config.physics_steps,
        body_contacts=config.body_contacts,
    )


def roll_out(
    policy: OnnxPolicy, simulator: Simulator, commands: Sequence[Command], config: RolloutConfig
) -> Trajectory:
    """Run one rollout per environment of the simulator, deterministic actions.

    Args:
        policy: What is judged.
        simulator: Its environments; every one runs one rollout.
        commands: One command per environment.
        config: Conditions.

    Raises:
        ValueError: If there is not one command per environment.
    """
    if len(commands) != simulator.num_envs:
        raise ValueError(f"{len(commands)} commands for {simulator.num_envs} environments")
    # The devices by name: by default every GPU of the machine would be opened, for its generator.
    with torch.random.fork_rng(_generators(simulator.device)), torch.no_grad():
        torch.manual_seed(config.seed)
        task = make_task(policy, simulator, config)
        command = torch.tensor(commands, dtype=torch.float32, device=simulator.device)
        task.commands.set_fixed(command)
        task.reset_all(spread_episodes=False)
        return _record(policy, task, command.cpu().numpy(), config)


def _generators(device: torch.device) -> List[torch.device]:
    return [device] if device.type == "cuda" else []


def make_task(policy: OnnxPolicy, simulator: Simulator, config: RolloutConfig) -> LocomotionTask:
    """The task under these conditions, with the policy's gains; nothing pushes by itself."""
    task_config = TaskConfig(
        name="evaluation",
        simulation=simulator.config,
        noise=config.noise,
        reward=_NO_REWARD,
        # A time-out would start a new episode in the middle of a rollout.
        reset=ResetConfig(episode_length_s=2.0 * config.seconds),
        push=PushConfig(enabled=False),
        randomization=config.randomization,
        # A policy's own limit is part of its file.
        max_target_step=0.0,
    )
    task = LocomotionTask(simulator, task_config, seed=config.seed)
    kp, kd = (torch.as_tensor(f, dtype=torch.float32) for f in policy.gain_factors)
    if not (torch.allclose(kp, torch.ones(12)) and torch.allclose(kd, torch.ones(12))):
        parameters = sample_parameters(
            config.randomization,
            simulator.num_envs,
            simulator.device,
            simulator.config.timestep_s,
            config.seed,
        )
        parameters.kp = parameters.kp * kp.to(simulator.device)
        parameters.kd = parameters.kd * kd.to(simulator.device)
        simulator.set_parameters(parameters)
    return task


class Recorder:
    """Collects the state after each control step of a task.

    Args:
        task: What is recorded.
    """

    def __init__(self, task: LocomotionTask) -> None:
        self._task = task
        self._standing = np.ones(task.num_envs, dtype=bool)
        self._alive: List[np.ndarray] = []
        self._frames: List[Dict[str, np.ndarray]] = []

    def add(self) -> None:
        """Record the state of now; a robot that has fallen once stays down in the record."""
        self._standing &= ~self._task.terminated.cpu().numpy()
        self._alive.append(self._standing.copy())
        channels = _channels(self._task)
        self._frames.append({k: v.cpu().numpy().astype(np.float32) for k, v in channels.items()})

    def trajectory(
        self, command: np.ndarray, settled: np.ndarray, steady: np.ndarray
    ) -> Trajectory:
        """What was recorded; see `Trajectory` for the arguments."""
        names = self._frames[0]
        arrays = {k: np.stack([frame[k] for frame in self._frames], axis=1) for k in names}
        return Trajectory(
            period_s=self._task.config.simulation.control_period_s,
            command=command,
            alive=np.stack(self._alive, axis=1),
            settled=settled,
            steady=steady,
            **arrays,
        )


def _record(
    policy: OnnxPolicy, task: LocomotionTask, command: np.ndarray, config: RolloutConfig
) -> Trajectory:
    sim, period = task.simulator, task.config.simulation.control_period_s
    steps, push_every = round(config.seconds / period), round(config.push_interval_s / period)
    settled = np.arange(steps) * period >= config.settle_s
    steady = settled.copy()
    recorder = Recorder(task)
    for step in range(steps):
        action = torch.from_numpy(policy.act(task.observation.cpu().numpy()))
        task.step(action.to(sim.device))
        recorder.add()
        if push_every and (step + 1) % push_every == 0 and step + 1 < steps:
            # The observation has no linear velocity, so a push after it is as good as one before.
            sim.push(random_push(task.num_envs, config.push_velocity).to(sim.device))
            steady[step + 1 : step + 1 + round(config.recovery_s / period)] = False
    return recorder.trajectory(command, settled, steady)


def _channels(task: LocomotionTask) -> dict[str, torch.Tensor]:
    sim = task.simulator
    return {
        "base_position_w": sim.base_position_w,
        "base_quaternion": sim.base_quaternion,
        "linear_velocity_b": rotate_inverse(sim.base_quaternion, sim.base_linear_velocity_w),
        "angular_velocity_b": sim.base_angular_velocity_b,
        "joint_positions": sim.joint_positions,
        "joint_velocities": sim.joint_velocities,
        "joint_torques": sim.joint_torques,
        "joint_targets": task.joint_targets,
        "foot_forces": sim.foot_forces,
    }


def random_push(count: int, largest: float) -> torch.Tensor:
    """Velocity changes (count, 3), uniform in size up to ``largest`` [m/s] and in direction."""
    size, angle = largest * torch.rand(count), 2.0 * torch.pi * torch.rand(count)
    return torch.stack([size * angle.cos(), size * angle.sin(), torch.zeros(count)], -1)
