"""How far a joint target may move in one step: the environment and the exported graph hold to the same limit."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from aliengo_description import robot
from aliengo_training.export import ExportError, MlpWeights, PolicySpec, export_policy
from aliengo_training.gate import ResidualGate
from aliengo_training.motion.testing import wavy_clip
from aliengo_training.sim import make_simulator
from aliengo_training.sim.randomization import RandomizationConfig
from aliengo_training.sim.simulator import SimulationConfig
from aliengo_training.tasks.config import (
    CommandConfig,
    NoiseConfig,
    PushConfig,
    ResetConfig,
    TaskConfig,
)
from aliengo_training.tasks.locomotion import LocomotionTask
from aliengo_training.tasks.style import StyleConfig, StyleReference

CPU = torch.device("cpu")
LIMIT = 0.3
"""Of the tests' tasks and files [rad]."""
DEFAULT = torch.as_tensor(robot.DEFAULT_JOINT_POSITIONS.copy(), dtype=torch.float32)
SCALE = torch.as_tensor(robot.ACTION_SCALE.copy(), dtype=torch.float32)
STEP = LIMIT / SCALE
"""The limit in units of action."""
LAST = slice(33, 45)
"""The last action in the observation."""
RANGES = {"vx": (-0.5, 1.1), "vy": (-0.3, 0.3), "wz": (-1.0, 1.0)}
TRAINING = {"run": "test", "task": "aliengo_amp", "iteration": 0, "git_commit": "none"}
GATE = ResidualGate(base_ranges=RANGES, speed=0.1, width=0.4)
BASE = PolicySpec(kind="base", command_ranges=RANGES, training=TRAINING, max_target_step=LIMIT)
RESIDUAL = dataclasses.replace(BASE, kind="residual", gate=GATE, residual_bound=1.5)


def make_task(
    count: int = 4, reference: Optional[StyleReference] = None, **changes: Any
) -> LocomotionTask:
    """A task without noise, pushes and randomisation whose episodes have just begun."""
    torch.manual_seed(0)
    config = TaskConfig(
        simulation=SimulationConfig(),
        noise=NoiseConfig(enabled=False),
        push=PushConfig(enabled=False),
        randomization=RandomizationConfig(enabled=False),
        reset=ResetConfig(reference_probability=1.0, joint_noise=0.0, velocity_noise=0.0),
        commands=CommandConfig(standing_fraction=0.0, dead_zone=0.0),
        max_target_step=LIMIT,
    )
    config = dataclasses.replace(config, **changes)
    simulator = make_simulator("mujoco", count, "cpu", config.simulation)
    task = LocomotionTask(simulator, config, reference)
    task.reset_all(spread_episodes=False)
    return task


def network(seed: int, gain: float = 1.0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers = nn.Sequential(nn.Linear(45, 32), nn.ELU(), nn.Linear(32, 12))
    with torch.no_grad():
        layers[2].weight.mul_(gain)
    return layers


def weights(net: nn.Sequential) -> MlpWeights:
    linear = [m for m in net if isinstance(m, nn.Linear)]
    return MlpWeights([(m.weight.detach().numpy(), m.bias.detach().numpy()) for m in linear])


def observations(commands: np.ndarray, seed: int = 1) -> np.ndarray:
    """Random observations with the given commands (n, 3) in their place, scaled."""
    values = np.random.default_rng(seed).normal(size=(len(commands), 45)).astype(np.float32)
    values[:, 6:9] = commands * [2.0, 2.0, 0.25]
    return values


def any_command(count: int) -> np.ndarray:
    """Commands (n, 3) inside the base's box and far beyond it."""
    return np.random.default_rng(2).uniform([-1.0, -1.5, -3.0], [3.0, 1.5, 3.0], (count, 3))


def session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def run(path: Path, values: np.ndarray) -> Dict[str, np.ndarray]:
    names = ["action", "base_action", "residual_action"]
    return dict(zip(names, session(path).run(names, {"observation": values})))


def with_and_without(
    folder: Path, spec: PolicySpec, base: nn.Sequential, residual: Optional[nn.Sequential] = None
) -> Tuple[Path, Path]:
    """Files of the same networks, held to the limit and not."""
    parts = None if residual is None else weights(residual)
    free = dataclasses.replace(spec, max_target_step=None)
    for name, described in (("held", spec), ("free", free)):
        export_policy(described, weights(base), folder / f"{name}.onnx", parts)
    return folder / "held.onnx", folder / "free.onnx"


# The environment.


def test_each_joints_target_moves_by_the_limit_at_most() -> None:
    task = make_task(2)
    start = task.joint_targets.clone()
    assert torch.equal(start, DEFAULT.expand(2, 12))
    action = torch.zeros(2, 12)
    # On the limit, within it, and far beyond it in both directions.
    action[0, :4] = torch.tensor([1.0, -0.5, 7.0, -7.0]) * STEP[:4]
    task.begin_step(action)
    expected = torch.zeros(2, 12)
    expected[0, :4] = LIMIT * torch.tensor([1.0, -0.5, 1.0, -1.0])
    assert torch.allclose(task.joint_targets - start, expected, atol=1e-6)
    # The next step starts from where the last one was let, not from where it wanted to go.
    task.begin_step(torch.full((2, 12), 9.0))
    moved = task.joint_targets - start - expected
    assert torch.allclose(moved, torch.full((2, 12), LIMIT), atol=1e-6)


def test_a_demand_that_stays_is_reached_in_steps() -> None:
    task = make_task(1)
    demand = 2.5 * STEP
    path = []
    for _ in range(4):
        task.begin_step(demand[None])
        path.append((task.joint_targets[0] - DEFAULT) / LIMIT)
    ones = torch.ones(12)
    for reached, steps in zip(path, (1.0, 2.0, 2.5, 2.5)):
        assert torch.allclose(reached, steps * ones, atol=1e-5)


def test_without_a_limit_a_target_jumps_to_its_action() -> None:
    task = make_task(2, max_target_step=0.0)
    action = 40.0 * torch.randn(2, 12)
    task.begin_step(action)
    assert torch.equal(task.last_action, action)
    assert torch.allclose(task.joint_targets, DEFAULT + SCALE * action)


def test_the_observation_holds_the_action_that_was_executed() -> None:
    task = make_task(2)
    task.step(torch.full((2, 12), 5.0))
    assert not task.terminated.any()
    assert torch.allclose(task.observation[:, LAST], STEP.expand(2, 12))
    assert torch.equal(task.observation[:, LAST], task.last_action)
    assert torch.allclose(DEFAULT + SCALE * task.last_action, task.joint_targets)


def test_what_was_demanded_is_penalised_though_less_was_let_through() -> None:
    config = TaskConfig().reward
    lone = {f.name: 0.0 for f in dataclasses.fields(config) if f.name not in _NOT_WEIGHTS}
    reward = dataclasses.replace(config, **{**lone, "target_step": 1.0, "target_step_limit": 0.25})
    task = make_task(1, reward=reward)
    action = torch.zeros(1, 12)
    action[0, 5] = 0.9 / SCALE[5]
    task.step(action)
    assert task.reward_names == ("target_step",)
    assert task.reward_terms.item() == pytest.approx(-(0.9 - 0.25), abs=1e-5)


_NOT_WEIGHTS = {
    "linear_velocity_width", "linear_velocity_fine_width", "yaw_rate_width", "yaw_rate_fine_width",
    "target_step_limit", "carried_leg",
}  # fmt: skip


def test_an_episode_from_the_default_pose_begins_around_it() -> None:
    task = make_task(3)
    for _ in range(3):
        task.step(torch.full((3, 12), 2.0))
    others = task.last_action[1:].clone()
    task._reset(torch.tensor([True, False, False]))
    assert torch.equal(task.last_action[0], torch.zeros(12))
    assert torch.equal(task.joint_targets[0], DEFAULT)
    assert torch.equal(task.last_action[1:], others), "a reset touched those who go on"
    task.begin_step(torch.full((3, 12), -9.0))
    assert torch.allclose(task.joint_targets[0], DEFAULT - LIMIT, atol=1e-6)
    assert torch.allclose(task.last_action[1:], others - STEP, atol=1e-6)


def test_an_episode_from_the_reference_begins_around_its_pose() -> None:
    config = StyleConfig(speeds=20, table_size=2000)
    task = make_task(50, StyleReference([wavy_clip()], config, 0.02, CPU))
    pose = task.simulator.joint_positions.clone()
    assert (pose - DEFAULT).abs().max() > LIMIT, "no start is far enough from the default pose"
    assert torch.allclose(task.joint_targets, pose, atol=1e-5)
    assert torch.allclose(task.observation[:, LAST], (pose - DEFAULT) / SCALE, atol=1e-4)
    task.begin_step(torch.zeros(50, 12))
    # Towards the default pose by the limit, or all the way where that is nearer.
    expected = torch.minimum(torch.maximum(DEFAULT.expand_as(pose), pose - LIMIT), pose + LIMIT)
    assert torch.allclose(task.joint_targets, expected, atol=1e-5)


# The exported graph.


@pytest.mark.parametrize("spec", [BASE, RESIDUAL], ids=["base", "residual"])
def test_no_observation_makes_the_graph_step_further(spec: PolicySpec, tmp_path: Path) -> None:
    residual = network(1, 20.0) if spec.kind == "residual" else None
    path, _ = with_and_without(tmp_path, spec, network(0, 20.0), residual)
    values = observations(any_command(500))
    values[250:] *= 10.0
    out = run(path, values)
    for name in ("action", "base_action"):
        step = np.abs(out[name] - values[:, LAST]) * robot.ACTION_SCALE
        assert step.max() <= LIMIT * (1.0 + 1e-5), name
        assert (step > 0.999 * LIMIT).any(axis=0).all(), f"{name} was never held"


def test_the_limit_may_differ_from_joint_to_joint_in_units_of_action(tmp_path: Path) -> None:
    scale = tuple(0.1 + 0.05 * np.arange(12))
    spec = dataclasses.replace(BASE, action_scale=scale)
    path, _ = with_and_without(tmp_path, spec, network(0, 500.0))
    values = observations(any_command(200))
    step = np.abs(run(path, values)["action"] - values[:, LAST]) * scale
    np.testing.assert_allclose(step.max(axis=0), LIMIT, rtol=1e-4)


def test_the_last_action_is_read_where_and_how_the_terms_say(tmp_path: Path) -> None:
    terms = list(BASE.observation_terms)
    last = dataclasses.replace(terms.pop(), scale=(0.5,) * 12)
    spec = dataclasses.replace(BASE, observation_terms=[last, *terms])
    path, _ = with_and_without(tmp_path, spec, network(0, 20.0))
    values = observations(any_command(200))
    step = np.abs(run(path, values)["action"] - values[:, :12] / 0.5) * robot.ACTION_SCALE
    assert step.max() == pytest.approx(LIMIT, rel=1e-5)


def test_within_the_limit_the_graph_is_the_network(tmp_path: Path) -> None:
    path, free = with_and_without(tmp_path, RESIDUAL, network(0), network(1))
    values = observations(any_command(500))
    held, wanted = run(path, values), run(free, values)
    lowest, highest = (values[:, LAST] + sign * STEP.numpy() for sign in (-1.0, 1.0))
    for name in ("action", "base_action"):
        np.testing.assert_allclose(
            held[name], np.clip(wanted[name], lowest, highest), atol=1e-6, err_msg=name
        )
        inside = (wanted[name] > lowest) & (wanted[name] < highest)
        assert 0.2 < inside.mean() < 1.0
        np.testing.assert_array_equal(held[name][inside], wanted[name][inside], name)


@pytest.mark.parametrize("limit", [None, LIMIT])
def test_the_residual_is_what_it_changes_and_never_more_than_it_asks_for(
    limit: Optional[float], tmp_path: Path
) -> None:
    residual = network(1, 5.0)
    spec = dataclasses.replace(RESIDUAL, max_target_step=limit)
    path = tmp_path / "r.onnx"
    export_policy(spec, weights(network(0, 3.0)), path, weights(residual))
    commands = any_command(500)
    values = observations(commands)
    out = run(path, values)
    np.testing.assert_array_equal(out["residual_action"], out["action"] - out["base_action"])
    with torch.no_grad():
        bounded = 1.5 * torch.tanh(residual(torch.tensor(values)) / 1.5)
        asked = (GATE.opening(torch.tensor(commands, dtype=torch.float32)) * bounded).numpy()
    assert (np.abs(out["residual_action"]) <= np.abs(asked) + 1e-5).all()
    assert (out["residual_action"] * asked >= -1e-5).all(), "it acts against what it asks for"
    if limit is None:
        np.testing.assert_allclose(out["residual_action"], asked, atol=1e-5)
    else:
        assert (np.abs(out["residual_action"]) < np.abs(asked) - 0.1).any()


def test_inside_the_base_box_the_residuals_file_is_the_bases(tmp_path: Path) -> None:
    base = network(0, 5.0)
    export_policy(BASE, weights(base), tmp_path / "b.onnx")
    export_policy(RESIDUAL, weights(base), tmp_path / "r.onnx", weights(network(1, 5.0)))
    low, high = GATE.lower, GATE.upper
    commands = np.concatenate([np.random.default_rng(0).uniform(low, high, (200, 3)), [low, high]])
    values = observations(commands)
    both, alone = run(tmp_path / "r.onnx", values), run(tmp_path / "b.onnx", values)
    np.testing.assert_allclose(both["action"], alone["action"], atol=1e-6)
    np.testing.assert_allclose(both["base_action"], alone["action"], atol=1e-6)
    np.testing.assert_array_equal(both["residual_action"], 0.0)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_no_jump_across_the_gate_where_steps_are_held(
    axis: int, sign: float, tmp_path: Path
) -> None:
    path, _ = with_and_without(tmp_path, RESIDUAL, network(0), network(1, 3.0))
    count = 2001
    commands = np.zeros((count, 3))
    commands[:, axis] = np.linspace(0.0, sign * 4.0, count)
    values = np.repeat(observations(np.zeros((1, 3))), count, axis=0)
    values[:, 6:9] = commands * [2.0, 2.0, 0.25]
    out = run(path, values)
    for name, value in out.items():
        assert np.abs(np.diff(value, axis=0)).max() < 0.03, name
    assert np.abs(out["residual_action"][-1]).max() > 0.05, "the residual is let in at the end"
    held = np.abs(out["action"] - values[:, LAST]) > 0.999 * STEP.numpy()
    assert 0.0 < held.mean() < 1.0


@pytest.mark.parametrize("kind", ["base", "residual"])
def test_the_file_acts_as_the_environment_lets_its_network_act(kind: str, tmp_path: Path) -> None:
    base, residual = network(0, 12.0), network(1, 6.0)
    spec = BASE if kind == "base" else RESIDUAL
    extra = None if kind == "base" else weights(residual)
    export_policy(spec, weights(base), tmp_path / "p.onnx", extra)
    policy = session(tmp_path / "p.onnx")
    task = make_task(16)
    commands = torch.tensor(any_command(16), dtype=torch.float32)
    commands[::4] *= 0.1
    task.commands.set_fixed(commands)
    task._observe()
    held = torch.zeros(16, 12)
    steps = 25
    for _ in range(steps):
        observation = task.observation.clone()
        (acted,) = policy.run(["action"], {"observation": observation.numpy()})
        with torch.no_grad():
            wanted: Tensor = base(observation)
            if kind == "residual":
                bounded = 1.5 * torch.tanh(residual(observation) / 1.5)
                wanted = wanted + GATE.opening(commands) * bounded
        task.begin_step(wanted)
        np.testing.assert_allclose(acted, task.last_action.numpy(), atol=2e-5)
        held += (wanted - task.last_action).abs() > 1e-3
        task.simulator.step(task.joint_targets)
        task.finish_step()
    assert 0.05 < (held / steps).mean() < 0.95, "the limit must both hold and let pass"


def test_an_action_that_is_no_number_is_not_made_one(tmp_path: Path) -> None:
    """The runtime must see that there is no action: the limit would make a harmless one of it."""
    path, _ = with_and_without(tmp_path, RESIDUAL, network(0), network(1))
    values = observations(any_command(3))
    values[1, 0] = np.nan
    out = run(path, values)
    for name in ("action", "base_action"):
        assert np.isnan(out[name][1]).all(), name
        assert np.isfinite(out[name][[0, 2]]).all(), name


def test_the_file_says_its_limit(tmp_path: Path) -> None:
    for path, limit in zip(with_and_without(tmp_path, BASE, network(0)), (LIMIT, None)):
        (entry,) = onnx.load(str(path)).metadata_props
        assert json.loads(entry.value)["max_target_step"] == limit


def test_limits_that_cannot_be_kept_are_refused(tmp_path: Path) -> None:
    for limit in (0.0, -0.1, float("nan")):
        with pytest.raises(ExportError, match=rf"max_target_step is {limit}: it must be positive"):
            dataclasses.replace(BASE, max_target_step=limit)
    terms = BASE.observation_terms[:-1]
    blind = dataclasses.replace(BASE, observation_terms=terms)
    layers = [(np.zeros((12, 33), np.float32), np.zeros(12, np.float32))]
    with pytest.raises(
        ExportError, match="limit on the target's step needs the term 'last_action'"
    ):
        export_policy(blind, MlpWeights(layers), tmp_path / "b.onnx")
