"""Training as users run it: processes, signals, resuming, two processes, bad input."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List

import pytest
import torch

from aliengo_training.checkpoints import (
    CheckpointError,
    find_checkpoint,
    from_config_dict,
    load_checkpoint,
)
from aliengo_training.cli.train import main, parse
from aliengo_training.learning.build import build_runner
from aliengo_training.learning.capture import Replayed
from aliengo_training.learning.config import ExperimentConfig
from aliengo_training.learning.distributed import World
from aliengo_training.learning.finite import NonFiniteError
from aliengo_training.learning.runner import OnPolicyRunner
from aliengo_training.motion.files import write_motion
from aliengo_training.motion.testing import wavy_clip
from aliengo_training.sim import simulator
from aliengo_training.sim.mujoco_cpu import MujocoCpuSimulator

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "train.py"
SMALL = [
    "--sim", "mujoco", "--rl_device", "cpu",
    "--cfg.num_envs", "8", "--cfg.ppo.rollout_steps", "4", "--cfg.ppo.epochs", "1",
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


def arguments(motion: Path, root: Path, *extra: str) -> List[str]:
    """Command line of a tiny run."""
    return ["--motion_files", str(motion), "--log_root", str(root), *SMALL, *extra]


def train(command: List[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run train.py to its end."""
    return subprocess.run(
        [sys.executable, str(SCRIPT), *command],
        capture_output=True,
        text=True,
        timeout=240,
        **options,
    )


def make_runner(motion: Path, root: Path, *extra: str) -> OnPolicyRunner:
    """A runner in this process."""
    args = parse(arguments(motion, root, *extra))
    torch.manual_seed(args.cfg.seed)
    return build_runner(args.cfg, "mujoco", "cpu", [motion])


def test_a_run_leaves_its_folder_and_can_be_continued(motion: Path, tmp_path: Path) -> None:
    first = train(arguments(motion, tmp_path, "--cfg.max_iterations", "2"))
    assert first.returncode == 0, first.stderr
    folder = tmp_path / "aliengo_amp" / "run"
    params = json.loads((folder / "params.json").read_text())
    restored = from_config_dict(ExperimentConfig, params["config"])
    assert restored.num_envs == 8
    assert restored.network.hidden == (16, 8)
    boards = list(folder.glob("events.out.tfevents.*"))
    assert bool(boards) == (importlib.util.find_spec("tensorboard") is not None)
    second = train(arguments(motion, tmp_path, "--cfg.max_iterations", "4", "--resume"))
    assert second.returncode == 0, second.stderr
    with (folder / "metrics.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["iteration"]) for row in rows] == [1, 2, 3, 4]
    assert [int(row["environment_steps"]) for row in rows] == [32, 64, 96, 128]
    assert find_checkpoint(folder).name == "model_4.pt"


def test_a_resumed_runner_has_all_that_the_saved_one_had(motion: Path, tmp_path: Path) -> None:
    saved = make_runner(motion, tmp_path)
    for _ in range(3):
        saved.learn_iteration()
    saved.save(tmp_path)
    resumed = make_runner(motion, tmp_path)
    resumed.load(tmp_path / "model_3.pt")
    assert (resumed.iteration, resumed.environment_steps) == (3, 96)
    _same(saved.model.state_dict(), resumed.model.state_dict())
    assert saved.prior is not None
    assert resumed.prior is not None
    _same(saved.prior.discriminator.state_dict(), resumed.prior.discriminator.state_dict())
    _same(saved.prior.normalizer.state_dict(), resumed.prior.normalizer.state_dict())
    assert torch.allclose(saved.prior.replay, resumed.prior.replay, atol=2e-3)
    assert float(resumed.ppo.optimizer.learning_rate) == float(saved.ppo.optimizer.learning_rate)
    ours, theirs = (r.ppo.optimizer.state_dict()["adam"]["state"] for r in (saved, resumed))
    for key in ours:
        _same(ours[key], theirs[key])
    first = torch.rand(3)
    resumed.load(tmp_path / "model_3.pt")
    assert torch.equal(first, torch.rand(3)), "the random numbers do not continue"


def test_resumed_peers_draw_differently(motion: Path, tmp_path: Path) -> None:
    runner = make_runner(motion, tmp_path)
    runner.learn_iteration()
    runner.save(tmp_path)
    drawn = []
    for iteration, rank in ((1, 0), (1, 1), (1, 1), (2, 1)):
        runner.iteration = iteration
        runner.save(tmp_path)
        runner.world = World(rank, 2)
        runner.load(tmp_path / f"model_{iteration}.pt")
        runner.world = World()
        drawn.append(torch.rand(3).tolist())
    assert drawn[0] != drawn[1], "two processes draw the same"
    assert drawn[1] == drawn[2], "not repeatable"
    assert drawn[1] != drawn[3], "the draws of an earlier iteration come again"


def _same(first: Dict[str, Any], second: Dict[str, Any]) -> None:
    assert set(first) == set(second)
    for name, value in first.items():
        assert torch.equal(torch.as_tensor(value), torch.as_tensor(second[name])), name


def test_the_same_seed_gives_the_same_run(motion: Path, tmp_path: Path) -> None:
    weights = []
    for _ in range(2):
        runner = make_runner(motion, tmp_path)
        runner.learn_iteration()
        weights.append(runner.model.actor[0].weight.clone())
    assert torch.equal(weights[0], weights[1])


@pytest.mark.parametrize("task", ["aliengo_residual", "aliengo_finetune"])
def test_later_stages_start_from_the_base(task: str, motion: Path, tmp_path: Path) -> None:
    base = train(arguments(motion, tmp_path, "--cfg.max_iterations", "1"))
    assert base.returncode == 0, base.stderr
    checkpoint = tmp_path / "aliengo_amp" / "run" / "model_1.pt"
    command = ["--task", task, "--base_checkpoint", str(checkpoint), "--cfg.max_iterations", "1"]
    result = train(arguments(motion, tmp_path, *command))
    assert result.returncode == 0, result.stderr
    trained = load_checkpoint(tmp_path / task / "run" / "model_1.pt")["model"]
    before = load_checkpoint(checkpoint)["model"]
    prefix = "base_actor" if task == "aliengo_residual" else "actor"
    same = torch.equal(trained[f"{prefix}.0.weight"], before["actor.0.weight"])
    assert same == (task == "aliengo_residual")


def test_a_terminated_run_saves_what_it_has(motion: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(SCRIPT),
        *arguments(motion, tmp_path, "--cfg.max_iterations", "100000"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    folder = tmp_path / "aliengo_amp" / "run"
    deadline = time.monotonic() + 120
    metrics = folder / "metrics.csv"
    while not (metrics.is_file() and metrics.read_text().count("\n") > 2):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "no iteration within two minutes"
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    last = metrics.read_text().strip().splitlines()[-1].split(",")[0]
    assert find_checkpoint(folder).name == f"model_{last}.pt"


def test_two_processes_end_with_the_same_policy(motion: Path, tmp_path: Path) -> None:
    program = (
        "import sys, torch, torch.distributed as dist\n"
        "from aliengo_training.cli.train import parse\n"
        "from aliengo_training.learning.build import build_runner\n"
        "from aliengo_training.learning.distributed import join_world, seed_everything\n"
        "from pathlib import Path\n"
        "args = parse(sys.argv[1:])\n"
        "world = join_world('cpu'); seed_everything(1, world)\n"
        "runner = build_runner(args.cfg, 'mujoco', 'cpu', [Path(args.motion_files)], world)\n"
        "metrics = runner.learn_iteration()\n"
        "mine = torch.cat([p.detach().flatten() for p in runner.model.parameters()])\n"
        "everyone = [torch.empty_like(mine) for _ in range(world.size)]\n"
        "dist.all_gather(everyone, mine)\n"
        "seen = torch.tensor(float(runner.storage['reward'].sum()))\n"
        "rewards = [torch.empty_like(seen) for _ in range(world.size)]\n"
        "dist.all_gather(rewards, seen)\n"
        "assert torch.equal(everyone[0], everyone[1]), 'policies differ'\n"
        "assert rewards[0] != rewards[1], 'both processes saw the same experience'\n"
        "assert runner.environment_steps == 64, runner.environment_steps\n"
        "print('agreed', flush=True); world.close()\n"
        "tasks = [(t / 'comm').read_text() for t in Path('/proc/self/task').iterdir()]\n"
        "assert not any('gloo' in name for name in tasks), tasks\n"
    )
    script = tmp_path / "two.py"
    script.write_text(program)
    result = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2",
            str(script), *arguments(motion, tmp_path),
        ],
        capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("agreed") == 2


def test_a_policy_that_is_not_finite_stops_the_run_and_leaves_its_state(
    motion: Path, tmp_path: Path
) -> None:
    runner = make_runner(motion, tmp_path)
    with torch.no_grad():
        runner.model.actor[0].weight[0, 0] = float("nan")
    with pytest.raises(
        NonFiniteError, match=r"iteration 1: .*not finite; state written to .*nonfinite_1"
    ):
        runner.learn(tmp_path, lambda iteration, metrics: None, lambda: False)
    dumped = load_checkpoint(tmp_path / "nonfinite_1.pt")
    assert torch.isnan(dumped["model"]["actor.0.weight"]).sum() == 1, "the update went on"
    assert dumped["state"]["joint_positions"].shape == (8, 12)


def test_a_rollout_that_is_not_finite_is_dumped_and_not_learned_from(
    motion: Path, tmp_path: Path
) -> None:
    runner = make_runner(motion, tmp_path)
    before = {name: value.clone() for name, value in runner.model.state_dict().items()}
    runner.task.observation[5, 7] = float("nan")
    with pytest.raises(NonFiniteError, match=r"iteration 1: observation, .*not finite"):
        runner.learn(tmp_path, lambda iteration, metrics: None, lambda: False)
    _same(before, runner.model.state_dict())
    dumped = load_checkpoint(tmp_path / "nonfinite_1.pt")
    _same(before, dumped["model"])
    assert dumped["environments"].tolist() == [5]
    observation = dumped["rollout"]["observation"]
    assert observation.shape == (4, 1, 45)
    assert torch.isnan(observation[0, 0]).nonzero().flatten().tolist() == [7]
    assert torch.isnan(dumped["rollout"]["action"][0]).all()
    assert dumped["state"]["observation"].shape == (1, 45)


def test_losses_that_are_not_finite_leave_the_model_of_before_the_update(
    motion: Path, tmp_path: Path
) -> None:
    runner = make_runner(motion, tmp_path)
    before = {name: value.clone() for name, value in runner.model.state_dict().items()}
    runner.ppo.optimizer.learning_rate.fill_(float("nan"))
    with pytest.raises(NonFiniteError, match=r"learning_rate.* not finite"):
        runner.learn(tmp_path, lambda iteration, metrics: None, lambda: False)
    dumped = load_checkpoint(tmp_path / "nonfinite_1.pt")
    _same(before, dumped["model"])
    assert dumped["metrics"]["learning_rate"] != dumped["metrics"]["learning_rate"]
    assert dumped["rollout"]["reward"].shape == (4, 8)


@pytest.mark.parametrize("capturable", [False, True])
def test_graphs_are_captured_only_around_physics_that_allows_it(
    capturable: bool, motion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    class Recorder(Replayed):
        def __init__(self, function: Any, device: torch.device, enabled: bool = True) -> None:
            super().__init__(function, device, enabled)
            asked.append(enabled)

    for module in ("runner", "ppo", "amp"):
        monkeypatch.setattr(f"aliengo_training.learning.{module}.Replayed", Recorder)
    monkeypatch.setattr(MujocoCpuSimulator, "capturable", capturable)
    make_runner(motion, tmp_path)
    assert asked == [capturable] * 7


def test_only_the_backend_with_a_stream_of_its_own_is_capturable() -> None:
    root = Path(simulator.__file__).parent
    claims = {path.stem for path in root.glob("*.py") if "capturable = True" in path.read_text()}
    assert claims == {"mujoco_warp"}
    assert not simulator.Simulator.capturable


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["--task", "walk"], "unknown task 'walk', allowed are aliengo_amp"),
        (["--sim", "mujoco", "--rl_device", "cpu"], "no motion files: give --motion_files"),
        (
            ["--sim", "mujoco", "--rl_device", "cpu", "--motion_files", "none/*.txt"],
            "no motion files match",
        ),
        (
            ["--sim", "mujoco", "--rl_device", "cpu", "--task", "aliengo_finetune"],
            "give --base_checkpoint",
        ),
        (
            ["--sim", "mujoco", "--rl_device", "cpu", "--load_run", "walk"],
            "--load_run and --checkpoint continue a run: give --resume with them",
        ),
        (
            ["--sim", "mujoco", "--rl_device", "cpu", "--base_checkpoint", "base.onnx"],
            "--base_checkpoint: aliengo_amp starts from no base",
        ),
        (["--output_name", "../other"], "--output_name is '../other', expected the name of one"),
    ],
)
def test_bad_input_ends_with_a_message(command: List[str], message: str, tmp_path: Path) -> None:
    result = train([*command, "--log_root", str(tmp_path), "--cfg.num_envs", "2"], cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--output_name=", "--output_name is '', expected the name of one folder"),
        ("--max_minutes=-1", "--max_minutes is -1, expected 0 or more"),
        ("--max_minutes=nan", "--max_minutes is nan, expected 0 or more"),
        ("--cfg.num_envs=0", "num_envs is 0, expected at least 1"),
        ("--cfg.save_interval=0", "save_interval is 0, expected at least 1"),
        ("--cfg.max_iterations=0", "max_iterations is 0, expected at least 1"),
        ("--cfg.seed=-1", "seed is -1, expected 0 or more"),
        ("--cfg.ppo.rollout_steps=0", "ppo.rollout_steps is 0, expected at least 1"),
        ("--cfg.ppo.gamma=2", "ppo.gamma is 2.0, expected 0 to 1"),
        ("--cfg.amp.style_weight=2", "amp.style_weight is 2.0, expected 0 to 1"),
        ("--cfg.residual.bound=-1", "residual.bound is -1.0, expected a positive number"),
        ("--cfg.task.commands.vx 1.2 0", "task.commands.vx is (1.2, 0.0), expected two numbers"),
        ("--cfg.task.commands.wz 0 nan", "task.commands.wz is (0.0, nan), expected two numbers"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(
    option: str, message: str, motion: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as ending:
        main([*arguments(motion, tmp_path / "logs"), *option.split()])
    assert ending.value.code == 2
    error = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert message in error
    assert not (tmp_path / "logs").exists()


def test_an_existing_run_is_not_overwritten(motion: Path, tmp_path: Path) -> None:
    assert train(arguments(motion, tmp_path, "--cfg.max_iterations", "1")).returncode == 0
    again = train(arguments(motion, tmp_path, "--cfg.max_iterations", "1"))
    assert again.returncode == 2
    assert "already holds a run; continue it with --resume" in again.stderr


def test_missing_checkpoints_name_what_exists(tmp_path: Path) -> None:
    (tmp_path / "aliengo_amp" / "walk").mkdir(parents=True)
    with pytest.raises(CheckpointError, match="existing runs: walk"):
        find_checkpoint(tmp_path / "aliengo_amp" / "run")
    torch.save({"schema_version": 1}, tmp_path / "aliengo_amp" / "walk" / "model_5.pt")
    with pytest.raises(CheckpointError, match=r"no checkpoint 7; available: \[5\]"):
        find_checkpoint(tmp_path / "aliengo_amp" / "walk", 7)


def test_an_unknown_key_in_a_configuration_is_named() -> None:
    with pytest.raises(
        CheckpointError, match=r"config.ppo has unknown key\(s\) epoch; allowed: clip"
    ):
        from_config_dict(ExperimentConfig, {"ppo": {"epoch": 3}})
