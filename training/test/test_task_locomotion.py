"""The locomotion task on real physics: starts, ends, commands, rewards, style."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch

from aliengo_description import robot
from aliengo_training.contact import CONTACT_FORCE_N
from aliengo_training.motion.scaling import ClipScaler, forward_speed
from aliengo_training.motion.testing import wavy_clip
from aliengo_training.sim import make_simulator
from aliengo_training.sim.randomization import RandomizationConfig, sample_parameters
from aliengo_training.sim.simulator import RobotState
from aliengo_training.tasks.commands import VelocityCommands
from aliengo_training.tasks.config import CommandConfig, RewardConfig, TaskConfig
from aliengo_training.tasks.locomotion import LocomotionTask
from aliengo_training.tasks.registry import EXPERIMENTS, experiment
from aliengo_training.tasks.style import StyleConfig, StyleReference

CPU = torch.device("cpu")


def quiet_config(**changes: Any) -> TaskConfig:
    """A task without noise, pushes and randomisation."""
    config = TaskConfig()
    config = dataclasses.replace(
        config,
        noise=dataclasses.replace(config.noise, enabled=False),
        push=dataclasses.replace(config.push, enabled=False),
        randomization=RandomizationConfig(enabled=False),
        reset=dataclasses.replace(
            config.reset, reference_probability=0.0, joint_noise=0.0, velocity_noise=0.0
        ),
    )
    return dataclasses.replace(config, **changes)


def make_task(count: int = 4, reference: Any = None, **changes: Any) -> LocomotionTask:
    """A task on MuJoCo; every episode has just begun."""
    config = quiet_config(**changes)
    torch.manual_seed(0)
    task = LocomotionTask(
        make_simulator("mujoco", count, "cpu", config.simulation), config, reference
    )
    task.reset_all(spread_episodes=False)
    return task


def test_standing_at_the_default_pose_survives_and_sees_gravity_downwards() -> None:
    task = make_task()
    task.commands.set_fixed(torch.zeros(3))
    for _ in range(100):
        task.step(torch.zeros(4, 12))
        assert not task.terminated.any()
    observation = task.observation
    assert torch.allclose(observation[:, 3:6], torch.tensor([0.0, 0.0, -1.0]), atol=0.15)
    assert torch.equal(observation[:, 33:45], torch.zeros(4, 12))
    weight = robot.TOTAL_MASS * 9.81
    assert task.simulator.foot_forces.sum(-1).numpy() == pytest.approx(weight, rel=0.05)


def test_a_latency_beyond_a_control_period_is_refused() -> None:
    randomization = RandomizationConfig(action_delay_s=(0.0, 0.04))
    with pytest.raises(
        ValueError, match=r"is up to 0\.04, allowed is up to the control period, 0\.02"
    ):
        make_task(randomization=randomization)
    make_task(randomization=dataclasses.replace(randomization, enabled=False))


def test_actions_become_targets_around_the_default_pose() -> None:
    task = make_task(max_target_step=0.0)
    task.begin_step(torch.full((4, 12), 2.0))
    expected = robot.DEFAULT_JOINT_POSITIONS + 2.0 * robot.ACTION_SCALE
    assert task.joint_targets[0].numpy() == pytest.approx(expected, abs=1e-6)


def test_a_robot_on_its_side_has_fallen_and_starts_anew_on_its_feet() -> None:
    task = make_task()
    sim = task.simulator
    state = RobotState(
        base_position_w=torch.tensor([[0.0, 0.0, 0.4]]).repeat(4, 1),
        base_quaternion=torch.tensor([[math.cos(0.7), math.sin(0.7), 0.0, 0.0]]).repeat(4, 1),
        base_linear_velocity_w=torch.zeros(4, 3),
        base_angular_velocity_b=torch.zeros(4, 3),
        joint_positions=sim.joint_positions.clone(),
        joint_velocities=torch.zeros(4, 12),
    )
    mask = torch.tensor([True, False, False, False])
    sim.reset(mask, state)
    task.step(torch.zeros(4, 12))
    assert task.terminated.tolist() == [True, False, False, False]
    termination = task.reward_terms[task.reward_names.index("termination")].item()
    assert termination == pytest.approx(-task.config.reward.termination / 4)
    assert task.episode_steps.tolist() == [0, 1, 1, 1]
    # The first observation of the new episode belongs to the new state, not to the fall.
    assert task.observation[0, 5].item() == pytest.approx(-1.0, abs=1e-3)


def test_a_state_that_is_not_finite_ends_the_episode() -> None:
    task = make_task()
    before = task.style_state.clone()
    task.simulator.joint_velocities[2, 5] = float("nan")
    task.finish_step()
    assert task.terminated.tolist() == [False, False, True, False]
    assert torch.isfinite(task.observation).all()
    assert task.reward[2].item() == -task.config.reward.termination
    assert torch.isfinite(task.reward).all()
    assert torch.equal(task.final_style_state[2], before[2])
    assert torch.isfinite(task.final_style_state).all()
    statistics = task.pop_statistics()
    assert statistics["invalid_states"] == 1.0
    assert all(math.isfinite(value) for value in statistics.values()), statistics


@pytest.mark.parametrize("name", ["base_quaternion", "base_linear_velocity_w", "joint_torques"])
def test_an_infinite_number_anywhere_in_the_state_costs_no_more_than_a_fall(name: str) -> None:
    task = make_task()
    getattr(task.simulator, name)[1, 0] = float("inf")
    task.finish_step()
    assert task.terminated.tolist() == [False, True, False, False]
    assert task.reward[1].item() == -task.config.reward.termination
    assert torch.isfinite(task.reward_terms).all()
    task.step(torch.zeros(4, 12))
    assert not task.terminated.any()


def test_episodes_time_out_without_counting_as_falls() -> None:
    task = make_task(reset=dataclasses.replace(quiet_config().reset, episode_length_s=0.06))
    for step in range(3):
        task.step(torch.zeros(4, 12))
        assert task.timed_out.all() == (step == 2)
    assert not task.terminated.any()


def test_starts_put_the_lowest_foot_on_the_ground_and_honour_the_reference_probability() -> None:
    clip = wavy_clip()
    reference = StyleReference([clip], StyleConfig(table_size=500), 0.02, CPU)
    config = quiet_config()
    task = make_task(
        400,
        reference,
        reset=dataclasses.replace(config.reset, reference_probability=0.25, joint_noise=0.0),
    )
    sim = task.simulator
    _knees, feet = task.legs.positions(sim.joint_positions)
    heights = task._in_world(feet)[..., 2].amin(-1)
    assert heights.numpy() == pytest.approx(robot.FOOT_RADIUS, abs=1e-5)
    default = torch.as_tensor(robot.DEFAULT_JOINT_POSITIONS.copy(), dtype=torch.float32)
    from_reference = (sim.joint_positions - default).abs().amax(-1) > 1e-4
    standing = task.commands.standing
    assert standing.any()
    assert not from_reference[standing].any(), "a robot told to stand starts in mid-stride"
    share = from_reference[~standing].float().mean().item()
    # Four standard deviations of a binomial with 300 draws; fewer are not expected to move.
    assert share == pytest.approx(0.25, abs=4 * math.sqrt(0.25 * 0.75 / 300))


def test_pushes_change_the_planar_velocity_within_their_size() -> None:
    push = dataclasses.replace(TaskConfig().push, interval_s=(0.02, 0.02), max_velocity=0.5)
    task = make_task(64, push=push)
    before = task.simulator.base_linear_velocity_w.clone()
    task._push()
    change = task.simulator.base_linear_velocity_w - before
    assert (change[:, 2] == 0.0).all()
    assert 0.1 < change.norm(dim=-1).max().item() <= 0.5


def test_statistics_report_every_reward_term_and_start_over() -> None:
    task = make_task()
    task.step(torch.zeros(4, 12))
    statistics = task.pop_statistics()
    assert {f"reward/{name}" for name in task.reward_names} <= set(statistics)
    assert task.pop_statistics()["velocity_error"] == 0.0


def test_a_leg_that_steps_too_quickly_pays_for_its_steps_too_many() -> None:
    config = StyleConfig(speed_range=(0.5, 0.5), speeds=1, table_size=300)
    reference = StyleReference([wavy_clip(frames=401)], config, 0.02, CPU)
    reward = RewardConfig(cadence=1.0, carried_foot=0.0)
    task = make_task(1, reference, reward=reward)
    task.commands.set_fixed(torch.tensor([0.5, 0.0, 0.0]))
    lifted = torch.zeros(1, 12)
    lifted[:, 1:3] = torch.tensor([2.0, -3.0])  # thigh and calf of FL
    contacts = [torch.zeros(4, dtype=torch.bool)]
    for step in range(72):
        task.step(lifted if step % 12 < 6 else torch.zeros(1, 12))
        assert not task.terminated.any()
        contacts.append(task.simulator.foot_forces[0] > CONTACT_FORCE_N)
    own = float(reference.stride_time(torch.tensor([0.5])))
    on_ground = torch.stack(contacts).numpy()
    touchdown = on_ground[1:] & ~on_ground[:-1]
    strides = [0.02 * np.diff(np.flatnonzero(column)) for column in touchdown.T]
    assert len(strides[0]) >= 4
    due = sum(float(np.maximum(1.0 - foot / own, 0.0).sum()) for foot in strides)
    assert 72 * task.pop_statistics()["reward/cadence"] == pytest.approx(-due, rel=1e-4)


def test_commands_stay_in_range_and_stand_as_often_as_configured() -> None:
    torch.manual_seed(0)
    config = CommandConfig(standing_fraction=0.2, dead_zone=0.0)
    commands = VelocityCommands(config, 4000, 0.02, CPU)
    commands.advance(torch.ones(4000, dtype=torch.bool))
    values = commands.command
    for column, (low, high) in enumerate((config.vx, config.vy, config.wz)):
        assert low <= values[:, column].min()
        assert values[:, column].max() <= high
    assert commands.standing.float().mean().item() == pytest.approx(0.2, abs=0.03)
    unchanged = values.clone()
    commands.advance(torch.zeros(4000, dtype=torch.bool))
    assert torch.equal(commands.command, unchanged)


def test_straight_lateral_and_turning_commands_have_their_shares() -> None:
    torch.manual_seed(0)
    count = 20_000
    config = CommandConfig(
        vx=(0.1, 1.2), standing_fraction=0.1, straight_fraction=0.3, lateral_fraction=0.2,
        turning_fraction=0.15, dead_zone=0.0,
    )  # fmt: skip
    commands = VelocityCommands(config, count, 0.02, CPU)
    commands.advance(torch.ones(count, dtype=torch.bool))
    vy, wz = (commands.command[:, axis] != 0.0 for axis in (1, 2))
    moving = ~commands.standing
    assert (commands.command[moving, 0] >= 0.1).all()
    shares = {
        "standing": (commands.standing, 0.1),
        "straight": (moving & ~vy & ~wz, 0.3),
        "lateral": (moving & vy & ~wz, 0.2),
        "turning": (moving & ~vy & wz, 0.15),
        "free": (moving & vy & wz, 0.25),
    }
    for name, (drawn, share) in shares.items():
        # Four standard deviations of a binomial.
        bound = 4.0 * math.sqrt(share * (1.0 - share) / count)
        assert drawn.float().mean().item() == pytest.approx(share, abs=bound), name


def test_kinds_of_commands_that_leave_no_room_for_each_other_are_refused() -> None:
    config = CommandConfig(standing_fraction=0.5, straight_fraction=0.3, turning_fraction=0.3)
    with pytest.raises(ValueError, match=r"turning_fraction add up to 1\.1, expected at most 1"):
        VelocityCommands(config, 2, 0.02, CPU)
    for name in EXPERIMENTS:
        VelocityCommands(experiment(name).task.commands, 2, 0.02, CPU)


def test_turns_are_no_tighter_than_friction_can_hold() -> None:
    config = CommandConfig(
        vx=(0.0, 3.0), vy=(-1.5, 1.5), wz=(-3.14, 3.14), dead_zone=0.0,
        standing_fraction=0.0, straight_fraction=0.0,
    )  # fmt: skip

    def draw(limit: float) -> tuple[torch.Tensor, torch.Tensor]:
        torch.manual_seed(0)
        limited = dataclasses.replace(config, max_lateral_acceleration=limit)
        commands = VelocityCommands(limited, 2000, 0.02, CPU)
        commands.advance(torch.ones(2000, dtype=torch.bool))
        speed = commands.command[:, :2].norm(dim=-1)
        return commands.command, speed * commands.command[:, 2].abs()

    free, free_acceleration = draw(0.0)
    held, acceleration = draw(5.0)
    assert free_acceleration.max() > 8.0
    assert acceleration.max().item() == pytest.approx(5.0, rel=1e-5)
    slow = free_acceleration <= 5.0
    assert torch.equal(held[slow], free[slow])
    assert torch.equal(held[:, :2], free[:, :2])
    assert torch.equal(held[:, 2].sign(), free[:, 2].sign())


def test_a_negative_limit_on_the_step_is_refused() -> None:
    with pytest.raises(ValueError, match=r"max_target_step is -0\.1, expected 0"):
        make_task(max_target_step=-0.1)


def test_fixed_commands_are_not_resampled() -> None:
    task = make_task()
    task.commands.set_fixed(torch.tensor([0.7, 0.0, 0.1]))
    task.reset_all()
    assert torch.allclose(task.commands.command, torch.tensor([0.7, 0.0, 0.1]).expand(4, 3))


def test_the_reference_at_a_speed_is_the_clip_at_that_speed() -> None:
    speed = 1.3 * forward_speed(wavy_clip())
    config = StyleConfig(speed_range=(speed, speed), speeds=1, table_size=300)
    reference = StyleReference([wavy_clip()], config, 0.02, CPU)
    clip = ClipScaler(wavy_clip(), config.scaling).at(speed)
    joints = reference.first[:, :12].numpy()
    assert (joints >= clip.joint_positions.min(0) - 1e-5).all()
    assert (joints <= clip.joint_positions.max(0) + 1e-5).all()
    step = (reference.second[:, :12] - reference.first[:, :12]) / 0.02
    velocity = 10.0 * reference.first[:, 24:]
    assert torch.allclose(step, velocity, atol=0.1 * velocity.abs().max().item())
    assert torch.equal(reference.speed, torch.full((300,), speed))


def test_randomisation_is_the_same_for_a_seed_and_stays_in_its_ranges() -> None:
    config = RandomizationConfig()
    first, second = (sample_parameters(config, 200, CPU, 0.005, seed=7) for _ in range(2))
    for field in dataclasses.fields(first):
        assert torch.equal(getattr(first, field.name), getattr(second, field.name))
    assert first.foot_friction.min() >= config.foot_friction[0]
    assert set(first.action_delay_steps.tolist()) == {0, 1, 2, 3, 4}
    ratio = first.kp / torch.as_tensor(np.array(robot.KP), dtype=torch.float32)
    assert ratio.min() >= 0.9
    assert ratio.max() <= 1.1
    with pytest.raises(ValueError, match=r"randomization\.foot_friction is"):
        sample_parameters(dataclasses.replace(config, foot_friction=(1.0, 0.5)), 2, CPU, 0.005, 0)


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown task 'walk', allowed are aliengo_amp"):
        experiment("walk")
    with pytest.raises(ValueError, match="unknown simulator 'bullet', allowed are mujoco_warp"):
        make_simulator("bullet", 1, "cpu")
    for name in EXPERIMENTS:
        assert experiment(name).task.name == name


@pytest.mark.parametrize("name", list(EXPERIMENTS))
def test_whatever_the_physics_step_the_robot_is_commanded_at_its_own_rate(name: str) -> None:
    assert experiment(name).task.simulation.control_period_s == robot.CONTROL_PERIOD_S
