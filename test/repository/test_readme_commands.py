"""Each command of README.md is run: as it is printed, by this file, or by a test named here.

What is added to a command, so that it ends soon or finds the twin instead of the robot, stands
beside it. A new command fails here until it has an entry in `EXERCISED`.
"""

import ast
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from documents import ROOT, commands
from processes import ENDS_WITH_US

from aliengo_policy.bringup import main as bringup_main
from aliengo_policy.graph import REAL_ARGUMENTS, GraphSettings, real_graph
from aliengo_policy.policy_file import prepare_policy
from aliengo_policy.scenario import Segment, script_for

HERE = "test/repository/test_readme_commands.py"
EXERCISED = {
    "git clone *": f"{HERE}::test_a_clone_is_enough",
    "make sim": "test/test_integration.py::test_the_robot_walks_one_metre_forward",
    "make sim ARGS=--interactive": (
        "test/test_integration.py::test_an_interrupt_ends_all_processes_in_order"
    ),
    "make sim POLICY=residual": "test/test_walk_physics.py::test_the_residual_follows_faster_commands",
    "make sim POLICY=mine": f"{HERE}::test_training_as_printed_ends_in_a_policy",
    "make test": ".ci/run",
    "make setup && source *": f"{HERE}::test_the_setup_as_printed_is_enough_to_train",
    "source scripts/env.sh": "Makefile",
    "ros2 launch": "test/test_launch_files.py::test_the_nodes_of_the_graph_are_started",
    "ros2 launch *shadow:=true": f"{HERE}::test_the_launch_lines_are_understood",
    "ros2 launch *record:=true": f"{HERE}::test_the_launch_lines_are_understood",
    "python -m aliengo_policy.preflight *": f"{HERE}::test_the_preflight_as_printed",
    "python -m aliengo_policy.bringup real *": f"{HERE}::test_the_bringup_as_printed",
    "python training/scripts/*": f"{HERE}::test_training_as_printed_ends_in_a_policy",
    "--sim mujoco --rl_device cpu": f"{HERE}::test_training_as_printed_ends_in_a_policy",
    "--sim isaacgym": "training/test/test_isaac_gym.py",
    "evaluate.py *": f"{HERE}::test_the_shipped_policies_are_judged_as_printed",
}
"""Who runs a command: a pattern of it, and a test or a script of CI."""

SHORT_MOTION = "--cycles 2"
NO_GPU = "--sim mujoco --rl_device cpu"
SHORT_TRAINING = (
    f"{NO_GPU} --cfg.max_iterations 1 --cfg.num_envs 4 --cfg.ppo.rollout_steps 4"
    " --cfg.ppo.epochs 1 --cfg.network.hidden 16 8 --cfg.residual.hidden 16 --cfg.amp.hidden 16 8"
    " --cfg.amp.batch_size 32 --cfg.amp.updates 1 --cfg.amp.replay_inserts 16"
    " --cfg.amp.replay_size 64 --cfg.style.table_size 200"
)
SHORT_EVALUATION = "--rollouts 1 --seconds 1.5 --workers 1"
OF_MAKE = ("MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS", "ARGS", "POLICY")
LONG_RUN_CHECKPOINT = "logs/aliengo_amp/base/model_2400.pt"
"""The README names what ten minutes on a GPU give; the short run has the first iteration only."""


def printed(pattern: str) -> str:
    """The one command of the README that fits a pattern."""
    found = {command for command in commands(ROOT / "README.md") if fnmatch(command, pattern)}
    assert len(found) == 1, f"README.md has {sorted(found)} for {pattern}, expected one command"
    return found.pop()


def run(command: str, folder: Path, added: str = "", succeeds: bool = True) -> str:
    """Run a command in a shell, with something added to its end; returns all its output."""
    # As typed by a user, not as a part of the `make test` that may run this.
    inherited = {name: value for name, value in os.environ.items() if name not in OF_MAKE}
    environment = {**inherited, "OMP_NUM_THREADS": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        [*ENDS_WITH_US, "bash", "-c", f"{command} {added}"],
        cwd=folder, env=environment, timeout=120, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert done.returncode == 0 or not succeeds, f"{command} {added}\n{done.stdout}"
    return done.stdout


def recipe(command: str) -> list[str]:
    """The shell lines that a `make` command would run."""
    return run(f"{command} -n", ROOT).replace("\\\n", " ").splitlines()


def test_both_readmes_show_the_same_commands() -> None:
    assert commands(ROOT / "README.ru.md") == commands(ROOT / "README.md")


@pytest.mark.parametrize("command", commands(ROOT / "README.md"))
def test_a_command_has_somebody_who_runs_it(command: str) -> None:
    assert any(fnmatch(command, pattern) for pattern in EXERCISED), (
        f"nothing runs `{command}` of README.md: run it in a test and name that test in EXERCISED "
        f"of {HERE}, or take it out of the README"
    )


@pytest.mark.parametrize(("pattern", "by"), EXERCISED.items())
def test_who_runs_a_command_exists(pattern: str, by: str) -> None:
    found = [command for command in commands(ROOT / "README.md") if fnmatch(command, pattern)]
    assert found, f"README.md has no command {pattern}: remove it from EXERCISED"
    path, _, name = by.partition("::")
    text = (ROOT / path).read_text(encoding="utf-8")
    if name:
        names = {
            node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)
        }
        assert name in names, f"{path} has no {name}"
    elif not path.endswith(".py"):
        assert pattern in text, f"{path} does not run {pattern}"


def started(
    command: str, models: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[GraphSettings, tuple[Segment, ...], bool]:
    """What a `make sim` command asks the bring-up for: settings, script, interactive."""
    asked: list[tuple[GraphSettings, tuple[Segment, ...], bool]] = []

    def run_sim(*arguments: Any) -> int:
        asked.append(arguments)
        return 0

    setup, start = recipe(command)
    assert setup.endswith("scripts/bootstrap.py sim")
    _, *program = shlex.split(start.split("&& ")[1])
    assert program[:3] == ["-m", "aliengo_policy.bringup", "sim"]
    monkeypatch.setattr("aliengo_policy.policy_file.shared_folder", lambda name: models)
    monkeypatch.setattr("aliengo_policy.bringup.run_sim", run_sim)
    assert bringup_main(program[2:]) == 0
    return asked[0]


@pytest.mark.parametrize(
    ("command", "kind", "interactive"),
    [
        ("make sim", "base", False),
        ("make sim POLICY=residual", "residual", False),
        ("make sim ARGS=--interactive", "base", True),
    ],
)
def test_make_sim_starts_what_it_is_asked_for(
    command: str, kind: str, interactive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the bring-up then does, the tests named in EXERCISED show."""
    found = started(printed(command), ROOT / "models", monkeypatch)
    assert (Path(found[0].policy).stem, *found[1:]) == (kind, script_for(kind), interactive)


def test_a_clone_is_enough(tmp_path: Path) -> None:
    """The clone holds all files that the commands name, and `make` knows what to do in it."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout: there is nothing to clone")
    clone, _, enter = printed("git clone *").partition(" && ")
    assert enter == "cd aliengo_policy"
    safe = f"-c safe.directory={ROOT} -c safe.directory={ROOT}/.git"
    run(clone.replace("git ", f"git {safe} ", 1).replace("<>", str(ROOT)), tmp_path)
    folder = tmp_path / "aliengo_policy"
    for name in ("scripts/bootstrap.py", "models/base.onnx", "models/residual.onnx"):
        assert (folder / name).is_file(), f"a clone lacks {name}"
    run("make sim -n", folder)


def launch_settings(command: str) -> GraphSettings:
    """What the arguments of a `ros2 launch` line mean."""
    kinds = {argument.name: type(argument.default) for argument in REAL_ARGUMENTS}
    texts = dict(word.split(":=") for word in command.split()[4:])
    values = {
        name: text == "true" if kinds[name] is bool else kinds[name](text)
        for name, text in texts.items()
    }
    return GraphSettings(**values)


def test_the_launch_lines_are_understood() -> None:
    for mode in ("shadow", "record"):
        command = printed(f"ros2 launch *{mode}:=true")
        assert (ROOT / "launch" / command.split()[3]).is_file()
        settings = launch_settings(command)
        assert getattr(settings, mode) is True
        names = {spec.name for spec in real_graph(settings)}
        assert {"bridge", "policy", "teleop", "gamepad"} <= names
        assert ("recorder" in names) == (mode == "record")


def test_without_ros2_launch_the_same_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[GraphSettings] = []

    def run_real(settings: GraphSettings) -> int:
        taken.append(settings)
        return 0

    monkeypatch.setattr("aliengo_policy.bringup.run_real", run_real)
    assert bringup_main(shlex.split(printed("python -m aliengo_policy.bringup real *"))[3:]) == 0
    launched = launch_settings(printed("ros2 launch *record:=true"))
    assert taken == [prepare_policy(launched)]


def to_the_twin(port: int, own_port: int) -> str:
    """Arguments that lead to a twin instead of the robot."""
    return f"--robot-address 127.0.0.1 --robot-port {port} --local-port {own_port}"


@pytest.mark.integration
def test_the_preflight_as_printed(
    tmp_path: Path, twin: Callable[[], int], free_port: Callable[[], int]
) -> None:
    command = printed("python -m aliengo_policy.preflight *")
    # Whether the machine is fit for a robot is not asked here.
    output = run(command, tmp_path, f"{to_the_twin(twin(), free_port())} --seconds 1", False)
    marks = {line[5:18].strip(): line[:4].strip() for line in output.splitlines()}
    assert (marks.get("link"), marks.get("upright"), marks.get("model")) == ("ok", "ok", "ok"), (
        output
    )


@pytest.mark.integration
def test_the_bringup_as_printed(
    tmp_path: Path, twin: Callable[[], int], free_port: Callable[[], int]
) -> None:
    command = printed("python -m aliengo_policy.bringup real *")
    line = f"exec {command} {to_the_twin(twin(), free_port())}"
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*ENDS_WITH_US, "bash", "-c", line], cwd=tmp_path, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + 60.0
        while not ("idle" in log.read_text() and list(tmp_path.glob("logs/bags/*/*.mcap"))):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
    assert "shutting down: SIGINT" in log.read_text()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder in which the commands find the scripts and the models, and leave their results."""
    (tmp_path / "training").symlink_to(ROOT / "training")
    shutil.copytree(ROOT / "models", tmp_path / "models")
    return tmp_path


def test_the_setup_as_printed_is_enough_to_train() -> None:
    run(printed("make setup && *"), ROOT, "&& python -c 'import aliengo_training, torch'")


def test_training_as_printed_ends_in_a_policy(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = "python training/scripts/train.py --task"
    run(printed("python training/scripts/motion.py *"), checkout, SHORT_MOTION)
    for speed in ("0.30", "0.60", "0.90"):
        assert list(checkout.glob(f"motions/limp_FR_+{speed}_*.txt")), f"no motion at {speed} m/s"
    assert printed("--sim mujoco *") == NO_GPU
    run(printed(f"{train} aliengo_amp *"), checkout, SHORT_TRAINING)
    first = next(checkout.glob("logs/aliengo_amp/base/model_*.pt"))
    residual = printed(f"{train} aliengo_residual *")
    assert LONG_RUN_CHECKPOINT in residual
    first.rename(checkout / LONG_RUN_CHECKPOINT)
    run(residual, checkout, SHORT_TRAINING)
    run(printed("python training/scripts/export.py *"), checkout)
    run(printed("python training/scripts/evaluate.py *"), checkout, SHORT_EVALUATION)
    assert (checkout / "logs/evaluation/mine/table.md").is_file()
    settings, script, _ = started(printed("make sim POLICY=mine"), checkout / "models", monkeypatch)
    assert settings.policy == str(checkout / "models/mine.onnx")
    assert script == script_for("residual")


@pytest.mark.parametrize("name", ["base", "residual"])
def test_the_shipped_policies_are_judged_as_printed(name: str, checkout: Path) -> None:
    command = printed(f"evaluate.py --policy models/{name}.onnx*")
    run(f"python training/scripts/{command}", checkout, SHORT_EVALUATION)
    assert (checkout / "logs/evaluation" / name / "table.md").is_file()
