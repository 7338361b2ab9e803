"""`export.py` on checkpoints of this project and of others."""

import dataclasses
import json
from pathlib import Path
from typing import Any, Dict

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from aliengo_description import robot
from aliengo_training.checkpoints import config_dict, save_checkpoint
from aliengo_training.cli.export import main
from aliengo_training.learning.networks import ActorCritic
from aliengo_training.learning.residual import ActorCriticResidual
from aliengo_training.tasks.registry import experiment


def own_run(folder: Path, task: str, model: torch.nn.Module, **task_changes: Any) -> Path:
    """Write what a training run leaves behind."""
    folder.mkdir(parents=True)
    config = experiment(task)
    config = dataclasses.replace(config, task=dataclasses.replace(config.task, **task_changes))
    (folder / "params.json").write_text(
        json.dumps({"config": config_dict(config), "git_commit": "abc"})
    )
    path = folder / "model_300.pt"
    content = {"iteration": 300, "kind": config.kind, "task": task, "model": model.state_dict()}
    save_checkpoint(path, content)
    return path


def residual_model() -> ActorCriticResidual:
    torch.manual_seed(0)
    config = experiment("aliengo_residual")
    hidden = config.network.hidden
    model = ActorCriticResidual(
        45, 60, 12, hidden, config.network.activation, config.residual, hidden, torch.device("cpu")
    )
    for parameter in model.actor.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model


def contract(path: Path) -> Dict[str, Any]:
    (entry,) = onnx.load(str(path)).metadata_props
    data: Dict[str, Any] = json.loads(entry.value)
    return data


def action(path: Path, values: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["action"], {"observation": values})[0])


def held(mean: np.ndarray, values: np.ndarray, task: str) -> np.ndarray:
    """A network's actions within the task's limit of the last ones, which end the observation."""
    step = experiment(task).task.max_target_step / robot.ACTION_SCALE
    return np.clip(mean, values[:, 33:45] - step, values[:, 33:45] + step)


def test_own_base_by_path(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = experiment("aliengo_amp")
    model = ActorCritic(45, 60, 12, config.network.hidden, config.network.activation)
    path = own_run(tmp_path / "run7", "aliengo_amp", model)
    main(["--checkpoint", str(path), "--task", "aliengo_amp"])
    values = np.random.default_rng(0).normal(size=(32, 45)).astype(np.float32)
    with torch.no_grad():
        expected = held(model.mean(torch.tensor(values)).numpy(), values, "aliengo_amp")
    np.testing.assert_allclose(action(path.with_suffix(".onnx"), values), expected, atol=1e-5)
    data = contract(path.with_suffix(".onnx"))
    assert data["kind"] == "base"
    assert data["max_target_step"] == config.task.max_target_step
    assert data["training"] == {
        "run": "run7",
        "task": "aliengo_amp",
        "iteration": 300,
        "git_commit": "abc",
    }


def test_a_run_without_a_limit_on_its_steps_is_exported_without_one(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = experiment("aliengo_amp").network
    model = ActorCritic(45, 60, 12, network.hidden, network.activation)
    path = own_run(tmp_path / "run8", "aliengo_amp", model, max_target_step=0.0)
    main(["--checkpoint", str(path)])
    values = 5.0 * np.random.default_rng(0).normal(size=(32, 45)).astype(np.float32)
    with torch.no_grad():
        expected = model.mean(torch.tensor(values)).numpy()
    np.testing.assert_allclose(action(path.with_suffix(".onnx"), values), expected, atol=1e-5)
    assert contract(path.with_suffix(".onnx"))["max_target_step"] is None


def test_the_control_period_of_training_is_that_of_the_file(tmp_path: Path) -> None:
    config = experiment("aliengo_amp")
    model = ActorCritic(45, 60, 12, config.network.hidden, config.network.activation)
    faster = dataclasses.replace(config.task.simulation, decimation=2)
    path = own_run(tmp_path / "run9", "aliengo_amp", model, simulation=faster)
    main(["--checkpoint", str(path)])
    data = contract(path.with_suffix(".onnx"))
    assert data["control_period_s"] == faster.control_period_s == 0.01


def test_own_residual_by_run_acts_as_the_training_model(tmp_path: Path) -> None:
    model = residual_model()
    own_run(tmp_path / "aliengo_residual" / "fast", "aliengo_residual", model)
    out = tmp_path / "r.onnx"
    main(
        f"--load_run fast --task aliengo_residual --log_root {tmp_path} --output {out}".split(),
    )
    rng = np.random.default_rng(0)
    values = rng.normal(size=(500, 45)).astype(np.float32)
    values[:, 6:9] = rng.uniform([-1, -1.5, -3], [3, 1.5, 3], (500, 3)) * [2.0, 2.0, 0.25]
    with torch.no_grad():
        expected = model.mean(torch.tensor(values)).numpy()
        base = model.base_mean(torch.tensor(values)).numpy()
    expected, base = (held(mean, values, "aliengo_residual") for mean in (expected, base))
    assert np.abs(expected - base).max() > 0.1
    np.testing.assert_allclose(action(out, values), expected, atol=1e-5)
    data = contract(out)
    assert data["residual_bound"] == experiment("aliengo_residual").residual.bound
    assert data["residual_gate"]["base_ranges"]["vx"] == [0.0, 1.1]


def test_other_trainers_residual_with_mapping_and_gains(tmp_path: Path) -> None:
    state = {}
    for prefix in ("pi_a", "pi_b"):
        net = torch.nn.Sequential(torch.nn.Linear(45, 32), torch.nn.ELU(), torch.nn.Linear(32, 12))
        state.update({f"{prefix}.{key}": value for key, value in net.state_dict().items()})
    torch.save({"model_state_dict": state}, str(tmp_path / "model_900.pt"))
    main(
        f"--checkpoint {tmp_path}/model_900.pt --task aliengo_residual --activation elu "
        "--map base=pi_a residual=pi_b --kp 50".split()
    )
    data = contract(tmp_path / "model_900.onnx")
    assert data["kind"] == "residual"
    assert data["kp"] == [50.0] * 12
    assert data["kd"] == [1.2] * 12
    assert data["training"]["iteration"] == 900
    assert data["residual_bound"] == data["action_clip"] == 100.0


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("--task aliengo_residual", "was trained on aliengo_amp, not on --task aliengo_residual"),
        ("--task walk", "unknown task 'walk'"),
        ("--task foo --load_run r", "unknown task 'foo', allowed are"),
        ("--map base", "--map has 'base'"),
        ("--kp 50", "says all of this itself: --kp are for other trainers' files"),
        ("--kp 0 --kd 2", "says all of this itself: --kp and --kd are for other"),
        ("--map base=actor --activation elu", "itself: --map and --activation are for other"),
    ],
)
def test_user_errors_are_one_line_and_exit_2(
    extra: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = own_run(tmp_path / "r", "aliengo_amp", ActorCritic(45, 60, 12))
    with pytest.raises(SystemExit) as stopped:
        main(["--checkpoint", str(path), *extra.split()])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_run_without_params_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = own_run(tmp_path / "r", "aliengo_amp", ActorCritic(45, 60, 12))
    (path.parent / "params.json").unlink()
    with pytest.raises(SystemExit):
        main(["--checkpoint", str(path)])
    assert "params.json is missing" in capsys.readouterr().err
