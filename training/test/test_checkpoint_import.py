"""Checkpoints built as other trainers write them, pickled classes included."""

import os
import sys
import types
from pathlib import Path
from typing import Any, Dict, Iterator

import numpy as np
import onnxruntime
import pytest
import torch

from aliengo_training.checkpoint_import import import_checkpoint, read_foreign
from aliengo_training.checkpoints import CheckpointError
from aliengo_training.contract import PolicySpec
from aliengo_training.export import export_policy
from aliengo_training.gate import ResidualGate

ACTOR = (45, 512, 256, 128, 12)


def perceptron(prefix: str, sizes: tuple, seed: int) -> Dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    state = {}
    for index, (inputs, outputs) in enumerate(zip(sizes[:-1], sizes[1:])):
        linear = torch.nn.Linear(inputs, outputs)
        state[f"{prefix}.{2 * index}.weight"] = linear.weight.detach()
        state[f"{prefix}.{2 * index}.bias"] = linear.bias.detach()
    return state


def forward(state: Dict[str, torch.Tensor], prefix: str, x: torch.Tensor) -> torch.Tensor:
    for index in (0, 2, 4, 6):
        x = torch.nn.functional.linear(
            x, state[f"{prefix}.{index}.weight"], state[f"{prefix}.{index}.bias"]
        )
        x = torch.sigmoid(x) if index < 6 else x
    return x


@pytest.fixture
def normalizer_class() -> Iterator[type]:
    """The trainer's own class, importable while the file is written and gone when it is read."""

    class Normalizer:
        def __init__(self) -> None:
            self.mean = np.zeros(43, np.float64)
            self.var = np.ones(43, np.float64)
            self.count = np.float64(1e-4)
            self.epsilon = 1e-4
            self.clip_obs = 10.0

    Normalizer.__module__, Normalizer.__qualname__ = "rl.utils.utils", "Normalizer"
    names = ["rl", "rl.utils", "rl.utils.utils"]
    for name in names:
        sys.modules[name] = types.ModuleType(name)
    sys.modules["rl.utils.utils"].Normalizer = Normalizer  # type: ignore[attr-defined]
    yield Normalizer
    for name in names:
        sys.modules.pop(name, None)


def upstream_state() -> Dict[str, torch.Tensor]:
    return {
        "std": torch.ones(12),
        **perceptron("actor", ACTOR, 0),
        **perceptron("critic", (48, 512, 256, 128, 1), 1),
        **perceptron("hist_encoder.encoder", (180, 258, 128, 3), 2),
    }


@pytest.fixture
def upstream(tmp_path: Path, normalizer_class: type) -> Path:
    """A file with all that the AMP trainer writes."""
    state = upstream_state()
    parameters = [torch.nn.Parameter(value.clone()) for value in state.values()]
    optimizer = torch.optim.Adam(parameters)
    sum(p.sum() for p in parameters).backward()
    optimizer.step()
    path = tmp_path / "model_25000.pt"
    content = {
        "model_state_dict": state,
        "discriminator_state_dict": {
            **perceptron("trunk", (86, 1024, 512), 3),
            "amp_linear.weight": torch.zeros(1, 512),
        },
        "optimizer_state_dict": optimizer.state_dict(),
        "amp_normalizer": normalizer_class(),
        "iter": 50,
        "infos": None,
    }
    torch.save(content, str(path))
    for name in ("rl", "rl.utils", "rl.utils.utils"):
        sys.modules.pop(name)
    return path


def spec(**fields: Any) -> PolicySpec:
    values: Dict[str, Any] = {
        "kind": "base",
        "command_ranges": {"vx": (-1.0, 2.4), "vy": (-0.3, 0.3), "wz": (-1.57, 1.57)},
        "training": {"run": "", "task": "", "iteration": 0, "git_commit": ""},
    }
    return PolicySpec(**dict(values, **fields))


def run(path: Path, values: np.ndarray) -> Dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"observation": values})))


def test_upstream_actor_to_onnx_is_torchs_forward(upstream: Path, tmp_path: Path) -> None:
    policy = import_checkpoint(upstream)
    assert policy.residual is None
    assert (policy.iteration, policy.names) == (25000, {"base": "actor"})
    assert policy.base.activation == "sigmoid"
    export_policy(spec(), policy.base, tmp_path / "p.onnx")
    values = np.random.default_rng(0).normal(size=(64, 45)).astype(np.float32)
    expected = forward(upstream_state(), "actor", torch.tensor(values)).numpy()
    np.testing.assert_allclose(run(tmp_path / "p.onnx", values)["action"], expected, atol=1e-5)


def test_normaliser_is_read_as_data_and_nothing_stays_allowed(upstream: Path) -> None:
    before = torch.serialization.get_safe_globals()
    normaliser = read_foreign(upstream)["amp_normalizer"]
    np.testing.assert_array_equal(normaliser.var, np.ones(43))
    assert normaliser.clip_obs == 10.0
    assert set(torch.serialization.get_safe_globals()) == set(before)


@pytest.mark.parametrize(
    ("base_name", "residual_name"),
    [
        ("actor", "residual_actor"),
        ("base_actor.net", "actor_res"),
        ("base.actor", "residual.actor"),
    ],
)
def test_residual_checkpoints_by_name(base_name: str, residual_name: str, tmp_path: Path) -> None:
    state = {
        **perceptron(base_name, ACTOR, 0),
        **perceptron(residual_name, (45, 256, 128, 64, 12), 1),
        **perceptron("critic", (48, 64, 1), 2),
        "std": torch.ones(12),
    }
    torch.save({"model_state_dict": state, "iter": 3}, str(tmp_path / "model_700.pt"))
    policy = import_checkpoint(tmp_path / "model_700.pt", activation="sigmoid")
    assert policy.residual is not None
    assert policy.names == {"base": base_name, "residual": residual_name}
    gate = ResidualGate()
    out = tmp_path / "r.onnx"
    residual = spec(kind="residual", gate=gate, residual_bound=1e6)
    export_policy(residual, policy.base, out, policy.residual)
    values = np.random.default_rng(0).normal(size=(64, 45)).astype(np.float32)
    x = torch.tensor(values)
    opening = gate.opening(x[:, 6:9] / torch.tensor([2.0, 2.0, 0.25]))
    expected = forward(state, base_name, x) + opening * forward(state, residual_name, x)
    np.testing.assert_allclose(run(out, values)["action"], expected.numpy(), atol=1e-5)


def test_ambiguous_names_need_a_mapping(tmp_path: Path) -> None:
    state = {**perceptron("actor", ACTOR, 0), **perceptron("actor2", ACTOR, 1)}
    path = tmp_path / "model_1.pt"
    torch.save(state, str(path))
    with pytest.raises(CheckpointError, match=r"2 networks .*actor, actor2.*found: actor 45"):
        import_checkpoint(path, activation="elu")
    policy = import_checkpoint(path, {"base": "actor2", "residual": "actor"}, "elu")
    assert policy.residual is not None
    np.testing.assert_array_equal(policy.base.layers[0][0], state["actor2.0.weight"].numpy())
    with pytest.raises(CheckpointError, match="no network 'nn' for the base; networks found"):
        import_checkpoint(path, {"base": "nn"}, "elu")
    with pytest.raises(CheckpointError, match=r"the mapping names \['resid'\]"):
        import_checkpoint(path, {"resid": "actor"}, "elu")


def test_unknown_activation_is_asked_for(tmp_path: Path) -> None:
    torch.save(perceptron("actor", ACTOR, 0), str(tmp_path / "model_1.pt"))
    with pytest.raises(CheckpointError, match=r"activation .* cannot be told.*--activation elu"):
        import_checkpoint(tmp_path / "model_1.pt")


def test_wrong_shapes_are_listed(tmp_path: Path) -> None:
    torch.save({"model_state_dict": perceptron("actor", (48, 64, 12), 0)}, str(tmp_path / "m.pt"))
    with pytest.raises(CheckpointError, match=r"0 networks take 45 .*found: actor 48-64-12"):
        import_checkpoint(tmp_path / "m.pt", activation="elu")


class Malicious:
    def __reduce__(self) -> tuple:
        return os.mkdir, (os.environ["MALICIOUS_FOLDER"],)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALICIOUS_FOLDER", str(tmp_path / "made"))
    torch.save({"model_state_dict": {}, "x": Malicious()}, str(tmp_path / "bad.pt"))
    with pytest.raises(CheckpointError, match=r"else than weights .*mkdir"):
        read_foreign(tmp_path / "bad.pt")
    assert not (tmp_path / "made").exists()


def test_files_that_are_no_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not exist"):
        read_foreign(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("hello")
    with pytest.raises(CheckpointError, match=r"text\.pt: not a PyTorch checkpoint"):
        read_foreign(tmp_path / "text.pt")
    torch.save([1], str(tmp_path / "list.pt"))
    with pytest.raises(CheckpointError, match="holds a list"):
        read_foreign(tmp_path / "list.pt")
    torch.save({"a": 1}, str(tmp_path / "empty.pt"))
    with pytest.raises(CheckpointError, match=r"keys found: \['a'\]"):
        import_checkpoint(tmp_path / "empty.pt")
