"""The picture of the warm-ups: drawn when a residual run begins, and again over what it logged."""

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import image

from aliengo_training.checkpoints import save_checkpoint
from aliengo_training.cli import schedules, train
from aliengo_training.learning import schedule_plots
from aliengo_training.learning.networks import ActorCritic
from aliengo_training.learning.residual import ResidualConfig, Schedule
from aliengo_training.learning.run_metrics import read_metrics
from aliengo_training.learning.schedule_plots import plot_schedules

CONFIG = ResidualConfig(lambda_l2=Schedule(0.0, 0.5, 4), noise_scale=Schedule(2.0, 1.0, 4))


def test_rows_that_were_logged_twice_count_once_and_the_later_one_wins(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    assert read_metrics(path) == {}
    path.write_text("iteration,lambda_l2,style\n1,0.0,\n2,0.1,0.5\n3,0.9,\n2,0.2,0.6\n")
    columns = read_metrics(path)
    np.testing.assert_array_equal(columns["iteration"], [1, 2, 3])
    np.testing.assert_array_equal(columns["lambda_l2"], [0.0, 0.2, 0.9])
    np.testing.assert_array_equal(columns["style"], [np.nan, 0.6, np.nan])


def test_what_was_logged_is_drawn_over_the_plan(tmp_path: Path) -> None:
    planned = image.imread(str(plot_schedules(CONFIG, tmp_path)))
    (tmp_path / "metrics.csv").write_text(
        "iteration,noise_scale,lambda_kl,lambda_l2,action_std\n1,2,0,0.4,0.8\n2,1.75,0,0.1,0.7\n"
    )
    drawn = image.imread(str(plot_schedules(CONFIG, tmp_path)))
    assert planned.shape == drawn.shape
    assert np.abs(planned - drawn).max() > 0.3


def test_a_residual_run_leaves_the_picture_and_logs_what_was_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    torch.manual_seed(1)
    base = tmp_path / "model_1.pt"
    model = ActorCritic(45, 57, 12, hidden=(8,))
    save_checkpoint(base, {"kind": "base", "model": model.state_dict()})
    rows_when_drawn = []
    draw = schedule_plots.plot_schedules

    def spy(config: ResidualConfig, folder: Path) -> Path:
        rows_when_drawn.append(len(read_metrics(folder / "metrics.csv").get("iteration", ())))
        return draw(config, folder)

    monkeypatch.setattr(train, "plot_schedules", spy)
    arguments = [
        "--task", "aliengo_residual", "--sim", "mujoco", "--rl_device", "cpu",
        "--base_checkpoint", str(base), "--log_root", str(tmp_path), "--cfg.num_envs", "4",
        "--cfg.ppo.rollout_steps", "4", "--cfg.ppo.epochs", "1", "--cfg.network.hidden", "8",
        "--cfg.residual.hidden", "8", "--cfg.amp.style_weight", "0", "--cfg.max_iterations", "3",
        "--cfg.residual.lambda_l2.duration", "2", "--cfg.residual.lambda_l2.end", "0.5",
    ]  # fmt: skip
    train.main(arguments)
    assert rows_when_drawn == [0, 3], "drawn neither at the start nor at the end"
    folder = tmp_path / "aliengo_residual" / "run"
    np.testing.assert_allclose(read_metrics(folder / "metrics.csv")["lambda_l2"], [0.0, 0.25, 0.5])
    (folder / "schedules.png").unlink()
    schedules.main(["--load_run", "run", "--log_root", str(tmp_path)])
    assert (folder / "schedules.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(SystemExit):
        schedules.main(["--load_run", "none", "--log_root", str(tmp_path)])
    assert "params.json is missing: the run's parameters are needed" in capsys.readouterr().err
