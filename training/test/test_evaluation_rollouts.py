"""Rollouts of policies whose behaviour is known: one that stands, one that lets the robot fall."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest

from aliengo_description import robot
from aliengo_training.evaluation import grid
from aliengo_training.evaluation.figures import rollout_figures, summarise
from aliengo_training.evaluation.grid import PRESETS, evaluate, parse_commands
from aliengo_training.evaluation.policy import OnnxPolicy, PolicyFileError, as_policy_file
from aliengo_training.evaluation.rollouts import RolloutConfig, roll_out, simulation_config
from aliengo_training.evaluation.testing import constant_policy
from aliengo_training.export import OBSERVATION_TERMS
from aliengo_training.sim.mujoco_cpu import MujocoCpuSimulator
from aliengo_training.sim.randomization import RandomizationConfig
from aliengo_training.tasks.config import NoiseConfig

CALM = RolloutConfig(
    seconds=2.0,
    push_interval_s=0.0,
    noise=NoiseConfig(enabled=False),
    randomization=RandomizationConfig(enabled=False),
)
STAND = (0.0, 0.0, 0.0)


def rollouts(policy: Path, config: RolloutConfig, count: int = 3):
    simulator = MujocoCpuSimulator(count, simulation_config(config), threads=1)
    try:
        return roll_out(OnnxPolicy(policy), simulator, [STAND] * count, config)
    finally:
        simulator.close()


def test_a_standing_robot_stands(tmp_path: Path) -> None:
    # The start's velocity sways it for a while.
    config = dataclasses.replace(CALM, seconds=6.0, settle_s=4.0)
    trajectory = rollouts(constant_policy(tmp_path / "stand.onnx"), config, count=2)
    assert trajectory.joint_positions.shape == (2, 300, 12)
    (figures,) = summarise(rollout_figures(trajectory))
    assert figures.survival == 1.0
    assert figures.drift < 0.03
    assert min(figures.duty.values()) > 0.95
    assert figures.torque_saturation == 0.0
    assert np.isnan(figures.period_s)
    # The feet carry the robot's weight.
    weight = trajectory.foot_forces[:, 250:].sum(-1).mean()
    assert weight == pytest.approx(9.81 * robot.TOTAL_MASS, rel=0.02)


def test_joint_targets_follow_the_contract(tmp_path: Path) -> None:
    trajectory = rollouts(constant_policy(tmp_path / "p.onnx", action=0.2), CALM)
    expected = robot.DEFAULT_JOINT_POSITIONS + 0.2 * robot.ACTION_SCALE
    np.testing.assert_allclose(trajectory.joint_targets[0, -1], expected, atol=1e-6)


def test_a_fall_is_final(tmp_path: Path) -> None:
    # Thighs and calves far from the pose that holds the robot.
    trajectory = rollouts(constant_policy(tmp_path / "fall.onnx", action=8.0), CALM)
    assert not trajectory.survived.any()
    assert trajectory.alive[:, 0].all()
    falling = np.diff(trajectory.alive.astype(int), axis=1)
    assert (falling <= 0).all()
    (figures,) = summarise(rollout_figures(trajectory))
    assert figures.survival == 0.0


def test_pushes_come_at_their_times_and_repeat_with_the_seed(tmp_path: Path) -> None:
    config = dataclasses.replace(
        CALM, seconds=2.5, push_interval_s=1.0, recovery_s=0.5, settle_s=0.5
    )
    policy = constant_policy(tmp_path / "stand.onnx")
    first, again = rollouts(policy, config), rollouts(policy, config)
    other = rollouts(policy, dataclasses.replace(config, seed=1))
    np.testing.assert_array_equal(first.linear_velocity_b, again.linear_velocity_b)
    assert np.abs(first.linear_velocity_b - other.linear_velocity_b).max() > 0.01
    change = np.abs(np.diff(first.linear_velocity_b[..., :2], axis=1)).max(axis=(0, 2))
    # Without a push the velocity changes little in a step.
    assert change[25:49].max() < 0.08
    assert 0.1 < change[49] < config.push_velocity + 0.08
    expected = np.ones(125, dtype=bool)
    expected[:25] = expected[50:75] = expected[100:125] = False
    np.testing.assert_array_equal(first.steady, expected)
    np.testing.assert_array_equal(first.settled, np.arange(125) >= 25)


def test_more_physics_steps_converge_within_the_same_control_period(tmp_path: Path) -> None:
    policy = constant_policy(tmp_path / "p.onnx", action=0.2)
    short = dataclasses.replace(CALM, seconds=0.2, settle_s=0.1)
    coarse, fine, finest = (
        rollouts(policy, dataclasses.replace(short, physics_steps=steps)) for steps in (4, 20, 80)
    )
    assert coarse.joint_velocities.shape == finest.joint_velocities.shape == (3, 10, 12)
    # First order: five times the steps, about a fifth of the error.
    errors = [np.abs(t.joint_positions - finest.joint_positions).mean() for t in (coarse, fine)]
    assert 0.0 < errors[1] < 0.4 * errors[0]


@pytest.mark.parametrize("steps", [0, 3, 101])
def test_too_few_and_too_many_physics_steps_are_refused(steps: int) -> None:
    with pytest.raises(ValueError, match=f"physics_steps is {steps}, expected 4 to 100"):
        RolloutConfig(physics_steps=steps)


def test_softer_gains_of_the_contract_are_used(tmp_path: Path) -> None:
    stiff = rollouts(constant_policy(tmp_path / "a.onnx"), CALM)
    soft = rollouts(constant_policy(tmp_path / "b.onnx", kp=(30.0,) * 12, kd=(1.0,) * 12), CALM)
    # A spring of half the stiffness gives way further under the same weight.
    assert soft.base_position_w[:, -1, 2].mean() < stiff.base_position_w[:, -1, 2].mean() - 0.005


def test_observation_is_rebuilt_by_the_contract(tmp_path: Path) -> None:
    gyro, *middle, last = OBSERVATION_TERMS
    terms = (last, *middle, dataclasses.replace(gyro, scale=(1.0,) * 3, clip=(-2.0, 2.0)))
    policy = OnnxPolicy(constant_policy(tmp_path / "p.onnx", observation_terms=terms))
    task_observation = np.arange(45, dtype=np.float32)[None]
    sent = policy.observation(task_observation)
    np.testing.assert_array_equal(sent[0, :12], task_observation[0, 33:])
    # The task scales the gyro by 0.25, this contract by 1 and clips at 2.
    np.testing.assert_array_equal(sent[0, -3:], [0.0, 2.0, 2.0])


def test_refused_policy_files(tmp_path: Path) -> None:
    with pytest.raises(PolicyFileError, match=r"none\.onnx does not exist"):
        as_policy_file(tmp_path / "none.onnx")
    (tmp_path / "x.txt").write_text("")
    with pytest.raises(PolicyFileError, match=r"expected a \.onnx or a \.pt"):
        as_policy_file(tmp_path / "x.txt")
    path = constant_policy(tmp_path / "p.onnx", action_scale=(0.5,) * 12)
    with pytest.raises(PolicyFileError, match="action_scale"):
        OnnxPolicy(path)
    model = onnx.load(str(constant_policy(tmp_path / "p.onnx")))
    del model.metadata_props[:]
    onnx.save(model, str(tmp_path / "bare.onnx"))
    with pytest.raises(PolicyFileError, match="no metadata 'aliengo_policy'"):
        OnnxPolicy(tmp_path / "bare.onnx")


def test_changed_weights_are_refused(tmp_path: Path) -> None:
    model = onnx.load(str(constant_policy(tmp_path / "p.onnx")))
    changed = onnx.numpy_helper.from_array(np.ones(12, np.float32), "base.0.bias")
    for tensor in model.graph.initializer:
        if tensor.name == "base.0.bias":
            tensor.CopyFrom(changed)
    onnx.save(model, str(tmp_path / "changed.onnx"))
    with pytest.raises(PolicyFileError, match="weights_sha256"):
        OnnxPolicy(tmp_path / "changed.onnx")


def test_commands_are_presets_points_and_series() -> None:
    assert parse_commands(["base"]) == PRESETS["base"]
    assert len(PRESETS["base"]) == 9
    assert parse_commands(["1.1,0,-2", "1.1,0,-2"]) == ((1.1, 0.0, -2.0),)
    grid = parse_commands(["0:1:3,0,-1:1:2"])
    assert grid[0] == (0.0, 0.0, -1.0)
    assert grid[-1] == (1.0, 0.0, 1.0)
    assert len(grid) == 6
    wrongs = ("fastest", "1,2", "1,2,x", "1:2,0,0", "0:1:0,0,0", "0:1:-1,0,0", "0:1:nan,0,0")
    for wrong in (*wrongs, "nan,0,0", "0,-inf,0", "0,0,nan:1:2"):
        with pytest.raises(ValueError, match="expected vx,vy,wz"):
            parse_commands([wrong])


def test_conditions_that_mean_nothing_are_refused() -> None:
    for changes, message in (
        ({"seed": -1}, "seed is -1, expected 0 to 4294967295"),
        ({"seconds": float("inf")}, "seconds is inf"),
        ({"push_interval_s": -1.0}, "push_interval_s is -1.0"),
        ({"recovery_s": float("nan")}, "recovery_s is nan"),
        ({"settle_s": 30.0}, "settle_s is 30.0"),
    ):
        with pytest.raises(ValueError, match=message):
            RolloutConfig(**changes)


def test_nothing_to_evaluate_is_refused(tmp_path: Path) -> None:
    policy = constant_policy(tmp_path / "stand.onnx")
    with pytest.raises(ValueError, match="0 commands and 2 rollouts per command"):
        evaluate(policy, "p", [], 2, CALM)
    with pytest.raises(ValueError, match="1 commands and 0 rollouts per command"):
        evaluate(policy, "p", [STAND], 0, CALM)


def test_the_largest_seed_has_jobs_after_it(tmp_path: Path) -> None:
    policy = constant_policy(tmp_path / "stand.onnx")
    config = dataclasses.replace(CALM, seed=2**32 - 1)
    commands = [STAND, (0.5, 0.0, 0.0)]
    jobs = grid._jobs(policy, commands, 1, config, "mujoco", "cpu", (), None)
    assert [job.config.seed for job in jobs] == [2**32 - 1, 0]


def test_processes_and_one_process_give_the_same_figures(tmp_path: Path) -> None:
    policy = constant_policy(tmp_path / "stand.onnx")
    config = dataclasses.replace(RolloutConfig(), seconds=1.5, push_interval_s=0.0)
    results = [
        evaluate(policy, "p", [STAND, (0.5, 0.0, 0.0)], 2, config, workers=workers)
        for workers in (1, 2)
    ]
    one, two = (
        [{k: v for k, v in f.flat().items() if v == v} for f in result.commands]
        for result in results
    )
    assert one == two
    assert [f.vx for f in results[0].commands] == [0.0, 0.5]
    assert results[0].environment_steps == 2 * 2 * 75
    assert list(results[0].examples) == [STAND, (0.5, 0.0, 0.0)]


def test_examples_come_as_asked_whichever_process_ends_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = constant_policy(tmp_path / "stand.onnx")
    config = dataclasses.replace(RolloutConfig(), seconds=1.5, push_interval_s=0.0)
    as_done = grid._results
    monkeypatch.setattr(grid, "_results", lambda jobs, workers: reversed([*as_done(jobs, 1)]))
    asked = [(0.5, 0.0, 0.0), STAND, (0.2, 0.0, 0.0)]
    assert list(evaluate(policy, "p", asked, 1, config).examples) == asked
