"""A policy may be named, given as a file, or as a checkpoint that is exported on the way."""

import itertools
from pathlib import Path

import pytest

from aliengo_policy.graph import GraphSettings
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


def test_a_torch_checkpoint_is_exported_once(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="training is not installed")
    pytest.importorskip("aliengo_training", reason="training is not installed")
    widths = (45, 512, 256, 128, 12)
    state = {"std": torch.ones(12)}
    for index, (before, after) in enumerate(itertools.pairwise(widths)):
        state[f"actor.{2 * index}.weight"] = 0.05 * torch.randn(after, before)
        state[f"actor.{2 * index}.bias"] = torch.zeros(after)
        outputs = after if after != 12 else 1
        inputs = before if before != 45 else 48
        state[f"critic.{2 * index}.weight"] = torch.zeros(outputs, inputs)
        state[f"critic.{2 * index}.bias"] = torch.zeros(outputs)
    for index, (before, after) in enumerate(((180, 258), (258, 128), (128, 3))):
        state[f"hist_encoder.encoder.{2 * index}.weight"] = torch.zeros(after, before)
        state[f"hist_encoder.encoder.{2 * index}.bias"] = torch.zeros(after)
    checkpoint = tmp_path / "model_25000.pt"
    torch.save({"model_state_dict": state, "iter": 25000, "infos": None}, checkpoint)

    first = prepared(tmp_path / "out", policy_type="amp", checkpoint=str(checkpoint))
    assert PolicyRuntime(first).contract.kind == "base"
    stamp = first.stat().st_mtime_ns
    assert prepared(tmp_path / "out", policy_type="amp", checkpoint=str(checkpoint)) == first
    assert first.stat().st_mtime_ns == stamp


def test_a_file_that_is_no_checkpoint_is_refused_with_the_exporters_words(tmp_path: Path) -> None:
    pytest.importorskip("aliengo_training", reason="training is not installed")
    pytest.importorskip("torch", reason="training is not installed")
    (tmp_path / "broken.pt").write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match=r"broken\.pt was not exported: .*broken\.pt"):
        prepared(tmp_path / "out", checkpoint=str(tmp_path / "broken.pt"))
