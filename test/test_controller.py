"""The state machine: who may go where, when, and why not."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from aliengo_description import robot
from aliengo_policy.commands import CommandLimits
from aliengo_policy.controller import Controller, ControllerSettings, JointCommand
from aliengo_policy.modes import ACTIVE, REQUESTS, Mode
from aliengo_policy.observation import RobotState
from aliengo_policy.runtime import PolicyRuntime
from aliengo_policy.testing import write_linear_policy

PERIOD_S = 0.02
VX_ROW = 6
UPRIGHT = np.array([1.0, 0.0, 0.0, 0.0])


def rolled(angle: float) -> np.ndarray:
    """Quaternion of a body rolled by ``angle`` [rad]."""
    return np.array([np.cos(angle / 2), np.sin(angle / 2), 0.0, 0.0])


@dataclass
class Rig:
    """A controller and a robot whose joints follow every command exactly."""

    controller: Controller
    now_s: float = 100.0
    positions: np.ndarray = field(default_factory=lambda: robot.LYING_JOINT_POSITIONS.copy())
    velocities: np.ndarray = field(default_factory=lambda: np.zeros(12))
    quaternion: np.ndarray = field(default_factory=lambda: UPRIGHT.copy())
    commands: list[JointCommand] = field(default_factory=list)
    velocity: tuple[float, float, float] | None = (0.0, 0.0, 0.0)
    modes: list[Mode] = field(default_factory=list)

    def step(self) -> JointCommand:
        self.now_s += PERIOD_S
        if self.velocity is not None:
            self.controller.command.receive(self.now_s, self.velocity, "rig")
        state = RobotState(self.positions.copy(), self.velocities, self.quaternion, np.zeros(3))
        command = self.controller.step(state, self.now_s)
        if command.enabled:
            self.positions = command.positions.copy()
        self.commands.append(command)
        if not self.modes or self.modes[-1] is not self.controller.mode:
            self.modes.append(self.controller.mode)
        return command

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / PERIOD_S)):
            self.step()

    def run_until(self, mode: Mode, seconds: float = 15.0) -> None:
        for _ in range(round(seconds / PERIOD_S)):
            if self.controller.mode is mode:
                return
            self.step()
        raise AssertionError(
            f"{mode} not reached in {seconds} s: {self.modes}, {self.controller.reason}"
        )

    def request(self, mode: Mode) -> str:
        """Message of a refused request; empty when it was accepted."""
        answer = self.controller.request(mode, self.now_s)
        return "" if answer.accepted else answer.message

    def stand(self) -> "Rig":
        self.step()
        assert self.request(Mode.STAND_UP) == ""
        self.run_until(Mode.STAND)
        self.run(1.0)
        return self

    def walk(self) -> "Rig":
        self.stand()
        assert self.request(Mode.WALK) == ""
        self.run(1.0)
        return self


def make_rig(
    folder: Path, settings: ControllerSettings | None = None, residual_gain: float | None = None
) -> Rig:
    """A rig with a base that answers vx on the first joint and, if asked for, a residual."""
    base = np.zeros((45, 12))
    base[VX_ROW, 0] = 0.1
    policies = {"base": PolicyRuntime(write_linear_policy(folder / "base.onnx", base))}
    if residual_gain is not None:
        residual = np.zeros((45, 12))
        residual[VX_ROW, 0] = residual_gain
        path = write_linear_policy(folder / "residual.onnx", base, residual)
        policies["residual"] = PolicyRuntime(path)
    limits = CommandLimits(max_vel=3.0)
    controller = Controller(policies, "base", limits, settings or ControllerSettings())
    return Rig(controller)


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
    rig.positions = robot.STAND_JOINT_POSITIONS + 0.1
    rig.step()
    rig.request(Mode.STAND_UP)
    for _ in range(1000):
        rig.step()
        rig.positions = robot.STAND_JOINT_POSITIONS + 0.1
    assert rig.controller.mode is Mode.STAND
    assert rig.request(Mode.WALK) == ""


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
        rig.now_s += 0.11
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


def test_a_robot_that_was_damped_stays_damped_when_the_cause_is_gone(tmp_path: Path) -> None:
    rig = make_rig(tmp_path).stand()
    rig.controller.bridge_fault = "estop"
    rig.step()
    rig.controller.bridge_fault = ""
    rig.run(1.0)
    assert rig.controller.mode is Mode.DAMPING


def test_a_silent_commander_means_zero_then_stand(tmp_path: Path) -> None:
    rig = make_rig(tmp_path)
    rig.velocity = (0.5, 0.0, 0.0)
    rig.walk()
    assert rig.controller.command.value[0] == 0.5
    rig.velocity = None
    rig.run(0.24 + 0.3)
    assert rig.controller.command.is_zero()
    assert rig.controller.mode is Mode.WALK
    rig.run_until(Mode.STAND, 3.0)
    assert rig.controller.reason == "no command for 2 s"


def test_max_steps_ends_the_walk(tmp_path: Path) -> None:
    rig = make_rig(tmp_path, ControllerSettings(max_steps=60)).walk()
    rig.run_until(Mode.STAND, 3.0)
    assert rig.controller.reason == "max_steps 60 reached"
    rig.run(1.0)
    assert "max_steps 60 reached" in rig.request(Mode.WALK)


def test_walking_fades_in_from_the_stand_to_the_policys_targets_and_gains(tmp_path: Path) -> None:
    rig = make_rig(tmp_path).stand()
    rig.request(Mode.WALK)
    first = rig.step()
    assert np.abs(first.positions - robot.STAND_JOINT_POSITIONS).max() < 1e-3
    assert np.abs(first.kp - rig.controller.settings.stand_kp).max() < 0.1
    rig.run(1.0)
    last = rig.commands[-1]
    output = rig.controller.last_output
    assert output is not None
    np.testing.assert_allclose(last.positions, output.joint_targets, atol=1e-9)
    np.testing.assert_allclose(last.kp, rig.controller.runtime.contract.kp)


def test_the_policy_is_switched_while_standing_not_while_walking(tmp_path: Path) -> None:
    rig = make_rig(tmp_path, residual_gain=0.1).stand()
    assert rig.controller.select("residual").accepted
    assert rig.controller.select("base").accepted
    assert "loaded are ['base', 'residual']" in rig.controller.select("best").message
    assert rig.request(Mode.WALK) == ""
    answer = rig.controller.select("residual")
    assert not answer.accepted
    assert "the robot walks" in answer.message
    assert rig.controller.policy == "base"


def test_a_residual_fault_leaves_the_robot_walking_on_the_base(tmp_path: Path) -> None:
    rig = make_rig(tmp_path, residual_gain=0.5).stand()  # exceeds the bound of 2 above vx 2
    rig.controller.select("residual")
    rig.velocity = (3.0, 0.0, 0.0)
    rig.request(Mode.WALK)
    rig.run(4.0)
    assert rig.controller.mode is Mode.WALK
    assert "walking on with the base: residual action" in rig.controller.reason
    assert rig.controller.command.value[0] == pytest.approx(1.2)  # as fast as the base was trained
    output = rig.controller.last_output
    assert output is not None
    np.testing.assert_array_equal(output.action, output.base_action)
    targets = np.array([command.positions for command in rig.commands])
    assert np.abs(np.diff(targets, axis=0)).max() < 0.6  # one step of losing the whole residual


def test_a_base_fault_sits_down(tmp_path: Path) -> None:
    rig = make_rig(tmp_path)
    base = np.zeros((45, 12))
    base[VX_ROW, 0] = 3e38
    path = write_linear_policy(tmp_path / "overflow.onnx", base)
    rig.controller = Controller({"overflow": PolicyRuntime(path)}, "overflow")
    rig.walk()
    rig.velocity = (1.0, 0.0, 0.0)
    rig.run_until(Mode.SIT_DOWN, 2.0)
    assert "base action [0] = inf is not finite" in rig.controller.reason
    assert np.isfinite([command.positions for command in rig.commands]).all()


def test_an_unknown_first_policy_is_refused(tmp_path: Path) -> None:
    rig = make_rig(tmp_path)
    with pytest.raises(ValueError, match=r"policy 'best' is not loaded; loaded are \['base'\]"):
        Controller(rig.controller.policies, "best")
