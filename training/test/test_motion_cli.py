"""`motion.py` from its command line to its files."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from aliengo_training.cli.motion import main
from aliengo_training.motion import playback
from aliengo_training.motion.files import load_motion, write_motion
from aliengo_training.motion.synthesis import limp, synthesize
from aliengo_training.rendering import VideoError


@pytest.fixture
def limp_file(tmp_path: Path) -> Path:
    path = tmp_path / "limp.txt"
    write_motion(synthesize(limp("FR"), 0.6, 0.0, 0.4), path)
    return path


def test_synthesized_files_load_with_their_weight(tmp_path: Path) -> None:
    main(
        [
            *("synthesize", str(tmp_path / "out"), "--gait", "trot", "--speeds", "0.4", "0.8"),
            *("--yaw_rates", "0.5", "--weight", "2.5"),
        ]
    )
    clips = [load_motion(path) for path in sorted((tmp_path / "out").glob("*.txt"))]
    assert [clip.weight for clip in clips] == [2.5, 2.5]
    speeds = [clip.linear_velocity_b[:, 0].mean() for clip in clips]
    np.testing.assert_allclose(speeds, [0.4, 0.8], atol=1e-3)


def test_check_prints_the_figures(limp_file: Path, capsys: pytest.CaptureFixture) -> None:
    main(["check", str(limp_file), "--json"])
    (figures,) = json.loads(capsys.readouterr().out).values()
    assert figures["carried"] == ["FR"]
    main(["check", str(limp_file)])
    assert "carried            FR" in capsys.readouterr().out


def test_mirror_carries_the_other_leg(limp_file: Path, tmp_path: Path) -> None:
    main(["mirror", str(limp_file), str(tmp_path / "m.txt"), "--weight", "0.5"])
    before, after = load_motion(limp_file), load_motion(tmp_path / "m.txt")
    assert after.weight == 0.5
    np.testing.assert_allclose(
        after.angular_velocity_b[:, 2], -before.angular_velocity_b[:, 2], atol=1e-5
    )


def test_plot_writes_an_image(limp_file: Path, tmp_path: Path) -> None:
    main(["plot", str(limp_file), "--output", str(tmp_path / "plots" / "limp.png")])
    assert (tmp_path / "plots" / "limp.png").read_bytes().startswith(b"\x89PNG")


def test_playback_shows_a_robot_that_moves(limp_file: Path) -> None:
    clip = load_motion(limp_file)
    try:
        frames = list(playback.render_frames(clip, frames_per_second=4.0, width=160, height=120))
    except VideoError as error:
        pytest.skip(f"no off-screen rendering here: {error}")
    assert len(frames) == int(np.ceil(clip.duration_s * 4.0))
    assert frames[0].shape == (120, 160, 3)
    assert np.abs(frames[0].astype(int) - frames[1].astype(int)).max() > 20


def test_what_playback_misses_is_said(
    limp_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "imageio", None)
    with pytest.raises(SystemExit) as stopped:
        main(["play", str(limp_file), "--output", str(tmp_path / "limp.mp4")])
    assert stopped.value.code == 2
    assert "motion.py: error: imageio is not installed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "missing.txt"], "missing.txt: cannot be read"),
        (["synthesize", "out", "--gait", "gallop"], "'gallop': allowed are"),
    ],
)
def test_user_errors_are_one_line_and_exit_2(
    arguments: list, message: str, capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
