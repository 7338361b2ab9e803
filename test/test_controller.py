"""The state machine: who may go where, when, and why not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from controller_rig import PERIOD_S, UPRIGHT, make_rig

from aliengo_description import robot
from aliengo_policy.controller import ControllerSettings
from aliengo_policy.modes import ACTIVE, REQUESTS, Mode
from aliengo_policy.runtime import PolicyRuntime
from aliengo_policy.testing import example_contract, write_linear_policy


def rolled(angle: float) -> np.ndarray:
    """Quaternion of a body rolled by ``angle`` [rad]."""
    return np.array([np.cos(angle / 2), np.sin(angle / 2), 0.0, 0.0])


def test_a_whole_outing_passes_through_every_mode(tmp_path: Path) -> None:
    rig = make_rig(tmp_path).walk()
    assert rig.request(Mode.SIT_DOWN) == ""
    rig.run_until(Mode.DAMPING)
    assert rig.modes == [
        Mode.DAMPING, Mode.STAND_UP, Mode.STAND, Mode.WALK, Mode.STAND, Mode.SIT_DOWN, Mode.DAMPING,
    ]  # fmt: skip
    assert rig.controller.reason == "sit down finished"


def test_joint_targets_never_jump_and_respect_the_speed_limit(tmp_path: Path) -> None:
    rig = make_rig(tmp_path).walk()
    rig.request(Mode.SIT_DOWN)
    rig.run_until(Mode.DAMPING)
    targets = np.array([command.positions for command in rig.commands if command.enabled])
    speed = np.abs(np.diff(targets, axis=0)).max() / PERIOD_S
    assert speed <= 1.02 * rig.controller.settings.joint_speed


@pytest.mark.parametrize("seed", range(10))
def test_standing_up_and_sitting_down_start_from_any_pose(tmp_path: Path, seed: int) -> None:
    rig = make_rig(tmp_path)
    rng = np.random.default_rng(seed)
    rig.positions = rng.uniform(robot.SAFE_JOINT_LOWER, robot.SAFE_JOINT_UPPER)
    first = rig.positions.copy()
    rig.stand()
    np.testing.assert_allclose(rig.positions, robot.STAND_JOINT_POSITIONS, atol=1e-9)
    targets = np.array([command.positions for command in rig.commands if command.enabled])
    assert np.abs(targets[0] - first).max() < 0.01
    assert np.all(targets >= robot.SAFE_JOINT_LOWER - 1e-9)
    assert np.all(targets <= robot.SAFE_JOINT_UPPER + 1e-9)


def test_rising_moves_the_feet_straight_down_in_the_body_frame(tmp_path: Path) -> None:
    rig = make_rig(tmp_path).stand()
    feet = np.array([robot.foot_positions(c.positions) for c in rig.commands if c.enabled])
    stand = robot.foot_positions(robot.STAND_JOINT_POSITIONS)
    rising = feet[feet[:, 0, 2] < -0.15]
    assert len(rising) > 20
    np.testing.assert_allclose(
        rising[:, :, :2], np.broadcast_to(stand[:, :2], (len(rising), 4, 2)), atol=2e-3
    )


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (Mode.DAMPING, Mode.WALK),
        (Mode.DAMPING, Mode.STAND),
        (Mode.DAMPING, Mode.SIT_DOWN),
        (Mode.STAND_UP, Mode.WALK),
        (Mode.STAND, Mode.STAND_UP),
    ],
)
def test_shortcuts_are_refused_with_the_allowed_ways(
    tmp_path: Path, source: Mode, target: Mode
) -> None:
    rig = make_rig(tmp_path)
    rig.step()
    if source is not Mode.DAMPING:
        rig.request(Mode.STAND_UP)
        rig.step()
    if source is Mode.STAND:
        rig.run_until(Mode.STAND)
    assert f"not possible from {source.value}, only from" in rig.request(target)
    assert rig.controller.mode is source


def test_every_mode_but_damping_can_be_damped(tmp_path: Path) -> None:
    rig = make_rig(tmp_path).walk()
    assert rig.request(Mode.DAMPING) == ""
    assert not rig.step().enabled
    assert {
        mode for item in REQUESTS if item.target is Mode.DAMPING for mode in item.sources
    } == set(Mode)


def test_nothing_moves_before_a_state_was_seen(tmp_path: Path) -> None:
    rig = make_rig(tmp_path)
    assert "no robot state was received" in rig.request(Mode.STAND_UP)
    assert rig.request(Mode.DAMPING) == ""


def test_an_imu_that_is_not_ready_refuses(tmp_path: Path) -> None:
    rig = make_rig(tmp_path)
    rig.quaternion = np.zeros(4)
    rig.step()
    assert "tilted by nan deg" in rig.request(Mode.STAND_UP)


def test_standing_up_needs_an_upright_robot_at_rest(tmp_path: Path) -> None:
    rig = make_rig(tmp_path)
    rig.quaternion = rolled(0.8)
    rig.step()
    assert "tilted by 46 deg (limit 34)" in rig.request(Mode.STAND_UP)
    rig.quaternion, rig.velocities = UPRIGHT, np.full(12, 2.0)
    rig.step()
    assert "FL_hip_joint moves at 2.00 rad/s" in rig.request(Mode.STAND_UP)


def test_walking_needs_somebody_who_commands(tmp_path: Path) -> None:
    rig = make_rig(tmp_path)
    rig.velocity = None
    rig.stand()
    assert "no fresh velocity command; none was ever received" in rig.request(Mode.WALK)
    rig.controller.command.receive(rig.now_s, (0.1, 0.0, 0.0), "rig")
    rig.run(0.5)
    assert "the last one is 0.50 s old" in rig.request(Mode.WALK)


def test_walking_needs_the_stand_to_be_reached(tmp_path: Path) -> None:
    rig = make_rig(tmp_path)
    rig.step()
    rig.request(Mode.STAND_UP)
    rig.run_until(Mode.STAND)
    assert "the stand is reached in" in rig.request(Mode.WALK)


def test_a_robot_that_did_not_rise_sits_down_again(tmp_path: Path) -> None:
    rig = make_rig(tmp_path)
    rig.step()
    rig.request(Mode.STAND_UP)
    for _ in range(1000):
        rig.step()
        rig.positions = robot.LYING_JOINT_POSITIONS.copy()  # it is held down
        if rig.controller.mode is not Mode.STAND_UP:
            break
    assert rig.controller.mode is Mode.SIT_DOWN
    assert "stand up failed: FL_calf_joint is 1.20 rad away" in rig.controller.reason


def test_shadow_mode_does_not_expect_the_robot_to_follow(tmp_path: Path) -> None:
    rig = make_rig(tmp_path, ControllerSettings(shadow=True))
    rig.follows = False
    rig.controller.bridge_withholds = True
    rig.walk()
    assert rig.controller.mode is Mode.WALK
    np.testing.assert_array_equal(rig.positions, robot.LYING_JOINT_POSITIONS)


@pytest.mark.parametrize(("shadow", "withholds"), [(True, False), (False, True)])
def test_shadow_mode_counts_only_where_the_bridge_withholds_the_commands(
    tmp_path: Path, shadow: bool, withholds: bool
) -> None:
    rig = make_rig(tmp_path, ControllerSettings(shadow=shadow))
    rig.controller.bridge_withholds = withholds
    rig.stand()
    rig.follows = False
    rig.positions = robot.LYING_JOINT_POSITIONS.copy()
    rig.step()
    assert "rad away from the stand" in rig.request(Mode.WALK)
    assert rig.request(Mode.SIT_DOWN) == ""
    rig.run_until(Mode.DAMPING)
    assert rig.request(Mode.STAND_UP) == ""
    rig.run_until(Mode.SIT_DOWN)
    assert "stand up failed" in rig.controller.reason


@pytest.mark.parametrize("mode", [Mode.STAND_UP, Mode.STAND, Mode.WALK, Mode.SIT_DOWN])
@pytest.mark.parametrize("guard", ACTIVE)
def test_every_active_mode_inherits_every_guard(tmp_path: Path, mode: Mode, guard: str) -> None:
    rig = make_rig(tmp_path)
    if mode is Mode.STAND_UP:
        rig.step()
    elif mode is Mode.WALK:
        rig.walk()
    else:
        rig.stand()
    if mode in (Mode.STAND_UP, Mode.SIT_DOWN):
        assert rig.request(mode) == ""
    assert rig.controller.mode is mode
    if guard == "state_fresh":
        for _ in range(2):
            rig.now_s += 0.055
            rig.controller.watch(rig.now_s)
    else:
        if guard == "not_fallen":
            rig.quaternion = rolled(1.1)
        elif guard == "state_finite":
            rig.positions[5] = np.nan
        else:
            rig.controller.bridge_fault = "estop"
        assert not rig.step().enabled
    assert rig.controller.mode is Mode.DAMPING
    words = {
        "state_fresh": "no robot state for 0.110 s",
        "state_finite": "not finite",
        "bridge_ready": "bridge fault: estop",
        "not_fallen": "tilted by 63 deg",
    }
    assert words[guard] in rig.controller.reason


def test_a_controller_that_slept_judges_the_age_of_the_state_at_its_next_call(
    tmp_path: Path,
) -> None:
    rig = make_rig(tmp_path).stand()
    rig.now_s += 0.3
    rig.controller.watch(rig.now_s)
    assert rig.controller.mode is Mode.STAND
    rig.step()  # a state had been waiting
    assert rig.controller.mode is Mode.STAND
    for sleep_s, mode in ((0.3, Mode.STAND), (0.3, Mode.DAMPING)):  # excused once between states
        rig.now_s += sleep_s
        rig.controller.watch(rig.now_s)
        assert rig.controller.mode is mode
    assert "no robot state for 0.600 s" in rig.controller.reason


@pytest.mark.parametrize("mode", [Mode.STAND, Mode.WALK])
def test_a_controller_that_was_held_up_for_long_does_not_go_on(tmp_path: Path, mode: Mode) -> None:
    rig = make_rig(tmp_path)
    rig.stand() if mode is Mode.STAND else rig.walk()
    rig.now_s += 0.4
    rig.step()
    assert rig.controller.mode is mode
    rig.now_s += 0.6
    assert not rig.step().enabled
    assert rig.controller.mode is Mode.DAMPING
    assert rig.controller.reason == "held up for 0.6 s"


def test_a_controller_that_slept_judges_a_fall_at_once(tmp_path: Path) -> None:
    rig = make_rig(tmp_path).stand()
    rig.now_s += 0.3
    rig.controller.bridge_fault = "tilt"
    rig.controller.watch(rig.now_s)
    assert rig.controller.mode is Mode.DAMPING
    assert "bridge fault: tilt" in rig.controller.reason


def test_a_robot_that_the_bridge_would_not_drive_does_not_begin_to_stand_up(tmp_path: Path) -> None:
    rig = make_rig(tmp_path)
    rig.controller.bridge_obstacle = "motor_hot"
    rig.step()
    refusal = "stand_up refused: the bridge would not drive the robot: motor_hot"
    assert rig.request(Mode.STAND_UP) == refusal
    rig.controller.bridge_obstacle = ""
    rig.stand()
    rig.controller.bridge_obstacle = "motor_hot"  # what was begun is the bridge's to end
    rig.step()
    assert rig.controller.mode is Mode.STAND


def test_a_robot_that_was_damped_stays_damped_when_the_cause_is_gone(tmp_path: Path) -> None:
    rig = make_rig(tmp_path).stand()
    rig.controller.bridge_fault = "estop"
    rig.step()
    rig.controller.bridge_fault = ""
    rig.run(1.0)
    assert rig.controller.mode is Mode.DAMPING


def test_a_policy_with_another_control_period_is_not_switched_to(tmp_path: Path) -> None:
    rig = make_rig(tmp_path).stand()
    contract = replace(example_contract(), control_period_s=0.01)
    path = write_linear_policy(tmp_path / "fast.onnx", contract=contract)
    rig.controller.policies = {**rig.controller.policies, "fast": PolicyRuntime(path)}
    answer = rig.controller.select("fast")
    assert not answer.accepted
    assert "control period is 0.01 s, that of the running one 0.02 s" in answer.message
    assert rig.controller.policy == "base"
