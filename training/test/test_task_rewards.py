"""Every term of the task reward, and how it is joined with style and time-outs, in numbers worked out by hand."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Dict, Tuple
from unittest import mock

import pytest
import torch
from torch import Tensor

from aliengo_description import robot
from aliengo_training.learning.amp import AmpConfig
from aliengo_training.learning.config import ExperimentConfig
from aliengo_training.learning.runner import OnPolicyRunner
from aliengo_training.learning.storage import RolloutStorage
from aliengo_training.tasks.config import RewardConfig
from aliengo_training.tasks.rewards import Signals, TaskReward
from aliengo_training.tasks.style import STYLE_STATE_SIZE

CPU = torch.device("cpu")
NOT_TERMS = {
    "linear_velocity_width", "linear_velocity_fine_width", "yaw_rate_width", "yaw_rate_fine_width",
    "target_step_limit", "power_limit", "carried_leg",
}  # fmt: skip
TERMS = [f.name for f in dataclasses.fields(RewardConfig) if f.name not in NOT_TERMS]
DEFAULT = torch.as_tensor(robot.DEFAULT_JOINT_POSITIONS.copy(), dtype=torch.float32)


def row(*values: float) -> Tensor:
    return torch.tensor([values])


def joint(index: int, value: float, others: float = 0.0) -> Tensor:
    values = torch.full((1, 12), others)
    values[0, index] = value
    return values


def signals(**changes: Any) -> Signals:
    """One robot that stands as told, with some signals changed."""
    calm: Dict[str, Any] = {
        "linear_velocity_b": torch.zeros(1, 3),
        "angular_velocity_b": torch.zeros(1, 3),
        "vertical_velocity_w": torch.zeros(1),
        "gravity_b": row(0.0, 0.0, -1.0),
        "command": torch.zeros(1, 3),
        "standing": torch.tensor([False]),
        "joint_error": torch.zeros(1, 12),
        "joint_positions": DEFAULT[None].clone(),
        "joint_velocities": torch.zeros(1, 12),
        "previous_joint_velocities": torch.zeros(1, 12),
        "joint_torques": torch.zeros(1, 12),
        "joint_targets": DEFAULT[None].clone(),
        "demanded_targets": DEFAULT[None].clone(),
        "previous_targets": DEFAULT[None].clone(),
        "foot_contact": torch.zeros(1, 4, dtype=torch.bool),
        "foot_speed": torch.zeros(1, 4),
        "touchdown": torch.zeros(1, 4, dtype=torch.bool),
        "stride_time_s": torch.full((1, 4), 0.1),
        "reference_stride_s": torch.tensor([0.4]),
        "fallen": torch.tensor([False]),
        "control_period_s": 0.02,
    }
    return Signals(**{**calm, **changes})


MOVE = {"command": row(0.8, 0.1, 0.5), "linear_velocity_b": row(0.5, 0.5, 9.0)}
TURN = {"command": row(9.0, 9.0, 0.5), "angular_velocity_b": row(9.0, 9.0, 0.2)}
ON_GROUND = torch.tensor([[True, True, False, True]])
STANDS = torch.tensor([True])
# A stride of a quarter of the reference's time, one that is longer, one of three quarters, and a foot in the air.
STRIDES = {
    "touchdown": torch.tensor([[True, True, True, False]]),
    "stride_time_s": row(0.1, 0.5, 0.3, 0.1),
}

# Planar error: 0.3^2 + 0.4^2 = 0.25; yaw error: 0.3^2 = 0.09.
CASES: Dict[str, Tuple[Dict[str, Any], float]] = {
    "linear_velocity": (MOVE, math.exp(-0.25 / 0.25)),
    # Each axis by itself: 0.3^2 and 0.4^2.
    "linear_velocity_fine": (MOVE, 0.5 * (math.exp(-0.09 / 0.1) + math.exp(-0.16 / 0.1))),
    # Commands below 1 m/s count as 1 m/s.
    "linear_velocity_slope": (MOVE, 1.0 - 0.5),
    "yaw_rate": (TURN, math.exp(-0.09 / 0.25)),
    "yaw_rate_fine": (TURN, math.exp(-0.09 / 0.05)),
    "yaw_rate_slope": (TURN, 1.0 - 0.3),
    # Mean squares over 12 joints: 4 * 0.36 / 12 + 0.05 * 4 / 12.
    "stand_still": (
        {"standing": STANDS, "joint_error": joint(4, 0.6), "joint_velocities": joint(2, 2.0)},
        -(0.12 + 0.05 / 3.0),
    ),
    "stand_contact": ({"standing": STANDS, "foot_contact": ON_GROUND}, 0.75),
    "torque": ({"joint_torques": joint(3, 10.0, 1.0)}, -111.0),
    # 0.5 rad/s in 0.02 s are 25 rad/s^2.
    "joint_acceleration": (
        {"joint_velocities": joint(7, 1.5), "previous_joint_velocities": joint(7, 1.0)},
        -625.0,
    ),
    "action_rate": ({"joint_targets": DEFAULT + joint(1, 0.3, -0.1)}, -(0.09 + 11 * 0.01)),
    # Free up to 0.25 rad, in either direction; what counts is what was asked for, not what was let through.
    "target_step": (
        {
            "demanded_targets": DEFAULT + joint(1, 0.35, -0.3),
            "joint_targets": DEFAULT + joint(1, 0.25, -0.25),
        },
        -(0.1 + 11 * 0.05),
    ),
    # Demanded: 1.1 times the limit of one joint, of which 0.9 is free.
    "torque_saturation": (
        {"joint_targets": DEFAULT + joint(0, 1.1 * robot.TORQUE_LIMITS[0] / robot.KP[0])},
        -0.2,
    ),
    # Driving and braking count alike: 1200 W, of which 800 are free.
    "power": (
        {
            "joint_torques": joint(0, 30.0, 0.0) + joint(5, -30.0, 0.0),
            "joint_velocities": joint(0, 20.0, 0.0) + joint(5, 20.0, 0.0),
        },
        -0.4,
    ),
    "joint_limit": (
        {
            "joint_positions": torch.as_tensor(robot.SAFE_JOINT_UPPER.copy(), dtype=torch.float32)[
                None
            ]
            + 0.1
        },
        -1.2,
    ),
    "foot_slip": (
        {"foot_contact": ON_GROUND, "foot_speed": row(0.5, 4.0, 2.0, 0.0)},
        -(0.25 + 9.0),
    ),
    "vertical_velocity": ({"vertical_velocity_w": torch.tensor([-0.6])}, -0.36),
    "roll_pitch_rate": ({"angular_velocity_b": row(1.0, -2.0, 5.0)}, -5.0),
    "tilt": ({"gravity_b": row(0.6, 0.0, -0.8)}, -0.36),
    "carried_foot": ({"foot_contact": ON_GROUND}, -1.0),
    "bearing_feet": ({"foot_contact": torch.tensor([[True, True, False, True]])}, 0.75),
    "cadence": (STRIDES, -(0.75 + 0.25)),
    "termination": ({"fallen": torch.tensor([True])}, -1.0),
}


def only(name: str, weight: float) -> TaskReward:
    weights: Dict[str, Any] = dict.fromkeys(TERMS, 0.0)
    weights[name] = weight
    widths = {
        "linear_velocity_width": 0.25, "linear_velocity_fine_width": 0.1, "yaw_rate_width": 0.25,
        "yaw_rate_fine_width": 0.05, "target_step_limit": 0.25, "power_limit": 800.0, "carried_leg": 1,
    }  # fmt: skip
    return TaskReward(RewardConfig(**weights, **widths), CPU)


def test_every_term_has_a_case() -> None:
    assert set(CASES) == set(TERMS)


@pytest.mark.parametrize("name", TERMS)
def test_a_term_is_what_was_worked_out(name: str) -> None:
    changes, expected = CASES[name]
    reward = only(name, 3.0)
    assert reward.names == (name,)
    terms = reward.terms(signals(**changes))
    assert terms.shape == (1, 1)
    assert terms.item() == pytest.approx(3.0 * expected, rel=1e-4)


@pytest.mark.parametrize("name", ["stand_still", "stand_contact"])
def test_terms_of_standing_are_nothing_to_those_who_walk(name: str) -> None:
    changes = {**CASES[name][0], "standing": torch.tensor([False])}
    assert only(name, 1.0).terms(signals(**changes)).item() == 0.0


def test_a_foot_that_shall_be_carried_does_not_bear() -> None:
    reward = TaskReward(RewardConfig(carried_foot=1.0, carried_leg=1, bearing_feet=3.0), CPU)
    terms = reward.terms(signals(foot_contact=torch.tensor([[True, True, False, True]])))
    assert terms[0, reward.names.index("bearing_feet")].item() == pytest.approx(2.0)


def test_the_carried_foot_has_no_cadence() -> None:
    reward = TaskReward(RewardConfig(carried_foot=1.0, carried_leg=0, cadence=2.0), CPU)
    terms = reward.terms(signals(**STRIDES))
    assert terms[0, reward.names.index("cadence")].item() == pytest.approx(-2.0 * 0.25)


def test_without_a_reference_no_stride_is_too_short() -> None:
    changes = {**STRIDES, "reference_stride_s": torch.zeros(1)}
    assert only("cadence", 1.0).terms(signals(**changes)).item() == 0.0


def test_a_leg_that_there_is_not_is_named() -> None:
    with pytest.raises(ValueError, match=r"reward\.carried_leg is 4, allowed are 0 FL, 1 FR"):
        TaskReward(RewardConfig(carried_leg=4), CPU)


@pytest.mark.parametrize("name", ["carried_foot", "bearing_feet", "cadence"])
def test_terms_of_the_gait_are_nothing_to_those_who_stand(name: str) -> None:
    standing = signals(**{**CASES[name][0], "standing": STANDS})
    assert only(name, 1.0).terms(standing).item() == 0.0


def test_task_and_style_reward_are_joined_as_worked_out() -> None:
    # Two steps of two robots: walking, walking; standing, timed out.
    fields: Dict[str, Tuple[int, ...]] = dict.fromkeys(
        ("reward", "task_reward", "value", "timed_out", "standing", "gait_speed"), ()
    )
    fields.update(style_state=(STYLE_STATE_SIZE,), next_style_state=(STYLE_STATE_SIZE,))
    storage = RolloutStorage(2, 2, fields, CPU)
    storage["task_reward"].copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    storage["value"].copy_(torch.tensor([[7.0, 8.0], [9.0, 10.0]]))
    storage["standing"].copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0]]))
    storage["timed_out"].copy_(torch.tensor([[0.0, 0.0], [0.0, 1.0]]))
    runner = mock.Mock(storage=storage, _style_sum=torch.zeros(()))
    config = ExperimentConfig(amp=AmpConfig(style_weight=0.25, style_scale=2.0), reward_scale=0.1)
    runner.config = dataclasses.replace(config, ppo=dataclasses.replace(config.ppo, gamma=0.9))
    runner.prior.style_reward.return_value = torch.tensor([0.2, 0.4, 0.9, 0.6])
    OnPolicyRunner._combine_rewards(runner)
    expected = [
        # 0.1 * (0.25 * 2 * style + 0.75 * task)
        [0.1 * (0.5 * 0.2 + 0.75 * 1.0), 0.1 * (0.5 * 0.4 + 0.75 * 2.0)],
        # Standing has half the style reward; the time-out adds 0.9 * 10.
        [0.1 * (0.5 * 0.5 + 0.75 * 3.0), 0.1 * (0.5 * 0.6 + 0.75 * 4.0) + 9.0],
    ]
    assert torch.allclose(storage["reward"], torch.tensor(expected))
    # Logged: the mean over those who walk.
    assert runner._style_sum.item() == pytest.approx(0.4)


def test_without_style_the_task_reward_is_scaled_alone() -> None:
    storage = RolloutStorage(
        1, 2, dict.fromkeys(("reward", "task_reward", "value", "timed_out"), ()), CPU
    )
    storage["task_reward"].copy_(torch.tensor([[2.0, -4.0]]))
    runner = mock.Mock(storage=storage, prior=None, config=ExperimentConfig(reward_scale=0.5))
    OnPolicyRunner._combine_rewards(runner)
    assert storage["reward"].tolist() == [[1.0, -2.0]]
