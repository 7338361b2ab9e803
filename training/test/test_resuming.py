"""Continuing a run: with the parameters it had, in its own folder, with all that it was made of on record."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import List

import pytest
import torch

from aliengo_training.checkpoints import CheckpointError, load_checkpoint
from aliengo_training.cli import train
from aliengo_training.evaluation.policy import OnnxPolicy
from aliengo_training.evaluation.rollouts import RolloutConfig
from aliengo_training.learning.config import ExperimentConfig
from aliengo_training.learning.logs import earlier_stages, write_params
from aliengo_training.learning.optimizer import FlatAdam
from aliengo_training.motion.files import write_motion
from aliengo_training.motion.testing import wavy_clip
from aliengo_training.recipes import RECIPES
from aliengo_training.tasks.registry import EXPERIMENTS, experiment

SMALL = [
    "--cfg.num_envs", "4", "--cfg.ppo.rollout_steps", "4", "--cfg.ppo.epochs", "1",
    "--cfg.network.hidden", "16", "8", "--cfg.residual.hidden", "16", "--cfg.amp.hidden", "16", "8",
    "--cfg.amp.batch_size", "32", "--cfg.amp.updates", "1", "--cfg.amp.replay_inserts", "16",
    "--cfg.amp.replay_size", "64", "--cfg.style.table_size", "200",
]  # fmt: skip


@pytest.fixture
def common(tmp_path: Path) -> List[str]:
    """Arguments that every run here needs, resumed or not."""
    write_motion(wavy_clip(), tmp_path / "wave.txt")
    motion = ["--motion_files", str(tmp_path / "wave.txt")]
    return [*motion, "--log_root", str(tmp_path), "--sim", "mujoco", "--rl_device", "cpu"]


def run(*arguments: str) -> Path:
    """Train in this process; returns the run's folder."""
    given = list(arguments)
    return train.run(train.parse(given), given)[0]


def last(iteration: int) -> List[str]:
    return ["--cfg.max_iterations", str(iteration)]


def test_resuming_alone_continues_with_the_same_parameters_and_keeps_the_earlier(
    common: List[str], tmp_path: Path
) -> None:
    first = [*SMALL, *last(1), "--cfg.ppo.entropy", "0.01", "--cfg.task.reward.torque", "0.5"]
    folder = run(*common, *first)
    run(*common, "--resume", *last(2), "--cfg.task.reward.torque", "0.25")
    run(*common, "--resume", *last(3))
    params = json.loads((folder / "params.json").read_text())
    assert params["config"]["network"]["hidden"] == [16, 8]
    assert params["config"]["ppo"]["entropy"] == 0.01
    assert params["config"]["task"]["reward"]["torque"] == 0.25
    stages = params["earlier_stages"]
    assert [stage["until_iteration"] for stage in stages] == [1, 2]
    assert [stage["config"]["task"]["reward"]["torque"] for stage in stages] == [0.5, 0.25]
    assert stages[0]["command"] == [*common, *first]
    assert not any("earlier_stages" in stage for stage in stages)
    assert (folder / "model_3.pt").is_file()


def test_an_earlier_checkpoint_is_not_continued_beside_later_ones(
    common: List[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run(*common, *SMALL, "--cfg.save_interval", "1", *last(2))
    with pytest.raises(CheckpointError, match=r"has checkpoints after 1: \[2\]; go on from there"):
        run(*common, "--resume", "--checkpoint", "1", *last(3))
    other = ["--load_run", folder.name, "--output_name", "other"]
    assert (
        run(*common, "--resume", "--checkpoint", "1", *other, *last(3)) / "model_3.pt"
    ).is_file()
    assert "nothing is left to train" not in capsys.readouterr().err
    run(*common, "--resume", *last(2))
    assert "nothing is left to train: --cfg.max_iterations is 2" in capsys.readouterr().err


def test_how_adam_steps_stays_with_the_device_and_not_with_the_checkpoint() -> None:
    def adam() -> FlatAdam:
        parameter = torch.nn.Parameter(torch.ones(3))
        return FlatAdam([{"params": [parameter]}], 1e-3, torch.device("cpu"), 1.0)

    first, second = adam(), adam()
    first.gradient.fill_(1.0)
    first.step()
    state = first.state_dict()
    for group in state["adam"]["param_groups"]:
        group.update(capturable=True, fused=True, foreach=None)  # as on a GPU
    second.load_state_dict(state)
    for optimizer in (first, second):
        optimizer.gradient.fill_(1.0)
        optimizer.step()
    moved = [1.0 - optimizer.parameters[0].detach() for optimizer in (first, second)]
    torch.testing.assert_close(moved[0], 2.0 * moved[1], rtol=1e-3, atol=0.0)


@pytest.mark.parametrize("name", list(RECIPES))
def test_the_clock_ends_a_recipe_before_the_number_of_iterations(name: str) -> None:
    policy = OnnxPolicy(Path(__file__).resolve().parents[2] / "models" / f"{name}.onnx")
    trained = policy.metadata["training"]["iteration"]
    assert trained < experiment(RECIPES[name].task).max_iterations / 2


@pytest.mark.parametrize("task", sorted(EXPERIMENTS))
def test_the_parameters_of_every_task_come_back_as_they_were(task: str, tmp_path: Path) -> None:
    folder = tmp_path / task / "run"
    folder.mkdir(parents=True)
    default = experiment(task)
    config = dataclasses.replace(
        default,
        reward_scale=0.125,
        residual=dataclasses.replace(default.residual, bound=2.5),
        style=dataclasses.replace(default.style, speed_range=(0.25, 1.25)),
    )
    write_params(folder, config, [], {})
    parsed = train.parse(["--task", task, "--log_root", str(tmp_path), "--resume"]).cfg
    assert parsed == config


def test_another_runs_folder_is_not_continued_into(common: List[str], tmp_path: Path) -> None:
    mine = run(*common, *SMALL, *last(1), "--output_name", "mine")
    run(*common, *SMALL, *last(1), "--output_name", "other")
    before = {path.name: path.read_bytes() for path in mine.iterdir()}
    both = [*common, "--resume", "--load_run", "other", *last(2)]
    with pytest.raises(CheckpointError, match=r"mine already holds another run than .*other"):
        run(*both, "--output_name", "mine")
    assert {path.name: path.read_bytes() for path in mine.iterdir()} == before
    new = run(*both, "--output_name", "new")
    assert (new / "model_2.pt").is_file()
    assert (
        json.loads((new / "params.json").read_text())["earlier_stages"][0]["until_iteration"] == 1
    )


@pytest.mark.parametrize("task", ["aliengo_residual", "aliengo_finetune"])
def test_a_run_from_a_base_is_continued_without_the_base(
    task: str, common: List[str], tmp_path: Path
) -> None:
    base = run(*common, *SMALL, *last(1)) / "model_1.pt"
    folder = run(*common, *SMALL, *last(1), "--task", task, "--base_checkpoint", str(base))
    base.unlink()
    run(*common, *last(2), "--task", task, "--resume")
    first, second = (load_checkpoint(folder / f"model_{n}.pt")["model"] for n in (1, 2))
    if task == "aliengo_residual":
        for name in ("base_actor.0.weight", "base_std"):
            assert torch.equal(first[name], second[name])
    assert not torch.equal(first["actor.0.weight"], second["actor.0.weight"])


def test_a_residual_is_not_continued_on_another_base(
    common: List[str], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    base = run(*common, *SMALL, *last(1)) / "model_1.pt"
    run(*common, *SMALL, *last(1), "--task", "aliengo_residual", "--base_checkpoint", str(base))
    go_on = [*common, *last(2), "--task", "aliengo_residual", "--resume", "--base_checkpoint"]
    content = load_checkpoint(base)
    content["model"]["actor.0.bias"] += 1e-3
    other = tmp_path / "other.pt"
    torch.save(content, other)
    for path, message in (
        (other, "is another base than the run stands on"),
        (tmp_path / "none.pt", "does not exist"),
    ):
        with pytest.raises(SystemExit) as ending:
            train.main([*go_on, str(path)])
        assert ending.value.code == 2
        assert message in capsys.readouterr().err
    assert (run(*go_on, str(base)) / "model_2.pt").is_file()


def test_a_run_with_nothing_left_to_train_keeps_its_record(
    common: List[str], capsys: pytest.CaptureFixture
) -> None:
    folder = run(*common, *SMALL, *last(1))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    run(*common, *last(1), "--resume")
    assert "nothing is left to train" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("part", ["network", "amp"])
def test_networks_that_do_not_fit_are_named(
    part: str, common: List[str], capsys: pytest.CaptureFixture
) -> None:
    run(*common, *SMALL, *last(1))
    with pytest.raises(SystemExit) as ending:
        train.main([*common, "--resume", *last(2), f"--cfg.{part}.hidden", "24", "8"])
    assert ending.value.code == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert error.count("size mismatch") == 1
    assert "does not fit the configured networks" in error


def test_a_run_of_another_task_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "aliengo_amp" / "run"
    folder.mkdir(parents=True)
    write_params(folder, experiment("aliengo_amp"), [], {})
    torch.save({"schema_version": 1}, folder / "model_1.pt")
    given = ["--task", "aliengo_finetune", "--resume", "--load_run", str(folder)]
    with pytest.raises(
        CheckpointError, match=r"is a run of aliengo_amp, --task is aliengo_finetune"
    ):
        train.parse(given)


def test_parameters_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "aliengo_amp" / "run"
    folder.mkdir(parents=True)
    arguments = ["--log_root", str(tmp_path), "--resume"]
    (folder / "params.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"params\.json is not JSON"):
        train.parse(arguments)
    (folder / "params.json").write_text('{"config": {"entropy": 1}}')
    with pytest.raises(CheckpointError, match=r"params\.json has unknown key\(s\) entropy"):
        train.parse(arguments)
    (folder / "params.json").unlink()
    assert train.parse(arguments).cfg == experiment("aliengo_amp")
    assert earlier_stages(folder, 1) == []


# The base's second stage has values of its own: decision 17.
@pytest.mark.parametrize("name", [name for name in RECIPES if name != "base"])
def test_the_last_stage_of_a_recipe_has_its_tasks_present_values(name: str, tmp_path: Path) -> None:
    assert last_stage(name, tmp_path).task == experiment(RECIPES[name].task).task


def test_the_base_learns_to_walk_before_it_pays_for_the_period(tmp_path: Path) -> None:
    first = train.parse(["--task", "aliengo_amp", *RECIPES["base"].stages[0].overrides]).cfg
    second = last_stage("base", tmp_path)
    # With this penalty from the start the robot learned to stand.
    assert first.task.reward.cadence == 0.0 < second.task.reward.cadence
    # What the second stage does not name is the first's, not the task's.
    assert second.style == first.style != experiment("aliengo_amp").style
    slope = second.task.reward.linear_velocity_slope
    assert slope == first.task.reward.linear_velocity_slope
    # It is judged under these, and trained under worse.
    judged = RolloutConfig()
    assert second.task.push.max_velocity > judged.push_velocity
    assert second.task.push.interval_s[0] < judged.push_interval_s
    assert second.task.randomization.foot_friction[0] < judged.randomization.foot_friction[0]


def last_stage(name: str, folder: Path) -> ExperimentConfig:
    """The configuration that a recipe ends with, each stage resuming the one before."""
    recipe = RECIPES[name]
    run_folder = folder / recipe.task / name
    run_folder.mkdir(parents=True)
    common = ["--task", recipe.task, "--log_root", str(folder), "--output_name", name]
    first, *later = recipe.stages
    config: ExperimentConfig = train.parse([*common, *first.overrides]).cfg
    for stage in later:
        write_params(run_folder, config, [], {})
        config = train.parse([*common, "--resume", *stage.overrides]).cfg
    return config
