"""What training writes and sees is what the robot reads and sees."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from aliengo_description import robot
from aliengo_policy.contract import COMMAND_AXES, ContractError
from aliengo_policy.observation import RobotState
from aliengo_policy.runtime import PolicyRuntime

torch = pytest.importorskip("torch", reason="training is not installed")
from aliengo_training.contract import PolicySpec  # noqa: E402
from aliengo_training.export import MlpWeights, export_policy  # noqa: E402
from aliengo_training.gate import ResidualGate  # noqa: E402
from aliengo_training.tasks.config import NoiseConfig  # noqa: E402
from aliengo_training.tasks.observations import ObservationBuilder  # noqa: E402

RNG = np.random.default_rng(11)
RANGES = {"vx": (-0.5, 1.1), "vy": (-0.3, 0.3), "wz": (-1.0, 1.0)}
WIDE = {"vx": (-0.5, 3.0), "vy": (-1.5, 1.5), "wz": (-3.14, 3.14)}
ORIGIN = {"run": "test", "task": "aliengo_amp", "iteration": 1, "git_commit": "0" * 40}


def weights(*widths: int) -> MlpWeights:
    pairs = itertools.pairwise(widths)
    layers = [
        (RNG.normal(0, 0.2, (after, before)), RNG.normal(0, 0.1, after)) for before, after in pairs
    ]
    return MlpWeights(layers)


def forward(mlp: MlpWeights, observation: np.ndarray) -> np.ndarray:
    value = torch.tensor(observation, dtype=torch.float32)
    for index, (weight, bias) in enumerate(mlp.layers):
        value = torch.nn.functional.linear(
            value,
            torch.tensor(weight, dtype=torch.float32),
            torch.tensor(bias, dtype=torch.float32),
        )
        value = torch.nn.functional.elu(value) if index + 1 < len(mlp.layers) else value
    return value.numpy()


def random_state() -> RobotState:
    quaternion = RNG.normal(size=4)
    return RobotState(
        joint_positions=robot.STAND_JOINT_POSITIONS + RNG.normal(0.0, 0.3, 12),
        joint_velocities=RNG.normal(0.0, 5.0, 12),
        quaternion=quaternion / np.linalg.norm(quaternion),
        angular_velocity=RNG.normal(0.0, 2.0, 3),
    )


def test_the_runtime_builds_the_observation_of_the_training_task(tmp_path: Path) -> None:
    path = tmp_path / "base.onnx"
    export_policy(PolicySpec("base", RANGES, ORIGIN), weights(45, 32, 12), path)
    runtime = PolicyRuntime(path)
    builder = ObservationBuilder(NoiseConfig(enabled=False), torch.device("cpu"))
    last_action = np.zeros(12)
    for _ in range(200):
        state, command = random_state(), RNG.uniform(-1.0, 1.0, 3)
        output = runtime.step(state, command)
        parts = (
            state.angular_velocity,
            state.gravity_b(),
            command,
            state.joint_positions - robot.DEFAULT_JOINT_POSITIONS,
            state.joint_velocities,
            last_action,
        )
        row = [torch.tensor(part, dtype=torch.float32)[None] for part in parts]
        expected = builder.actor(builder.clean(*row))[0].numpy()
        np.testing.assert_allclose(output.observation, expected, atol=1e-5)
        last_action = output.action


def test_an_exported_base_acts_like_its_torch_network(tmp_path: Path) -> None:
    mlp = weights(45, 64, 32, 12)
    export_policy(PolicySpec("base", RANGES, ORIGIN), mlp, tmp_path / "base.onnx")
    runtime = PolicyRuntime(tmp_path / "base.onnx")
    assert runtime.contract.kp == tuple(robot.KP)
    assert runtime.contract.command_ranges == RANGES
    for _ in range(50):
        output = runtime.step(random_state(), RNG.uniform(-1.0, 1.0, 3))
        np.testing.assert_allclose(output.action, forward(mlp, output.observation), atol=1e-5)
        np.testing.assert_array_equal(output.residual_action, 0.0)


def test_the_gate_of_the_metadata_is_the_gate_of_the_graph(tmp_path: Path) -> None:
    base, residual = weights(45, 32, 12), weights(45, 32, 12)
    gate = ResidualGate(base_ranges=RANGES, speed=0.05, width=0.3)
    spec = PolicySpec("residual", WIDE, ORIGIN, gate=gate, residual_bound=1.5)
    export_policy(spec, base, tmp_path / "residual.onnx", residual)
    runtime = PolicyRuntime(tmp_path / "residual.onnx")
    openings = set()
    for _ in range(300):
        command = RNG.uniform(*np.transpose([WIDE[axis] for axis in COMMAND_AXES]))
        command *= RNG.choice([0.3, 0.6, 1.0])
        output = runtime.step(random_state(), command)
        bounded = 1.5 * np.tanh(forward(residual, output.observation) / 1.5)
        np.testing.assert_allclose(output.residual_action, output.gate * bounded, atol=2e-5)
        torch_gate = gate.opening(torch.tensor(command, dtype=torch.float64))
        assert output.gate == pytest.approx(float(torch_gate), abs=1e-6)
        openings.add(round(output.gate, 3))
    assert {0.0, 1.0} < openings
    assert not runtime.residual_fault


def limited_residual(path: Path, limit: float | None) -> PolicyRuntime:
    """A residual policy whose networks ask for far more than the limit [rad]."""
    rng = np.random.default_rng(5)
    base, residual = (
        MlpWeights([(rng.normal(0, gain, (12, 45)), rng.normal(0, 1, 12))]) for gain in (0.7, 0.4)
    )
    gate = ResidualGate(base_ranges=RANGES, speed=0.05, width=0.3)
    spec = PolicySpec("residual", WIDE, ORIGIN, gate=gate, residual_bound=1.5)
    export_policy(replace(spec, max_target_step=limit), base, path, residual)
    return PolicyRuntime(path)


def test_on_the_robot_no_target_steps_further_than_training_let_it(tmp_path: Path) -> None:
    limit = 0.3
    runtime = limited_residual(tmp_path / "held.onnx", limit)
    free = limited_residual(tmp_path / "free.onnx", None)
    assert runtime.contract.max_target_step == limit
    last, largest, same = robot.DEFAULT_JOINT_POSITIONS, 0.0, 0
    for count in range(200):
        if count == 100:
            runtime.reset()
            last = robot.DEFAULT_JOINT_POSITIONS
        state, command = random_state(), RNG.uniform([-0.5, -1.5, -3.0], [3.0, 1.5, 3.0])
        output = runtime.step(state, command)
        step = np.abs(output.joint_targets - last)
        assert step.max() <= limit + 1e-5
        assert np.abs(output.residual_action).max() <= 1.5 + 1e-5
        np.testing.assert_allclose(
            output.action, output.base_action + output.residual_action, atol=1e-5
        )
        # Where the limit does not bind, the action is what the networks ask for.
        free._last_action[:] = (last - robot.DEFAULT_JOINT_POSITIONS) / robot.ACTION_SCALE
        inside = step < limit - 1e-4
        np.testing.assert_allclose(
            output.action[inside], free.step(state, command).action[inside], atol=1e-4
        )
        last, largest, same = output.joint_targets, max(largest, step.max()), same + inside.sum()
    assert largest > 0.999 * limit
    assert same > 100
    assert not runtime.residual_fault


def test_switching_a_residual_off_makes_no_further_step_either(tmp_path: Path) -> None:
    limit = 0.3
    runtime = limited_residual(tmp_path / "held.onnx", limit)
    last, acted = robot.DEFAULT_JOINT_POSITIONS, 0
    for count in range(100):
        off = count % 2 == 1
        runtime.residual_fault = "as if it had shown one" if off else ""
        output = runtime.step(random_state(), np.array([3.0, 0.0, 0.0]))
        assert np.abs(output.joint_targets - last).max() <= limit + 1e-5
        assert not (off and output.residual_action.any())
        last, acted = output.joint_targets, acted + output.residual_action.any()
    assert acted > 25


@pytest.mark.parametrize("declared", [0.2, 0.299])
def test_a_file_whose_graph_steps_further_than_it_says_is_refused(
    tmp_path: Path, declared: float
) -> None:
    path = tmp_path / "held.onnx"
    limited_residual(path, 0.3)
    model = onnx.load(path)
    (entry,) = model.metadata_props
    entry.value = json.dumps(json.loads(entry.value) | {"max_target_step": declared})
    onnx.save(model, path)
    with pytest.raises(ContractError, match=rf"max_target_step, {declared} rad, found 0\.3000 rad"):
        PolicyRuntime(path)
