"""Walking, its beginning, its end and its faults."""

from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from controller_rig import PERIOD_S, VX_ROW, make_rig

from aliengo_description import robot
from aliengo_policy.controller import Controller, ControllerSettings
from aliengo_policy.modes import Mode
from aliengo_policy.runtime import PolicyFaultError, PolicyRuntime
from aliengo_policy.testing import write_linear_policy


def fail(*_: object) -> NoReturn:
    raise PolicyFaultError("broken")


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


def test_max_steps_counts_each_walk_anew(tmp_path: Path) -> None:
    rig = make_rig(tmp_path, ControllerSettings(max_steps=60))
    rig.stand()
    steps = []
    for _ in range(2):
        rig.run(1.0)
        assert rig.request(Mode.WALK) == ""
        rig.run(50 * PERIOD_S)
        assert "max_steps" not in rig.controller.reason
        first = len(rig.commands)
        rig.run_until(Mode.STAND, 3.0)
        assert rig.controller.reason == "max_steps 60 reached"
        steps.append(len(rig.commands) - first)
    assert steps[0] == steps[1]


def test_a_walk_that_ends_by_itself_cannot_be_taken_up_again(tmp_path: Path) -> None:
    rig = make_rig(tmp_path, ControllerSettings(max_steps=60)).walk()
    assert rig.request(Mode.WALK) == ""  # already in walk
    rig.run(0.3)
    assert rig.controller.mode is Mode.WALK
    assert rig.request(Mode.WALK) == "walk refused: the walk ends (max_steps 60 reached)"
    rig.run_until(Mode.STAND, 3.0)


def test_a_walk_that_was_asked_to_end_says_so_when_asked_to_walk_on(tmp_path: Path) -> None:
    rig = make_rig(tmp_path).walk()
    assert rig.request(Mode.SIT_DOWN) == ""
    assert rig.request(Mode.WALK) == "walk refused: the walk ends (requested sit_down)"
    rig.run_until(Mode.SIT_DOWN, 3.0)


def test_a_fault_of_the_policy_forgets_what_was_to_come_after_the_walk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make_rig(tmp_path).walk()
    assert rig.request(Mode.STAND) == ""
    monkeypatch.setattr(PolicyRuntime, "step", fail)
    rig.step()
    assert rig.controller.mode is Mode.SIT_DOWN
    assert rig.request(Mode.SIT_DOWN) == ""  # already in it; STAND is no longer awaited


@pytest.mark.parametrize("ending", ["stand", "fault"])
def test_the_torque_does_not_jump_when_a_walk_ends(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make_rig(tmp_path).walk()
    rig.follows = False
    # Under load: every joint hangs 0.2 rad off its target.
    rig.positions = rig.commands[-1].positions - 0.2
    before = len(rig.commands) - 1
    if ending == "stand":
        assert rig.request(Mode.STAND) == ""
        rig.run_until(Mode.STAND, 3.0)
    else:
        monkeypatch.setattr(PolicyRuntime, "step", fail)
        rig.run_until(Mode.SIT_DOWN)
    rig.run(0.2)
    commands = rig.commands[before:]
    torques = np.array([c.kp * (c.positions - rig.positions) for c in commands])
    dampings = np.array([c.kd for c in commands])
    settings = rig.controller.settings
    # No step is larger than the fastest of the fade and the fastest of the motion together.
    fade = 1.875 / settings.blend_s * PERIOD_S
    gains = np.abs(settings.stand_kp - commands[0].kp).max()
    motion = settings.stand_kp * settings.joint_speed * PERIOD_S
    errors = np.abs(np.array([c.positions for c in commands]) - rig.positions).max()
    assert np.abs(np.diff(torques, axis=0)).max() <= fade * gains * errors + motion
    assert (
        np.abs(np.diff(dampings, axis=0)).max()
        <= 1.01 * fade * abs(settings.stand_kd - commands[0].kd).max()
    )
    assert gains > 10.0


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
