"""Sweeps: what they train, what they make of it, and that a cut-off sweep goes on."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List

import pytest

from aliengo_training.checkpoints import iterations
from aliengo_training.cli import sweep
from aliengo_training.evaluation.policy import OnnxPolicy
from aliengo_training.learning.run_metrics import read_metrics
from aliengo_training.sweep.points import Curve, expand
from aliengo_training.sweep.tradeoff import find_knees, knee, training_figures
from aliengo_training.tasks.registry import experiment

TRAINING = Path(__file__).resolve().parents[1]
SCRIPT, BASE = TRAINING / "scripts" / "sweep.py", TRAINING.parent / "models" / "base.onnx"
RESIDUAL = experiment("aliengo_residual")
# A residual keeps to its base's limit, whatever the shipped one was trained with.
LIMIT = OnnxPolicy(BASE).metadata.get("max_target_step") or 0.0
TINY = [
    "--cfg.num_envs", "4", "--cfg.ppo.rollout_steps", "4", "--cfg.ppo.epochs", "1",
    "--cfg.residual.hidden", "8", "--cfg.amp.style_weight", "0",
    "--cfg.task.max_target_step", str(LIMIT),
]  # fmt: skip


def command(tmp_path: Path, *extra: str) -> List[str]:
    """Arguments of a sweep that trains for an iteration and judges a second of walking."""
    return [
        "--base_checkpoint", str(BASE), "--sim", "mujoco", "--devices", "cpu", "cpu",
        "--speeds", "1.6", "--rollouts", "1", "--seconds", "1.5", "--workers", "1",
        "--out", str(tmp_path / "out"), *extra,
    ]  # fmt: skip


def test_points_vary_one_parameter_at_a_time_and_share_the_default() -> None:
    vary = [("residual.lambda_l2", "0.02", "0"), ("amp.style_weight", "0.3", "0", "0.6")]
    points, curves = expand(vary, RESIDUAL)
    assert [point.name for point in points] == [
        "default", "residual.lambda_l2.end_0", "amp.style_weight_0",
        "residual.lambda_l2.end_0.02", "amp.style_weight_0.6",
    ]  # fmt: skip
    assert points[0].overrides == ()
    assert points[3].overrides == ("--cfg.residual.lambda_l2.end", "0.02")
    assert curves[0].values == (0.0, RESIDUAL.residual.lambda_l2.end, 0.02)
    assert curves[0].points[1] == curves[1].points[1] == "default"
    (_, point), _ = expand([("ppo.epochs", "2")], RESIDUAL)
    assert point.overrides == ("--cfg.ppo.epochs", "2")


@pytest.mark.parametrize(
    ("vary", "message"),
    [
        ([], "nothing to vary"),
        ([("residual.lambda", "1")], "residual has no 'lambda', allowed are .*lambda_kl"),
        ([("kind", "1")], "only numbers can be varied"),
        ([("seed", "1.5")], "1.5 is not a whole number"),
        ([("residual.bound", "x")], "'x' is not a number"),
        ([("residual.bound", "4")], "no value but the task's own, 4"),
        ([("residual.bound", "1"), ("residual.bound", "2")], "given twice"),
    ],
)
def test_wrong_parameters_are_named(vary: List[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        expand(vary, RESIDUAL)


def test_the_knee_is_nearest_to_the_best_of_both() -> None:
    # Scaled to their spans: (1, 0), (0.1, 0.2), (0, 1).
    assert knee([1.0, 0.1, 0.0], [0.0, 0.02, 0.1]) == 1
    assert knee([0.2, float("nan"), 0.1], [0.3, 0.0, 0.1]) == 2
    assert knee([0.2, float("nan")], [0.3, 0.0]) is None
    curve = Curve("p", (0.0, 1.0, 2.0), ("a", "b", "c"))
    rows: Dict[str, Dict[str, Any]] = {
        "a": {"tracking_error": 0.1, "gait_difference": 0.4},
        "c": {"tracking_error": 0.2, "gait_difference": 0.1},
        "b": {"tracking_error": 0.11, "gait_difference": 0.12},
    }
    assert find_knees([curve], rows) == {"p": "b"}
    rows["b"]["gait_difference"] = None
    assert find_knees([curve], {"b": rows["b"], "a": rows["a"]}) == {"p": None}


def test_the_residuals_size_is_that_of_the_last_iterations(tmp_path: Path) -> None:
    lines = ["iteration,environment_steps,collect_s,update_s,residual_l2"]
    lines += [f"{i},{10 * i},0.5,0.25,{1000.0 if i < 19 else 12.0}" for i in range(1, 21)]
    (tmp_path / "metrics.csv").write_text("\n".join(lines) + "\n")
    figures = training_figures(tmp_path / "metrics.csv")
    # Twelve joints, a sum of squares of 12: each is 1 off.
    assert figures == {
        "iterations": 20.0, "environment_steps": 200.0, "train_s": 15.0, "residual_rms": 1.0
    }  # fmt: skip


def test_a_sweep_trains_judges_and_keeps_what_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments = command(tmp_path, "--vary", "residual.lambda_l2", "0", "--max_minutes", "5")
    tiny = ["--", *TINY, "--cfg.max_iterations", "2"]
    sweep.main([*arguments, *tiny])
    out = tmp_path / "out"
    content = json.loads((out / "sweep.json").read_text())
    assert list(content["points"]) == ["default", "residual.lambda_l2.end_0"]
    for row in content["points"].values():
        assert row["iterations"] == 2.0
        assert row["residual_rms"] is not None
    rows = list(csv.DictReader((out / "sweep.csv").open()))
    assert [float(row["value"]) for row in rows] == [0.0, RESIDUAL.residual.lambda_l2.end]
    assert (out / "sweep.png").read_bytes()[:4] == b"\x89PNG"
    params = out / "aliengo_residual" / "residual.lambda_l2.end_0" / "params.json"
    config = json.loads(params.read_text())["config"]
    assert config["residual"]["lambda_l2"]["end"] == 0.0
    assert config["num_envs"] == 4
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/*/model_*.pt")}
    sweep.main([*arguments, "--vary", "residual.bound", "2", *tiny])
    assert len(json.loads((out / "sweep.json").read_text())["points"]) == 3
    assert {path: path.stat().st_mtime_ns for path in before} == before, "trained again"
    capsys.readouterr()
    with pytest.raises(SystemExit):
        sweep.main([*arguments, "--", *TINY, "--cfg.max_iterations", "3"])
    assert "choose another --out" in capsys.readouterr().err


def test_a_sweep_that_is_stopped_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    out = tmp_path / "out"
    folder = out / "aliengo_residual" / "default"
    call = [sys.executable, str(SCRIPT), *command(tmp_path, "--vary", "residual.bound", "2")]
    call += ["--devices", "cpu", "--max_minutes", "60", "--", *TINY, "--cfg.max_iterations"]
    process = subprocess.Popen(
        [*call, "100000"], stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    deadline = time.monotonic() + 240.0
    while len(read_metrics(folder / "metrics.csv").get("iteration", ())) < 2:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "no iteration within four minutes"
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    (saved,) = iterations(folder)
    assert not (folder / "trained.json").exists()
    # The same settings, but for the end: nobody waits for an hour.
    settings = folder / "settings.json"
    settings.write_text(settings.read_text().replace('"100000"', f'"{saved + 1}"'))
    result = subprocess.run(
        [*call, str(saved + 1)],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert iterations(folder) == [saved, saved + 1], "it began anew"
    assert f"at iteration {saved}" in (folder / "train.log").read_text()


def test_no_training_begins_that_would_end_too_late(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments = ["--vary", "residual.bound", "2", "--max_minutes", "5", "--total_minutes", "1"]
    sweep.main([*command(tmp_path, *arguments), "--", *TINY])
    assert "no time left for default, residual.bound_2" in capsys.readouterr().out
    assert not list((tmp_path / "out").glob("*/*/model_*.pt"))


def test_what_was_refused_may_be_tried_otherwise_and_what_differs_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments = command(tmp_path, "--vary", "residual.bound", "2", "--max_minutes", "5")
    with pytest.raises(SystemExit):
        sweep.main([*arguments, "--", *TINY, "--cfg.ppo.minibatches", "5"])
    last = ["--cfg.max_iterations", "1"]
    sweep.main([*arguments, "--", *TINY, *last])
    capsys.readouterr()
    with pytest.raises(SystemExit):
        sweep.main([*arguments, "--", *TINY, *last, "--cfg.ppo.gamma", "0.98"])
    message = capsys.readouterr().err
    assert "['--cfg.ppo.gamma', '0.98']" in message
    assert "style_weight" not in message


def test_a_training_that_fails_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    arguments = command(tmp_path, "--vary", "residual.bound", "2", "--max_minutes", "5")
    with pytest.raises(SystemExit):
        sweep.main([*arguments, "--", *TINY, "--cfg.ppo.minibatches", "5"])
    message = capsys.readouterr().err
    assert "training default ended with 2" in message or "training residual.bound_2" in message
    assert "cannot be split into 5 equal mini-batches" in message
