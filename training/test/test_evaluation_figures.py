"""From trajectories to figures, tables and files."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from aliengo_training.evaluation.figures import (
    clip_cycle,
    merge,
    rollout_figures,
    summarise,
)
from aliengo_training.evaluation.grid import Evaluation
from aliengo_training.evaluation.report import (
    comparison_table,
    gait_difference,
    markdown_table,
    write_csv,
    write_json,
)
from aliengo_training.evaluation.rollouts import RolloutConfig, Trajectory
from aliengo_training.evaluation.testing import clip_trajectory, gait_clip
from aliengo_training.motion.synthesis import GAITS, limp

SPEED = 0.6
LIMP = limp("FR")


@pytest.fixture(scope="module")
def limping() -> Trajectory:
    clip = gait_clip(LIMP, SPEED, 8.0)
    return clip_trajectory(clip, (SPEED, 0.0, 0.0), rollouts=3, seconds=8.0)


def test_a_limp_that_follows_its_own_clip(limping: Trajectory) -> None:
    cycle = clip_cycle(gait_clip(LIMP, SPEED, 3.0))
    assert cycle is not None
    (figures,) = summarise(rollout_figures(limping, [cycle]))
    assert figures.survival == 1.0
    assert figures.rollouts == 3
    assert figures.carried == ("FR",)
    assert figures.duty["FL"] == pytest.approx(LIMP.duty, abs=0.05)
    assert figures.period_s == pytest.approx(LIMP.period_s, rel=0.02)
    assert figures.period_ratio == pytest.approx(1.0, abs=0.02)
    assert max(figures.fidelity.values()) < 0.02
    assert figures.rmse_vx < 0.01
    # FL, then RL, then RR bear, a third of the stride apart.
    assert figures.phases["FL"] == pytest.approx(-1 / 3, abs=0.03)
    assert figures.phases["RR"] == pytest.approx(1 / 3, abs=0.03)


def test_one_rollout_read_as_two_strides_does_not_move_the_period(limping: Trajectory) -> None:
    cycle = clip_cycle(gait_clip(LIMP, SPEED, 3.0))
    assert cycle is not None
    rows = rollout_figures(limping, [cycle])
    rows["period_s"][0] *= 2.0
    rows["period_ratio"][0] *= 2.0
    (figures,) = summarise(rows)
    assert figures.period_s == pytest.approx(LIMP.period_s, rel=0.02)
    assert figures.period_ratio == pytest.approx(1.0, abs=0.02)


def test_another_gait_is_far_from_the_clip() -> None:
    cycle = clip_cycle(gait_clip(LIMP, 0.4, 3.0))
    assert cycle is not None
    trot = clip_trajectory(gait_clip(GAITS["trot"], 0.4, 6.0), (cycle.speed, 0.0, 0.0), 1, 6.0)
    (figures,) = summarise(rollout_figures(trot, [cycle]))
    assert figures.fidelity["FR"] > 0.2
    assert figures.period_ratio == pytest.approx(0.5 / 0.45, rel=0.03)


def test_fidelity_is_only_measured_at_the_clip_s_speed(limping: Trajectory) -> None:
    cycle = clip_cycle(gait_clip(limp("FR"), 0.4, 3.0))
    assert cycle is not None
    (figures,) = summarise(rollout_figures(limping, [cycle]))
    assert np.isnan(figures.period_ratio)


def test_falls_count_for_survival_and_for_nothing_else(limping: Trajectory) -> None:
    limping.alive.flags.writeable = True
    alive = limping.alive.copy()
    alive[0, 100:] = False
    velocity = limping.linear_velocity_b.copy()
    velocity[0] = 99.0
    changed = Trajectory(**{**vars(limping), "alive": alive, "linear_velocity_b": velocity})
    (figures,) = summarise(rollout_figures(changed))
    assert figures.survival == pytest.approx(2 / 3)
    assert figures.rmse_vx < 0.01
    alive[:] = False
    (figures,) = summarise(rollout_figures(changed))
    assert figures.survival == 0.0
    assert np.isnan(figures.rmse_vx)
    assert figures.carried == ()


def test_settling_and_pushes_are_left_out_of_the_steady_figures(limping: Trajectory) -> None:
    velocity = limping.linear_velocity_b.copy()
    velocity[:, :50, 0] = 9.0
    velocity[:, 200:250, 0] = SPEED + 1.0
    settled = np.arange(400) >= 50
    steady = settled.copy()
    steady[200:250] = False
    windows = {"settled": settled, "steady": steady, "linear_velocity_b": velocity}
    (figures,) = summarise(rollout_figures(Trajectory(**{**vars(limping), **windows})))
    assert figures.rmse_vx == pytest.approx(np.sqrt(50 / 350), rel=0.01)
    assert figures.steady_rmse_vx < 0.01


def test_steps_after_pushes_are_left_out_of_the_steady_lift_offs(limping: Trajectory) -> None:
    steady = np.ones(400, dtype=bool)
    steady[200:250] = False
    (calm,) = summarise(rollout_figures(Trajectory(**{**vars(limping), "steady": steady})))
    # Pattering feet: every second sample of a second after a push is on the ground.
    forces = limping.foot_forces.copy()
    forces[:, 200:250] = np.where(np.arange(50)[None, :, None] % 2, 70.0, 0.0)
    pattering = {"steady": steady, "foot_forces": forces}
    (figures,) = summarise(rollout_figures(Trajectory(**{**vars(limping), **pattering})))
    # Three legs step once a stride, the fourth never does.
    assert calm.lift_offs_per_s == pytest.approx(0.75 / LIMP.period_s, rel=0.1)
    assert calm.steady_lift_offs_per_s == pytest.approx(calm.lift_offs_per_s, rel=0.1)
    assert figures.steady_lift_offs_per_s == calm.steady_lift_offs_per_s
    assert figures.lift_offs_per_s > calm.lift_offs_per_s + 2.0


def test_merged_parts_are_one_command(limping: Trajectory) -> None:
    rows = merge([rollout_figures(limping), rollout_figures(limping)])
    (figures,) = summarise(rows)
    assert figures.rollouts == 6


def test_gaits_are_compared_by_duty_and_phase(limping: Trajectory) -> None:
    (one,) = summarise(rollout_figures(limping))
    trot = clip_trajectory(gait_clip(GAITS["trot"], SPEED, 8.0), (SPEED, 0.0, 0.0), 1, 8.0)
    (other,) = summarise(rollout_figures(trot))
    assert gait_difference(one, one) == (0.0, 0.0)
    duty, phase = gait_difference(other, one)
    # The carried leg alone differs by 0.55, the others by a tenth.
    assert duty == pytest.approx((0.55 + 3 * (2 / 3 - 0.55)) / 4, abs=0.03)
    # In the trot FL comes half a stride from RL and RR, too: 1/6 from the limp's thirds.
    assert phase == pytest.approx(1 / 6, abs=0.03)


def test_files_hold_what_the_table_says(limping: Trajectory, tmp_path: Path) -> None:
    figures = summarise(rollout_figures(limping))
    evaluation = Evaluation("limp", figures, {}, 1200)
    table = markdown_table(figures)
    assert "| 0.60 | 0.00 | 0.00 | 100.0 |" in table
    assert "| FR |" in table
    write_csv(tmp_path / "f.csv", [f.flat() for f in figures])
    (row,) = csv.DictReader((tmp_path / "f.csv").open())
    assert float(row["duty_FR"]) == 0.0
    write_json(tmp_path / "f.json", evaluation, RolloutConfig(), {"policy": "x.onnx"})
    content = json.loads((tmp_path / "f.json").read_text())
    assert content["commands"][0]["carried"] == "FR"
    assert content["commands"][0]["style_reward"] is None
    assert content["conditions"]["push_velocity"] == 0.7
    text, rows = comparison_table([evaluation, evaluation], figures[0])
    assert text.count("| limp |") == 2
    assert rows[0]["duty_difference"] == 0.0
