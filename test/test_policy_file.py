"""A policy may be named, given as a file, or as a checkpoint that is exported on the way."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from aliengo_policy.graph import GraphSettings
from aliengo_policy.observation import RobotState
from aliengo_policy.paths import shared_folder
from aliengo_policy.policy_file import prepare_policy
from aliengo_policy.runtime import PolicyRuntime

MODELS = shared_folder("models")


def prepared(folder: Path, **values: str) -> Path:
    return Path(prepare_policy(GraphSettings(**values), folder).policy)


def test_names_and_types_are_files_in_models(tmp_path: Path) -> None:
    assert prepared(tmp_path) == MODELS / "base.onnx"
    assert prepared(tmp_path, policy="finetune") == MODELS / "finetune.onnx"
    assert prepared(tmp_path, policy_type="amp") == MODELS / "base.onnx"
    assert prepared(tmp_path, policy_type="residual") == MODELS / "residual.onnx"


def test_an_onnx_checkpoint_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    assert prepared(tmp_path, policy_type="residual", checkpoint=str(path)) == path


def test_unknown_types_and_missing_checkpoints_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"one of \['amp', 'residual'\], found 'walk'"):
        prepared(tmp_path, policy_type="walk")
    with pytest.raises(ValueError, match=r"checkpoint .*absent\.pt does not exist"):
        prepared(tmp_path, checkpoint=str(tmp_path / "absent.pt"))


def foreign_checkpoint(path: Path, networks: dict[str, tuple[int, ...]]) -> Path:
    """A checkpoint as the AMP trainer for Isaac Gym writes it, of networks with random weights."""
    torch = pytest.importorskip("torch", reason="training is not installed")
    pytest.importorskip("aliengo_training", reason="training is not installed")
    state = {"std": torch.ones(12)}
    for name, widths in (networks | {"hist_encoder.encoder": (180, 258, 128, 3)}).items():
        for index, (before, after) in enumerate(itertools.pairwise(widths)):
            state[f"{name}.{2 * index}.weight"] = 0.05 * torch.randn(after, before)
            state[f"{name}.{2 * index}.bias"] = torch.zeros(after)
    torch.save({"model_state_dict": state, "iter": 25000, "infos": None}, path)
    return path


def test_a_torch_checkpoint_is_exported_once(tmp_path: Path) -> None:
    networks = {"actor": (45, 512, 256, 128, 12), "critic": (48, 512, 256, 128, 1)}
    checkpoint = foreign_checkpoint(tmp_path / "model_25000.pt", networks)
    first = prepared(tmp_path / "out", policy_type="amp", checkpoint=str(checkpoint))
    assert PolicyRuntime(first).contract.kind == "base"
    stamp = first.stat().st_mtime_ns
    assert prepared(tmp_path / "out", policy_type="amp", checkpoint=str(checkpoint)) == first
    assert first.stat().st_mtime_ns == stamp


def test_a_residual_of_another_trainer_is_exported_and_runs(tmp_path: Path) -> None:
    networks = {"actor": (45, 64, 12), "residual_actor": (45, 32, 12), "critic": (48, 64, 1)}
    checkpoint = foreign_checkpoint(tmp_path / "model_900.pt", networks)
    runtime = PolicyRuntime(
        prepared(tmp_path / "out", policy_type="residual", checkpoint=str(checkpoint))
    )
    assert (runtime.contract.kind, runtime.contract.kp) == ("residual", (40.0,) * 12)
    upright = np.array([1.0, 0.0, 0.0, 0.0])
    state = RobotState(np.zeros(12), np.zeros(12), upright, np.zeros(3))
    slow, fast = (runtime.step(state, np.array([vx, 0.0, 0.0])) for vx in (0.5, 2.5))
    assert np.abs(slow.residual_action).max() == 0.0 < np.abs(fast.residual_action).max()


def test_a_file_that_is_no_checkpoint_is_refused_with_the_exporters_words(tmp_path: Path) -> None:
    pytest.importorskip("aliengo_training", reason="training is not installed")
    pytest.importorskip("torch", reason="training is not installed")
    (tmp_path / "broken.pt").write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match=r"broken\.pt was not exported: .*broken\.pt"):
        prepared(tmp_path / "out", checkpoint=str(tmp_path / "broken.pt"))
