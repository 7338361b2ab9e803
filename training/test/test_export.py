"""The exported graph computes what torch computes, and its metadata say what was exported."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any, Callable, Dict

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from aliengo_description import robot
from aliengo_training.export import (
    ExportError,
    MlpWeights,
    PolicySpec,
    build_model,
    export_policy,
    weights_sha256,
)
from aliengo_training.gate import ResidualGate

RANGES = {"vx": (-0.5, 1.1), "vy": (-0.3, 0.3), "wz": (-1.0, 1.0)}
TRAINING = {"run": "r1", "task": "aliengo_amp", "iteration": 1500, "git_commit": "0" * 40}
BASE = PolicySpec(kind="base", command_ranges=RANGES, training=TRAINING)
GATE = ResidualGate(base_ranges=RANGES, speed=0.1, width=0.4)
RESIDUAL = dataclasses.replace(BASE, kind="residual", gate=GATE, residual_bound=1.5)
MODULES = {
    "elu": torch.nn.ELU,
    "leaky_relu": torch.nn.LeakyReLU,
    "relu": torch.nn.ReLU,
    "sigmoid": torch.nn.Sigmoid,
    "tanh": torch.nn.Tanh,
}


def network(activation: str = "elu", seed: int = 0, out: int = 12) -> torch.nn.Sequential:
    torch.manual_seed(seed)
    layers = []
    for a, b in ((45, 64), (64, 32)):
        layers += [torch.nn.Linear(a, b), MODULES[activation]()]
    return torch.nn.Sequential(*layers, torch.nn.Linear(32, out))


def weights(net: torch.nn.Sequential, activation: str = "elu") -> MlpWeights:
    linear = [m for m in net if isinstance(m, torch.nn.Linear)]
    pairs = [(m.weight.detach().numpy(), m.bias.detach().numpy()) for m in linear]
    return MlpWeights(pairs, activation)


def observations(commands: np.ndarray) -> np.ndarray:
    """Random observations with the given commands (n, 3) in their place, scaled."""
    values = np.random.default_rng(1).normal(size=(len(commands), 45)).astype(np.float32)
    values[:, 6:9] = commands * [2.0, 2.0, 0.25]
    return values


def run(path: Path, values: np.ndarray) -> Dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"observation": values})))


@pytest.mark.parametrize("activation", sorted(MODULES))
def test_base_action_is_torchs(activation: str, tmp_path: Path) -> None:
    net = network(activation)
    path = tmp_path / "models" / "base.onnx"
    export_policy(BASE, weights(net, activation), path)
    values = observations(np.random.default_rng(0).uniform(-2, 2, (50, 3)))
    out = run(path, values)
    with torch.no_grad():
        expected = net(torch.tensor(values)).numpy()
    np.testing.assert_allclose(out["action"], expected, atol=1e-5)
    np.testing.assert_array_equal(out["base_action"], out["action"])
    np.testing.assert_array_equal(out["residual_action"], np.zeros((50, 12), np.float32))


def test_residual_action_is_torchs(tmp_path: Path) -> None:
    base, residual = network(seed=0), network(seed=1)
    export_policy(RESIDUAL, weights(base), tmp_path / "r.onnx", weights(residual))
    commands = np.random.default_rng(0).uniform([-1, -1.5, -3], [3, 1.5, 3], (200, 3))
    values = observations(commands)
    out = run(tmp_path / "r.onnx", values)
    with torch.no_grad():
        mu = 1.5 * torch.tanh(residual(torch.tensor(values)) / 1.5)
        expected = GATE.opening(torch.tensor(commands, dtype=torch.float32)) * mu
        expected_base = base(torch.tensor(values))
    np.testing.assert_allclose(out["base_action"], expected_base.numpy(), atol=1e-5)
    np.testing.assert_allclose(out["residual_action"], expected.numpy(), atol=1e-5)
    np.testing.assert_allclose(out["action"], (expected_base + expected).numpy(), atol=1e-5)


def test_inside_the_base_box_the_policy_is_the_base(tmp_path: Path) -> None:
    base = network(seed=0)
    export_policy(RESIDUAL, weights(base), tmp_path / "r.onnx", weights(network(seed=1)))
    export_policy(BASE, weights(base), tmp_path / "b.onnx")
    low, high = GATE.lower, GATE.upper
    commands = np.concatenate([np.random.default_rng(0).uniform(low, high, (100, 3)), [low, high]])
    values = observations(commands)
    with_residual, alone = run(tmp_path / "r.onnx", values), run(tmp_path / "b.onnx", values)
    np.testing.assert_allclose(with_residual["action"], alone["action"], atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_no_jump_across_the_gate_on_any_axis(axis: int, sign: float, tmp_path: Path) -> None:
    export_policy(RESIDUAL, weights(network()), tmp_path / "r.onnx", weights(network(seed=1)))
    commands = np.zeros((2001, 3))
    commands[:, axis] = np.linspace(0.0, sign * 4.0, 2001)
    values = np.repeat(observations(np.zeros((1, 3))), 2001, axis=0)
    values[:, 6:9] = commands * [2.0, 2.0, 0.25]
    out = run(tmp_path / "r.onnx", values)
    assert np.abs(np.diff(out["action"], axis=0)).max() < 0.02
    assert np.abs(out["residual_action"][-1]).max() > 0.05, "the residual is let in at the end"


def test_gate_opens_from_zero_to_one_and_never_closes_again() -> None:
    command = torch.zeros(500, 3)
    command[:, 2] = torch.linspace(0.0, 3.0, 500)
    opening = GATE.opening(command)[:, 0]
    assert torch.all(opening[command[:, 2] <= 1.0] == 0.0)
    assert torch.all(torch.diff(opening) >= 0.0)
    assert opening[-1] == 1.0
    full = 1.0 + (GATE.speed + GATE.width) / GATE.yaw_lever_m
    assert torch.all(opening[command[:, 2] >= full + 1e-4] == 1.0)


def test_metadata_is_the_contract_in_full_precision(tmp_path: Path) -> None:
    spec = dataclasses.replace(RESIDUAL, kp=tuple(robot.KP + 1.0 / 3.0))
    export_policy(spec, weights(network()), tmp_path / "r.onnx", weights(network(seed=1)))
    model = onnx.load(str(tmp_path / "r.onnx"))
    (entry,) = model.metadata_props
    data = json.loads(entry.value)
    assert entry.key == "aliengo_policy"
    assert data["kp"] == (robot.KP + 1.0 / 3.0).tolist()
    assert data["joint_names"] == list(robot.JOINT_NAMES)
    assert [t["name"] for t in data["observation_terms"]] == [
        "base_angular_velocity",
        "projected_gravity",
        "velocity_command",
        "joint_position_error",
        "joint_velocity",
        "last_action",
    ]
    assert sum(t["size"] for t in data["observation_terms"]) == 45
    assert data["residual_gate"] == {
        "speed": pytest.approx(1.2),
        "width": 0.4,
        "yaw_lever_m": 0.3,
        "base_ranges": {"vx": [-0.5, 1.1], "vy": [-0.3, 0.3], "wz": [-1.0, 1.0]},
    }
    assert (data["schema_version"], data["history_length"], data["robot"]) == (2, 1, "aliengo")
    assert data["training"] == TRAINING
    assert model.opset_import[0].version == 17
    types = {i.name: i.type.tensor_type.elem_type for i in model.graph.output}
    assert set(types) == {"action", "base_action", "residual_action"}
    assert set(types.values()) == {onnx.TensorProto.FLOAT}


def test_hash_is_over_the_initializers_in_name_order(tmp_path: Path) -> None:
    sha = export_policy(BASE, weights(network()), tmp_path / "b.onnx")
    model = onnx.load(str(tmp_path / "b.onnx"))
    digest = hashlib.sha256()
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    for name in sorted(arrays):
        dims = ",".join(map(str, arrays[name].shape)).encode()
        digest.update(name.encode() + b"\0" + b"1" + b"\0" + dims + b"\0" + arrays[name].tobytes())
    assert sha == digest.hexdigest() == json.loads(model.metadata_props[0].value)["weights_sha256"]


def test_same_weights_same_file_and_one_changed_weight_another_hash() -> None:
    first, second = weights(network()), weights(network())
    a, b = build_model(BASE, first), build_model(BASE, second)
    assert a.SerializeToString() == b.SerializeToString()
    changed = [(w.copy(), bias.copy()) for w, bias in second.layers]
    changed[1][0][0, 0] += 1e-6
    assert weights_sha256(build_model(BASE, MlpWeights(changed))) != weights_sha256(a)


def faulty(change: Callable[[Any], Any]) -> MlpWeights:
    pairs = [(w.copy(), b.copy()) for w, b in weights(network()).layers]
    change(pairs)
    return MlpWeights(pairs)


BAD_WEIGHTS = {
    "inputs": (lambda p: p.__setitem__(0, (p[0][0][:, :44], p[0][1])), r"layer 0 has .*44"),
    "chain": (lambda p: p.pop(1), r"layer 1 has weight \(12, 32\).*expected \(n, 64\)"),
    "outputs": (lambda p: p.pop(), "gives 32 numbers, expected 12"),
    "nan": (lambda p: p[1][1].__setitem__(0, np.nan), "layer 1 holds NaN"),
}


@pytest.mark.parametrize("fault", sorted(BAD_WEIGHTS))
def test_bad_weights_are_refused(fault: str) -> None:
    change, message = BAD_WEIGHTS[fault]
    with pytest.raises(ExportError, match="base: " + message):
        build_model(BASE, faulty(change))


def test_unknown_activation_lists_the_known() -> None:
    with pytest.raises(ExportError, match=r"'gelu', allowed are .*'elu'"):
        build_model(BASE, MlpWeights(weights(network()).layers, "gelu"))


BAD_FIELDS = [
    ({"kind": "mixed"}, "kind is 'mixed'"),
    ({"kind": "residual"}, "needs a gate"),
    ({"gate": GATE}, "must not have any"),
    ({"residual_bound": 1.0}, "1.0 for kind 'base': it must be .*None for another"),
    ({"kind": "residual", "gate": GATE}, "None for kind 'residual': it must be positive"),
    ({"kind": "residual", "gate": GATE, "residual_bound": 0.0}, "0.0 for kind 'residual'"),
    ({"kp": (60.0,) * 11}, "kp is .*expected 12"),
    ({"kp": (60.0,) * 11 + (121.0,)}, "kp is up to 121: the bridge takes up to 120"),
    ({"kd": (10.5,) * 12}, "kd is up to 10.5: the bridge takes up to 10"),
    ({"kd": (float("nan"),) * 12}, "kd is .*expected 12 finite"),
    ({"command_ranges": {"vx": (0.0, 1.0)}}, r"command_ranges has the keys \['vx'\]"),
    ({"training": {}}, r"training has the keys \[\]"),
]


@pytest.mark.parametrize(("fields", "message"), BAD_FIELDS)
def test_contradicting_specs_are_refused(fields: Dict[str, Any], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        dataclasses.replace(BASE, **fields)


def test_residual_weights_and_kind_must_agree() -> None:
    with pytest.raises(ExportError, match="with no residual weights"):
        build_model(RESIDUAL, weights(network()))
    with pytest.raises(ExportError, match="with residual weights"):
        build_model(BASE, weights(network()), weights(network()))


def test_bad_gates_are_refused() -> None:
    with pytest.raises(ValueError, match="base_ranges names"):
        ResidualGate(base_ranges={"vx": (0.0, 1.0)})
    with pytest.raises(ValueError, match=r"base_ranges\['vy'\]"):
        ResidualGate(base_ranges=dict(RANGES, vy=(0.3, -0.3)))
    with pytest.raises(ValueError, match="width is 0"):
        ResidualGate(width=0.0)
