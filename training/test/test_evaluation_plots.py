"""What the pictures of an evaluation, of a played run and of a sweep show."""

import dataclasses
from pathlib import Path
from typing import Any, List, Sequence, Tuple

import numpy as np
import pytest
from matplotlib.figure import Figure

from aliengo_training.evaluation.figures import rollout_figures, summarise
from aliengo_training.evaluation.grid import Evaluation
from aliengo_training.evaluation.play_plots import plot_play
from aliengo_training.evaluation.plots import plot_comparison
from aliengo_training.evaluation.testing import clip_trajectory, gait_clip
from aliengo_training.motion.synthesis import limp
from aliengo_training.sweep.plots import plot_sweep
from aliengo_training.sweep.points import Curve


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> List[Any]:
    """The figures as they were saved, in their order."""
    saved: List[Any] = []
    save = Figure.savefig

    def keep(figure: Any, *arguments: Any, **options: Any) -> None:
        saved.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return saved


def legend_texts(axis: Any) -> List[str]:
    return [text.get_text() for text in axis.get_legend().get_texts()]


def play(tmp_path: Path, falls_s: Sequence[float]) -> None:
    trajectory = clip_trajectory(gait_clip(limp("FR"), 0.6, 3.0), (3.0, 0.0, 0.0), 1, 3.0)
    plot_play(np.tile([3.0, 0.0, 0.0], (150, 1)), trajectory, falls_s, tmp_path)


def test_falls_are_marked_and_told(tmp_path: Path, figures: List[Any]) -> None:
    play(tmp_path, (1.0, 2.0))
    tracking, joints, contacts = figures
    assert tracking._suptitle.get_text() == "velocity tracking: 2 falls, which the RMSE includes"
    for axis in (*tracking.axes, *joints.axes[:12], *contacts.axes):
        upright = [line for line in axis.lines if len(set(line.get_xdata())) == 1]
        assert [line.get_xdata()[0] for line in upright] == [1.0, 2.0]
    for axis in (*tracking.axes, contacts.axes[1]):
        assert legend_texts(axis).count("fall: the robot starts again") == 1
    figures.clear()
    play(tmp_path, ())
    assert figures[0]._suptitle.get_text() == "velocity tracking: no fall"
    assert not any("fall" in text for text in legend_texts(figures[0].axes[0]))


def test_legends_hide_no_curve(tmp_path: Path, figures: List[Any]) -> None:
    play(tmp_path, (1.0,))
    tracking, joints, contacts = figures
    for axis in (*tracking.axes, contacts.axes[1]):
        assert not axis.get_legend().get_window_extent().overlaps(axis.get_window_extent())
    (legend,) = joints.legends
    assert not any(
        legend.get_window_extent().overlaps(axis.get_window_extent()) for axis in joints.axes
    )


def test_torques_have_a_legend_a_label_and_a_place_of_their_own(
    tmp_path: Path, figures: List[Any]
) -> None:
    play(tmp_path, ())
    joints = figures[1]
    texts = [text.get_text() for text in joints.legends[0].get_texts()]
    assert texts == ["target", "position", "torque (right scale)"]
    angles, torques = joints.axes[:12], joints.axes[12:]
    for angle, torque in zip(angles, torques):
        assert torque.get_ylabel() == "torque [N m]"
        lowest = min(np.min(line.get_ydata()) for line in angle.lines[:2])
        limit = torque.get_yticks()[-1]
        # Where the torque is at its limit it is still below every angle.
        assert (
            torque.transData.transform((0.0, limit))[1]
            < angle.transData.transform((0.0, lowest))[1]
        )


def evaluation(name: str, commands: Sequence[Tuple[float, float, float]]) -> Evaluation:
    clip = gait_clip(limp("FR"), 0.6, 4.0)
    (figure,) = summarise(rollout_figures(clip_trajectory(clip, (1.0, 0.0, 0.0), 1, 4.0)))
    judged = [dataclasses.replace(figure, vx=vx, vy=vy, wz=wz) for vx, vy, wz in commands]
    return Evaluation(name, judged, {}, 0)


def test_policies_that_coincide_can_be_told_apart(tmp_path: Path, figures: List[Any]) -> None:
    commands = [(0.5, 0.0, 0.0), (1.0, 0.0, 0.0), (1.1, 0.0, 2.0)]
    three = [evaluation(name, commands) for name in ("base", "fine", "residual")]
    plot_comparison(three, tmp_path / "comparison.png")
    lines = figures[0].axes[0].lines
    assert legend_texts(figures[0].axes[0]) == ["base", "fine", "residual"]
    assert len({line.get_linestyle() for line in lines}) == 3
    assert len({line.get_marker() for line in lines}) == 3
    # What is drawn later, over the others, is narrower.
    for size in ("linewidth", "markersize"):
        sizes = [getattr(line, f"get_{size}")() for line in lines]
        assert sizes == sorted(sizes, reverse=True)
        assert len(set(sizes)) == 3


def test_errors_of_commands_that_do_not_occur_have_no_panel(
    tmp_path: Path, figures: List[Any]
) -> None:
    straight, turn, sideways = (1.0, 0.0, 0.0), (1.1, 0.0, 2.0), (1.1, 1.0, 0.0)
    for commands, expected in (
        ((straight,), []),
        ((straight, turn), ["RMSE wz [rad/s] by command"]),
        ((straight, sideways), ["RMSE vy [m/s] by command"]),
        ((straight, sideways, turn), ["RMSE vy [m/s] by command", "RMSE wz [rad/s] by command"]),
    ):
        plot_comparison([evaluation("base", commands)], tmp_path / "comparison.png")
        axes = figures.pop().axes
        assert [axis.get_title() for axis in axes[6:]] == expected
        assert all(axis.lines or axis.patches for axis in axes)


def test_labels_of_a_sweep_do_not_cover_each_other(tmp_path: Path, figures: List[Any]) -> None:
    curves = [
        Curve("residual.bound", (0.5, 1.0, 2.0, 4.0), ("b0", "b1", "default", "b4")),
        Curve("residual.lambda_l2.end", (0.0, 0.01, 0.1), ("l0", "default", "l2")),
        Curve("amp.style_weight", (0.0, 0.5, 1.0), ("s0", "default", "s2")),
    ]
    places = {
        **{"default": (0.1, 0.08), "b0": (0.05, 0.2), "b1": (0.0995, 0.081)},
        **{"b4": (0.1005, 0.0805), "l0": (0.15, 0.07), "l2": (0.099, 0.08)},
        **{"s0": (0.2, 0.09), "s2": (0.1, 0.08)},
    }
    rows = {
        point: {"gait_difference": x, "tracking_error": y, "residual_rms": 2.0 * x}
        for point, (x, y) in places.items()
    }
    plot_sweep(curves, rows, {"residual.bound": "default"}, tmp_path / "sweep.png")
    (figure,) = figures
    for axis in figure.axes:
        boxes = [text.get_window_extent() for text in axis.texts]
        assert len(boxes) == 10
        for number, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[:number])
