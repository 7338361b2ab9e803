"""A run may start from a policy file: its actor is taken as it is, what the file lacks starts anew."""

from pathlib import Path

import numpy as np
import pytest
import torch

from aliengo_training.contract import PolicySpec
from aliengo_training.evaluation.policy import OnnxPolicy
from aliengo_training.evaluation.testing import constant_policy
from aliengo_training.export import MlpWeights, export_policy
from aliengo_training.learning.base_weights import load_base_weights
from aliengo_training.learning.build import build_model
from aliengo_training.learning.config import ExperimentConfig, NetworkConfig
from aliengo_training.learning.residual import ActorCriticResidual, ResidualConfig

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
    """A run of networks that fit `policy_file`."""
    return ExperimentConfig(
        kind=kind,
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
            load_base_weights(path, "elu")


def test_networks_of_another_size_are_refused(tmp_path: Path) -> None:
    other = ExperimentConfig(kind="residual", network=NetworkConfig(hidden=(8, 8)))
    with pytest.raises(ValueError, match="does not fit the configured networks"):
        build_model(other, CPU, policy_file(tmp_path / "base.onnx"))
