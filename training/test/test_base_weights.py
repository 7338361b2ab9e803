"""A run may start from a policy file: its actor is taken as it is, what the file lacks starts anew."""

import dataclasses
import json
from pathlib import Path
from typing import Optional

import numpy as np
import pytest
import torch

from aliengo_training.checkpoints import CheckpointError, save_checkpoint
from aliengo_training.contract import PolicySpec
from aliengo_training.evaluation.policy import OnnxPolicy
from aliengo_training.evaluation.testing import constant_policy
from aliengo_training.export import MlpWeights, export_policy
from aliengo_training.learning.base_weights import load_base_weights
from aliengo_training.learning.build import build_model
from aliengo_training.learning.config import ExperimentConfig, NetworkConfig
from aliengo_training.learning.residual import ActorCriticResidual, ResidualConfig
from aliengo_training.tasks.config import TaskConfig

CPU = torch.device("cpu")
TRAINING = {"run": "test", "task": "aliengo_amp", "iteration": 0, "git_commit": "none"}
RANGES = {"vx": (0.0, 1.1), "vy": (-0.3, 0.3), "wz": (-1.0, 1.0)}


def policy_file(path: Path, activation: str = "elu", **attributes: object) -> Path:
    """A base policy 45-16-8-12 with random weights."""
    random = np.random.default_rng(3)
    sizes = (45, 16, 8, 12)
    layers = [
        (
            random.normal(0.0, 0.3, (out, size)).astype(np.float32),
            random.normal(size=out).astype(np.float32),
        )
        for size, out in zip(sizes, sizes[1:])
    ]
    spec = PolicySpec(kind="base", command_ranges=RANGES, training=TRAINING, **attributes)
    export_policy(spec, MlpWeights(layers, activation), path)
    return path


def config(kind: str) -> ExperimentConfig:
    """A run of networks that fit `policy_file`, without a limit on the targets' step."""
    return ExperimentConfig(
        kind=kind,
        task=TaskConfig(max_target_step=0.0),
        network=NetworkConfig(hidden=(16, 8)),
        residual=ResidualConfig(hidden=(8,), initial_std=0.3),
    )


@pytest.mark.parametrize("kind", ["residual", "finetune"])
def test_a_run_from_a_policy_file_begins_as_that_policy(kind: str, tmp_path: Path) -> None:
    path = policy_file(tmp_path / "base.onnx")
    model = build_model(config(kind), CPU, path)
    # Small numbers, so that nothing is clipped: 2 m/s is where a residual's gate is open.
    observation = 0.5 * torch.randn(20, 45)
    expected = OnnxPolicy(path).act(observation.numpy())
    with torch.no_grad():
        acted = model.mean(observation).numpy()
    np.testing.assert_allclose(acted, expected, atol=1e-5)
    np.testing.assert_allclose(model.std().detach().numpy(), 0.3 * np.ones(12), rtol=1e-5)


def test_the_noise_that_a_policy_file_lacks_is_the_initial_one(tmp_path: Path) -> None:
    model = build_model(config("residual"), CPU, policy_file(tmp_path / "base.onnx"))
    assert isinstance(model, ActorCriticResidual)
    assert torch.allclose(model.base_std, torch.full((12,), 0.3))


def test_files_that_the_task_would_run_differently_are_refused(tmp_path: Path) -> None:
    cases = (
        (policy_file(tmp_path / "s.onnx", activation="sigmoid"), "its activation is Sigmoid"),
        (constant_policy(tmp_path / "k.onnx", kp=(30.0,) * 12), "kp and kd"),
        (tmp_path / "none.onnx", "does not exist"),
        (Path(__file__).resolve().parents[2] / "models" / "residual.onnx", "is a residual policy"),
    )
    for path, message in cases:
        with pytest.raises(ValueError, match=message):
            load_base_weights(path, "elu", 0.0)


def test_networks_of_another_size_are_refused(tmp_path: Path) -> None:
    other = dataclasses.replace(config("residual"), network=NetworkConfig(hidden=(8, 8)))
    with pytest.raises(ValueError, match="does not fit the configured networks"):
        build_model(other, CPU, policy_file(tmp_path / "base.onnx"))


def checkpoint(folder: Path, limit: Optional[float]) -> Path:
    """A run's checkpoint with its parameters beside it; None for a run from before there was a limit."""
    folder.mkdir()
    task = {} if limit is None else {"max_target_step": limit}
    (folder / "params.json").write_text(json.dumps({"config": {"task": task}}))
    content = {"kind": "base", "model": {"log_std": torch.zeros(12)}}
    save_checkpoint(folder / "model_3.pt", content)
    return folder / "model_3.pt"


def test_a_checkpoint_that_is_no_base_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model_3.pt"
    save_checkpoint(path, {"kind": "residual", "model": {"log_std": torch.zeros(12)}})
    with pytest.raises(CheckpointError, match="is of a run of kind residual, expected base"):
        load_base_weights(path, "elu", 0.0)


def test_a_checkpoint_with_another_activation_is_refused(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "run", None)
    params = {"config": {"task": {}, "network": {"activation": "tanh"}}}
    (path.parent / "params.json").write_text(json.dumps(params))
    with pytest.raises(CheckpointError, match="its activation is tanh, the run's is elu"):
        load_base_weights(path, "elu", 0.0)
    assert load_base_weights(path, "tanh", 0.0)


@pytest.mark.parametrize("limit", [None, 0.25])
@pytest.mark.parametrize("suffix", ["onnx", "pt"])
def test_a_base_with_another_limit_on_its_steps_is_refused(
    suffix: str, limit: Optional[float], tmp_path: Path
) -> None:
    if suffix == "onnx":
        path = policy_file(tmp_path / "base.onnx", max_target_step=limit)
    else:
        path = checkpoint(tmp_path / "run", limit)
    own = limit or 0.0
    assert load_base_weights(path, "elu", own)
    for wanted in {0.0, 0.25, 0.34} - {own}:
        message = f"{path}: max_target_step of the base is {own:g} rad, the run's is {wanted:g} "
        with pytest.raises(CheckpointError) as caught:
            load_base_weights(path, "elu", wanted)
        assert str(caught.value).startswith(message)
        assert f"--cfg.task.max_target_step {own:g}" in str(caught.value)


@pytest.mark.parametrize("kind", ["residual", "finetune"])
def test_the_limit_of_a_run_is_its_tasks(kind: str, tmp_path: Path) -> None:
    path = policy_file(tmp_path / "base.onnx", max_target_step=0.25)
    run = dataclasses.replace(config(kind), task=TaskConfig(max_target_step=0.25))
    build_model(run, CPU, path)
    with pytest.raises(CheckpointError, match=r"of the base is 0\.25 rad, the run's is 0 "):
        build_model(config(kind), CPU, path)
