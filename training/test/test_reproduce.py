"""Shipped policies made again: what is trained, in which order, and that a cut-off run goes on."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, List

import pytest

from aliengo_training.checkpoints import iterations
from aliengo_training.cli import reproduce
from aliengo_training.cli.train import parse
from aliengo_training.evaluation.policy import OnnxPolicy
from aliengo_training.learning.run_metrics import read_metrics
from aliengo_training.motion.files import write_motion
from aliengo_training.motion.testing import wavy_clip
from aliengo_training.recipes import RECIPES, Stage

TRAINING = Path(__file__).resolve().parents[1]
MODELS, SCRIPT = TRAINING.parent / "models", TRAINING / "scripts" / "reproduce.py"
TINY = [
    "--num_envs", "4", "--cfg.ppo.rollout_steps", "4", "--cfg.ppo.epochs", "1",
    "--cfg.network.hidden", "16", "8", "--cfg.residual.hidden", "16", "--cfg.amp.hidden", "16", "8",
    "--cfg.amp.batch_size", "32", "--cfg.amp.updates", "1", "--cfg.amp.replay_inserts", "16",
    "--cfg.amp.replay_size", "64", "--cfg.style.table_size", "200",
]  # fmt: skip


@pytest.fixture
def motion(tmp_path: Path) -> Path:
    """A reference motion in a file."""
    path = tmp_path / "wave.txt"
    write_motion(wavy_clip(), path)
    return path


def start(motion: Path, out: Path, policy: str, last: int, **options: Any) -> subprocess.Popen[str]:
    """Begin to make a tiny policy."""
    line = [sys.executable, str(SCRIPT), policy, "--motion_files", str(motion), "--out", str(out)]
    line += ["--sim", "mujoco", "--rl_device", "cpu", "--rollouts", "1", "--seconds", "1.5"]
    return subprocess.Popen(
        [*line, "--", *TINY, "--cfg.max_iterations", str(last)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, **options,
    )  # fmt: skip


def trainings(output: str) -> List[List[str]]:
    """Arguments of the trainings that were announced."""
    return [shlex.split(line)[1:] for line in re.findall(r"^train\.py .*", output, re.MULTILINE)]


@pytest.mark.parametrize("policy", list(RECIPES))
def test_the_steps_are_shown_and_are_commands_of_train(
    policy: str, motion: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "out"
    reproduce.main([policy, "--motion_files", str(motion), "--out", str(out), "--show"])
    output = capsys.readouterr().out
    steps = [parse(arguments) for arguments in trainings(output)]
    base = RECIPES[policy].base
    assert f"--style_checkpoint {out}/aliengo_amp/{base or policy}/model_LAST.pt" in output
    stages = [*enumerate(RECIPES[base].stages if base else ()), *enumerate(RECIPES[policy].stages)]
    assert [step.max_minutes for step in steps] == [stage.max_minutes for _, stage in stages]
    assert [step.resume for step in steps] == [index > 0 for index, _ in stages]
    assert steps[-1].task == RECIPES[policy].task
    assert not out.exists()


def test_a_second_stage_resumes_the_first(
    motion: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = Stage(0.5, ("--cfg.max_iterations", "4000"))
    staged = dataclasses.replace(RECIPES["base"], stages=(Stage(2.0), second))
    monkeypatch.setitem(RECIPES, "base", staged)
    reproduce.main(["base", "--motion_files", str(motion), "--out", str(tmp_path), "--show"])
    steps = [parse(arguments) for arguments in trainings(capsys.readouterr().out)]
    assert [step.max_minutes for step in steps] == [2.0, 0.5]
    assert [step.resume for step in steps] == [False, True]
    assert steps[1].cfg.max_iterations == 4000


def test_a_run_that_is_stopped_goes_on_and_makes_all_of_it(motion: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    name = RECIPES["residual"].base
    base = out / "aliengo_amp" / name
    process = start(motion, out, name, 100000)
    deadline = time.monotonic() + 240.0
    while len(read_metrics(base / "metrics.csv").get("iteration", ())) < 2:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "no iteration within four minutes"
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    (saved,) = iterations(base)

    process = start(motion, out, "residual", saved + 1)
    output, _ = process.communicate(timeout=280)
    assert process.returncode == 0, output
    # The base, cut off, is resumed; the residual begins.
    begun = [parse(arguments) for arguments in trainings(output)]
    assert [(step.task, step.resume) for step in begun] == [
        *[(RECIPES[name].task, True)] * len(RECIPES[name].stages),
        *[(RECIPES["residual"].task, n > 0) for n in range(len(RECIPES["residual"].stages))],
    ]
    assert iterations(base) == [saved, saved + 1], "it began anew"
    for policy, kind in ((name, "base"), ("residual", "residual")):
        made, shipped = OnnxPolicy(out / f"{policy}.onnx"), OnnxPolicy(MODELS / f"{policy}.onnx")
        assert made.metadata["kind"] == shipped.metadata["kind"] == kind
    assert (out / "evaluation" / "residual" / "figures.json").is_file()

    process = start(motion, out, "residual", saved + 1)
    output, _ = process.communicate(timeout=280)
    assert process.returncode == 0, output
    assert trainings(output) == [], "trained again"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["walk"], "no policy 'walk', allowed are base, residual, finetune"),
        (["base", "--slower", "0"], "--slower is 0, expected a positive factor"),
        (["base", "--motion_files", "nowhere/*.txt"], "no motion files match 'nowhere/*.txt'"),
    ],
)
def test_wrong_arguments_are_named(
    arguments: List[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as ending:
        reproduce.main(arguments)
    assert ending.value.code == 2
    assert message in capsys.readouterr().err
