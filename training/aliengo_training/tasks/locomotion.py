"""The locomotion task: one batch of robots that follow velocity commands.

A control step has two halves around the physics, `begin_step` (action to joint targets) and `finish_step` (state to
observation, reward, resets). Neither synchronises with the host nor allocates what outlives it, and all results lie
in fixed tensors, so both halves can be captured as CUDA graphs.
"""

from __future__ import annotations

from typing import Optional

import torch
from torch import Tensor

from aliengo_description import robot
from aliengo_training.contact import CONTACT_FORCE_N
from aliengo_training.sim.randomization import sample_parameters
from aliengo_training.sim.simulator import NUM_FEET, NUM_JOINTS, RobotState, Simulator
from aliengo_training.tasks.commands import VelocityCommands
from aliengo_training.tasks.config import TaskConfig
from aliengo_training.tasks.geometry import LegGeometry, rotate, rotate_inverse, vertical_in_body
from aliengo_training.tasks.observations import ACTION_CLIP, OBSERVATION_SIZE, ObservationBuilder
from aliengo_training.tasks.rewards import Signals, TaskReward
from aliengo_training.tasks.style import (
    STYLE_STATE_SIZE,
    StyleReference,
    gait_speed,
    style_state,
)

# The noise-free observation, base velocity 3, foot contacts 4, foot heights 4, trunk height 1.
CRITIC_OBSERVATION_SIZE = OBSERVATION_SIZE + 3 + NUM_FEET + NUM_FEET + 1


class LocomotionTask:
    """Commands, observations, rewards and resets over a `Simulator`.

    Args:
        simulator: The physics.
        config: The task.
        reference: Reference motion for episode starts; without one every episode starts in the default pose.
        seed: Of the physical parameters.

    Attributes:
        observation: (N, 45) float32, what the policy sees.
        critic_observation: (N, 57) float32, what the critic sees.
        reward: (N,) task reward of the last step.
        terminated: (N,) bool, fallen in the last step.
        timed_out: (N,) bool, episode over without a fall.
        style_state: (N, 36) style features after the last step and its resets.
        final_style_state: (N, 36) style features after the last step, before its resets.
        gait_speed: (N,) commanded speed that the style is conditioned on [m/s].
        reward_terms: (len(reward_names),) sums of the weighted terms' batch means since the last `pop_statistics`.

    Raises:
        ValueError: If `config.max_target_step` is negative.

    A robot whose physics is no longer finite has terminated like one that fell: its reward is that of the
    termination alone, its `final_style_state` the last finite one.
    """

    def __init__(
        self,
        simulator: Simulator,
        config: TaskConfig,
        reference: Optional[StyleReference] = None,
        seed: int = 0,
    ) -> None:
        if config.max_target_step < 0.0:
            raise ValueError(
                f"max_target_step is {config.max_target_step}, expected 0 (no limit) or more [rad]"
            )
        self.simulator = simulator
        self.config = config
        self.num_envs, self.device = simulator.num_envs, simulator.device
        self._reference = reference
        self._period = config.simulation.control_period_s
        latest = config.randomization.action_delay_s[1]
        if config.randomization.enabled and latest > self._period + 1e-9:
            raise ValueError(
                f"randomization.action_delay_s is up to {latest:g}, allowed is up to the control "
                f"period, {self._period:g} s"
            )
        self.max_episode_steps = round(config.reset.episode_length_s / self._period)
        self.commands = VelocityCommands(config.commands, self.num_envs, self._period, self.device)
        self._builder = ObservationBuilder(config.noise, self.device)
        self._rewards = TaskReward(config.reward, self.device)
        self.reward_names = self._rewards.names
        self.legs = LegGeometry(self.device)
        self._default = torch.as_tensor(
            robot.DEFAULT_JOINT_POSITIONS.copy(), dtype=torch.float32, device=self.device
        )
        self._action_scale = torch.as_tensor(
            robot.ACTION_SCALE.copy(), dtype=torch.float32, device=self.device
        )
        self._allocate()
        simulator.set_parameters(
            sample_parameters(
                config.randomization, self.num_envs, self.device, config.simulation.timestep_s, seed
            )
        )

    def _allocate(self) -> None:
        count, device = self.num_envs, self.device
        self.observation = torch.zeros(count, OBSERVATION_SIZE, device=device)
        self.critic_observation = torch.zeros(count, CRITIC_OBSERVATION_SIZE, device=device)
        self.reward = torch.zeros(count, device=device)
        self.terminated = torch.zeros(count, dtype=torch.bool, device=device)
        self.timed_out = torch.zeros(count, dtype=torch.bool, device=device)
        self.style_state = torch.zeros(count, STYLE_STATE_SIZE, device=device)
        self.final_style_state = torch.zeros(count, STYLE_STATE_SIZE, device=device)
        self.gait_speed = torch.zeros(count, device=device)
        self.last_action = torch.zeros(count, NUM_JOINTS, device=device)
        self.joint_targets = torch.zeros(count, NUM_JOINTS, device=device)
        self._demanded_targets = torch.zeros(count, NUM_JOINTS, device=device)
        self._previous_targets = torch.zeros(count, NUM_JOINTS, device=device)
        self._previous_joint_velocities = torch.zeros(count, NUM_JOINTS, device=device)
        self._previous_feet_w = torch.zeros(count, NUM_FEET, 3, device=device)
        self._previous_contact = torch.zeros(count, NUM_FEET, dtype=torch.bool, device=device)
        self._stride_time_s = torch.zeros(count, NUM_FEET, device=device)
        self.episode_steps = torch.zeros(count, dtype=torch.int64, device=device)
        self._push_remaining_s = torch.zeros(count, device=device)
        self.reward_terms = torch.zeros(len(self.reward_names), device=device)
        self._statistics = torch.zeros(5, device=device)

    def reset_all(self, spread_episodes: bool = True) -> None:
        """Start every episode anew.

        Args:
            spread_episodes: Give the episodes random ages, so that their time-outs do not coincide.
        """
        everyone = torch.ones_like(self.terminated)
        self._reset(everyone)
        if spread_episodes:
            self.episode_steps.copy_(
                torch.randint_like(self.episode_steps, 0, max(1, self.max_episode_steps))
            )
        self._observe()

    def step(self, action: Tensor) -> None:
        """One control step: `begin_step`, the physics, `finish_step`; results are in the attributes."""
        self.begin_step(action)
        self.simulator.step(self.joint_targets)
        self.finish_step()

    def begin_step(self, action: Tensor) -> None:
        """Turn raw actions (N, 12) into joint targets: default + scale * action, held to its clip and step."""
        demanded = action.clamp(-ACTION_CLIP, ACTION_CLIP)
        self._demanded_targets.copy_(self._targets(demanded))
        self._previous_targets.copy_(self.joint_targets)
        if self.config.max_target_step > 0.0:
            step = self.config.max_target_step / self._action_scale
            demanded = demanded.clamp(self.last_action - step, self.last_action + step)
        self.last_action.copy_(demanded)
        self.joint_targets.copy_(self._targets(demanded))
        self._previous_joint_velocities.copy_(self.simulator.joint_velocities)

    def _targets(self, action: Tensor) -> Tensor:
        return self._default + self._action_scale * action

    def finish_step(self) -> None:
        """Reward and end episodes by the new state, reset, push, resample commands and observe."""
        sim = self.simulator
        self.episode_steps.add_(1)
        knees, feet = self.legs.positions(sim.joint_positions)
        feet_w = self._in_world(feet)
        knee_heights = self._in_world(knees)[..., 2]
        up = vertical_in_body(sim.base_quaternion)
        invalid = self._invalid()
        self.terminated.copy_(self._fallen(up, knee_heights) | invalid)
        self.timed_out.copy_((self.episode_steps >= self.max_episode_steps) & ~self.terminated)
        foot_speed = (feet_w - self._previous_feet_w)[..., :2].norm(dim=-1) / self._period
        contact = sim.foot_forces > CONTACT_FORCE_N
        touchdown = contact & ~self._previous_contact
        self._stride_time_s.add_(self._period)
        signals = self._signals(up, foot_speed, contact, touchdown)
        self._reward(self._rewards.terms(signals), invalid)
        self._stride_time_s.masked_fill_(touchdown, 0.0)
        self._previous_contact.copy_(contact)
        style = style_state(sim.joint_positions, feet, sim.joint_velocities)
        self.final_style_state.copy_(torch.where(invalid.unsqueeze(-1), self.style_state, style))
        self._count(invalid)
        self._reset(self.terminated | self.timed_out)
        self._push()
        self._observe()

    def pop_statistics(self) -> dict[str, float]:
        """Means since the last call, then start over (synchronises with the device).

        Returns:
            `episode_length` [steps], `episodes_ended`, `velocity_error` [m/s], `invalid_states` (episodes that ended
            because the physics was no longer finite), and each weighted reward term as `reward/<name>`.
        """
        steps = max(1.0, float(self._statistics[3]))
        ended, lengths, error = (float(value) for value in self._statistics[:3])
        result = {
            "episode_length": lengths / max(1.0, ended),
            "episodes_ended": ended,
            "velocity_error": error / steps,
            "invalid_states": float(self._statistics[4]),
        }
        for name, value in zip(self.reward_names, self.reward_terms.tolist()):
            result[f"reward/{name}"] = value / steps
        self.reward_terms.zero_()
        self._statistics.zero_()
        return result

    def _reward(self, terms: Tensor, invalid: Tensor) -> None:
        """Sum the terms (N, K); of an invalid state only the termination counts."""
        ends = bool(self.reward_names) and self.reward_names[-1] == "termination"
        others = terms[:, :-1] if ends else terms
        others = torch.where(invalid.unsqueeze(-1), torch.zeros_like(others), others)
        # Clipped at zero so that early in training, when penalties prevail, falling does not pay; a fall always costs.
        self.reward.copy_(others.sum(-1).clamp(min=0.0))
        if ends:
            self.reward.add_(terms[:, -1])
            others = torch.cat([others, terms[:, -1:]], -1)
        self.reward_terms.add_(others.mean(0))

    def _invalid(self) -> Tensor:
        """(N,) bool, where anything that the physics returned is not finite."""
        sim = self.simulator
        read = [
            sim.base_position_w,
            sim.base_quaternion,
            sim.base_linear_velocity_w,
            sim.base_angular_velocity_b,
            sim.joint_positions,
            sim.joint_velocities,
            sim.joint_torques,
            sim.foot_forces,
            sim.trunk_force.unsqueeze(-1),
        ]
        return ~torch.isfinite(torch.cat(read, -1)).all(-1)

    def _count(self, invalid: Tensor) -> None:
        ended = self.terminated | self.timed_out
        sim = self.simulator
        velocity_b = rotate_inverse(sim.base_quaternion, sim.base_linear_velocity_w)
        error = (velocity_b[:, :2] - self.commands.command[:, :2]).norm(dim=-1)
        error = torch.where(invalid, torch.zeros_like(error), error).mean()
        self._statistics[0].add_(ended.sum())
        self._statistics[1].add_((self.episode_steps * ended).sum())
        self._statistics[2].add_(error)
        self._statistics[3].add_(1.0)
        self._statistics[4].add_(invalid.sum())

    def _in_world(self, points_b: Tensor) -> Tensor:
        """Points (N, K, 3) of the base frame in the world."""
        count = points_b.shape[1]
        quaternion = self.simulator.base_quaternion.repeat_interleave(count, 0)
        rotated = rotate(quaternion, points_b.reshape(-1, 3)).reshape(-1, count, 3)
        return rotated + self.simulator.base_position_w.unsqueeze(1)

    def _fallen(self, up: Tensor, knee_heights: Tensor) -> Tensor:
        limits, sim = self.config.reset, self.simulator
        cosine = float(torch.cos(torch.tensor(limits.max_tilt)))
        return (
            (sim.base_position_w[:, 2] < limits.min_height)
            | (up[:, 2] < cosine)
            | (knee_heights.amin(-1) < limits.min_knee_height)
            | (sim.trunk_force > limits.trunk_force)
        )

    def _signals(
        self, up: Tensor, foot_speed: Tensor, contact: Tensor, touchdown: Tensor
    ) -> Signals:
        sim = self.simulator
        return Signals(
            linear_velocity_b=rotate_inverse(sim.base_quaternion, sim.base_linear_velocity_w),
            angular_velocity_b=sim.base_angular_velocity_b,
            vertical_velocity_w=sim.base_linear_velocity_w[:, 2],
            gravity_b=-up,
            command=self.commands.command,
            standing=self.commands.standing,
            joint_error=sim.joint_positions - self._default,
            joint_positions=sim.joint_positions,
            joint_velocities=sim.joint_velocities,
            previous_joint_velocities=self._previous_joint_velocities,
            joint_torques=sim.joint_torques,
            joint_targets=self.joint_targets,
            demanded_targets=self._demanded_targets,
            previous_targets=self._previous_targets,
            foot_contact=contact,
            foot_speed=foot_speed,
            touchdown=touchdown,
            stride_time_s=self._stride_time_s,
            reference_stride_s=self._reference_stride_s(),
            fallen=self.terminated,
            control_period_s=self._period,
        )

    def _reference_stride_s(self) -> Tensor:
        """(N,) for the reward term `cadence`; 0 where that is off or there is no reference."""
        if self._reference is None or self.config.reward.cadence == 0.0:
            return torch.zeros_like(self.gait_speed)
        return self._reference.stride_time(self.gait_speed)

    def _reset(self, mask: Tensor) -> None:
        """Start the masked episodes: new command, reference or default pose, nothing left of the last episode."""
        self.commands.advance(mask)
        rows = mask.unsqueeze(-1)
        state = self._default_start()
        # The controller enters walking from its stand with no action yet: the same start here.
        action = torch.zeros_like(self.last_action)
        if self._reference is not None:
            from_reference = (
                torch.rand_like(self._push_remaining_s) < self.config.reset.reference_probability
            ) & ~self.commands.standing
            reference = self._reference.sample_states(self.commands.command)
            state = _select(from_reference.unsqueeze(-1), reference, state)
            pose = (reference.joint_positions - self._default) / self._action_scale
            action = torch.where(from_reference.unsqueeze(-1), pose, action)
        state.base_position_w = self._on_ground(state)
        self.simulator.reset(mask, state)
        self.last_action.copy_(torch.where(rows, action, self.last_action))
        self.joint_targets.copy_(torch.where(rows, self._targets(action), self.joint_targets))
        self.episode_steps.masked_fill_(mask, 0)
        # No stride yet: the first touchdown of an episode ends none that could have been too short.
        self._stride_time_s.masked_fill_(rows, self.config.reset.episode_length_s)

    def _default_start(self) -> RobotState:
        count, limits = self.num_envs, self.config.reset
        orientation = torch.zeros_like(self.simulator.base_quaternion)
        orientation[:, 0] = 1.0
        noise = 2.0 * torch.rand(count, NUM_JOINTS + 6, device=self.device) - 1.0
        return RobotState(
            base_position_w=torch.zeros_like(self.simulator.base_position_w),
            base_quaternion=orientation,
            base_linear_velocity_w=limits.velocity_noise * noise[:, 12:15],
            base_angular_velocity_b=limits.velocity_noise * noise[:, 15:18],
            joint_positions=self._default + limits.joint_noise * noise[:, :12],
            joint_velocities=torch.zeros_like(self.joint_targets),
        )

    def _on_ground(self, state: RobotState) -> Tensor:
        """Base positions (N, 3) that put each robot's lowest foot on the ground."""
        _, feet = self.legs.positions(state.joint_positions)
        up = vertical_in_body(state.base_quaternion)
        lowest = (feet * up.unsqueeze(1)).sum(-1).amin(-1)
        position = torch.zeros_like(state.base_position_w)
        position[:, 2] = robot.FOOT_RADIUS - lowest
        return position

    def _push(self) -> None:
        push = self.config.push
        if not push.enabled:
            return
        self._push_remaining_s.sub_(self._period)
        due = self._push_remaining_s <= 0.0
        angle = 2.0 * torch.pi * torch.rand_like(self._push_remaining_s)
        size = push.max_velocity * torch.rand_like(angle) * due
        change = torch.stack(
            [size * torch.cos(angle), size * torch.sin(angle), torch.zeros_like(size)], -1
        )
        self.simulator.push(change)
        low, high = push.interval_s
        fresh = low + (high - low) * torch.rand_like(self._push_remaining_s)
        self._push_remaining_s.copy_(torch.where(due, fresh, self._push_remaining_s))

    def _observe(self) -> None:
        sim = self.simulator
        _, feet = self.legs.positions(sim.joint_positions)
        feet_w = self._in_world(feet)
        self._previous_feet_w.copy_(feet_w)
        clean = self._builder.clean(
            sim.base_angular_velocity_b,
            -vertical_in_body(sim.base_quaternion),
            self.commands.command,
            sim.joint_positions - self._default,
            sim.joint_velocities,
            self.last_action,
        )
        self.observation.copy_(self._builder.actor(clean))
        velocity_b = rotate_inverse(sim.base_quaternion, sim.base_linear_velocity_w)
        self.critic_observation.copy_(
            torch.cat(
                [
                    self._builder.scaled(clean),
                    2.0 * velocity_b,
                    (sim.foot_forces > CONTACT_FORCE_N).float(),
                    10.0 * feet_w[..., 2],
                    5.0 * sim.base_position_w[:, 2:3],
                ],
                dim=-1,
            ).clamp(-100.0, 100.0)
        )
        self.style_state.copy_(style_state(sim.joint_positions, feet, sim.joint_velocities))
        self.gait_speed.copy_(gait_speed(self.commands.command))


def _select(mask: Tensor, chosen: RobotState, other: RobotState) -> RobotState:
    """Row-wise choice between two batches of states by a (N, 1) mask."""
    return RobotState(
        **{
            name: torch.where(mask, getattr(chosen, name), getattr(other, name))
            for name in RobotState.__dataclass_fields__
        }
    )
