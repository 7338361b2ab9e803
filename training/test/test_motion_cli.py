"""`motion.py` from its command line to its files."""

import json
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from aliengo_description import robot
from aliengo_training.cli.motion import main
from aliengo_training.motion import playback, plots
from aliengo_training.motion.analysis import analyse
from aliengo_training.motion.files import load_motion, write_motion
from aliengo_training.motion.synthesis import limp, synthesize
from aliengo_training.rendering import VideoError, open_video

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = str(ROOT / "training" / "samples" / "keypoints_walk.json")


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


@pytest.mark.parametrize("gait", ["walk", "trot", *(f"limp_{leg}" for leg in robot.LEG_NAMES)])
def test_every_gait_can_be_made_at_its_own_speeds(gait: str, tmp_path: Path) -> None:
    main(["synthesize", str(tmp_path), "--gait", gait, "--cycles", "1"])
    assert len([load_motion(path) for path in tmp_path.glob(f"{gait}_*.txt")]) == 9


def test_the_commands_of_the_page_make_what_training_may_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "motions.md").read_text(encoding="utf-8")
    lines = page.split("```")[1].strip().splitlines()
    assert len(lines) == 6
    (tmp_path / "training").symlink_to(ROOT / "training")
    monkeypatch.chdir(tmp_path)
    for line in lines:
        arguments = shlex.split(line)[2:]
        if arguments[0] != "play":  # needs OpenGL
            main(arguments)
        else:
            assert Path(arguments[1]).is_file()
    figures = [analyse(load_motion(path)) for path in Path("motions").glob("*.txt")]
    assert [clip.carried for clip in figures] == [("FR",)] * 9
    assert sorted(path.name for path in Path("other").iterdir()) == ["limp_FL.txt", "walk.txt"]


def test_check_takes_patterns_and_the_others_one_file(
    limp_file: Path, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    pattern = str(tmp_path / "*.txt")
    main(["plot", pattern, "--output", str(tmp_path / "limp.png")])
    main(["mirror", pattern, str(tmp_path / "other[1].txt")])
    capsys.readouterr()
    main(["check", pattern, str(tmp_path / "other[1].txt"), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert sorted(Path(path).name for path in found) == ["limp.txt", "other[1].txt"]
    with pytest.raises(SystemExit):
        main(["plot", pattern])
    assert "matches 2 files: expected one" in capsys.readouterr().err


def test_no_low_pass_is_0(limp_file: Path, capsys: pytest.CaptureFixture) -> None:
    outputs = []
    for options in ([], ["--read.lowpass_hz", "0"]):
        main(["check", str(limp_file), "--read.ground", "plant", *options])
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]


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


def test_legends_hide_no_curve_and_a_still_foot_is_seen(limp_file: Path) -> None:
    figure = plots.draw_clip(load_motion(limp_file))
    figure.draw_without_rendering()
    legends = [axis.get_legend() for axis in figure.axes]
    assert sum(legend is not None for legend in legends) == 5
    for legend in legends:
        for axis in figure.axes if legend else ():
            assert not legend.get_window_extent().overlaps(axis.get_window_extent())
    (paths,) = (axis for axis in figure.axes if axis.get_title().startswith("feet in the trunk"))
    markers = {line.get_label(): line.get_marker() for line in paths.get_lines()}
    assert markers == {"FL": "None", "FR": "o", "RL": "None", "RR": "None"}


def test_videos_are_mp4_or_gif(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"allowed endings are \.mp4 and \.gif"):  # noqa: SIM117
        with open_video(tmp_path / "out" / "limp.txt", 30.0):
            pass
    assert not (tmp_path / "out").exists()


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
        (["check", "missing.txt"], "no motion files match 'missing.txt'"),
        (["check", "motions/*.txt"], "no motion files match 'motions/*.txt'"),
        (["check", "."], ".: cannot be read"),
        (["check"], "check has no file"),
        (["check", "LIMP", "--read.lowpass_hz", "-1"], "cutoff is -1.0 Hz: allowed is"),
        (["mirror", "LIMP", "out/m.txt", "--weight", "0"], "MotionWeight is 0.0, expected a pos"),
        (["play", "LIMP", "--output", "out/a.gif", "--fps", "0"], "frames per second is 0.0"),
        (["play", "LIMP", "--output", "out/a.mp4", "--fps", "nan"], "frames per second is nan"),
        (["synthesize", "out", "--gait", "gallop"], "'gallop': allowed are"),
        (["synthesize", "out", "--gait", "walk", "--speeds", "0.3", "1.0"], "turns at"),
        (["synthesize", "out", "--speeds"], "--speeds has no value"),
        (["synthesize", "out", "--yaw_rates"], "--yaw_rates has no value"),
        (["synthesize", "out", "--speeds", "0.3", "0.301"], "two motions would be out"),
        (["synthesize", "out", "--speeds", "0.3", "nan"], "speed is nan"),
        (["synthesize", "out", "--weight", "0"], "MotionWeight is 0.0, expected a positive"),
        (["synthesize", "out", "--weight", "nan"], "MotionWeight is nan, expected a positive"),
        (["synthesize", "out", "--fps", "0"], "frames per second is 0.0: expected more than 0"),
        (["synthesize", "out", "--fps", "-50"], "frames per second is -50.0: expected more"),
        (["retarget", SAMPLE, "out/r.txt", "--cfg.leg_scale", "-1"], "leg_scale is -1.0: expect"),
        (["retarget", SAMPLE, "out/r.txt", "--cfg.scale", "0"], "scale is 0.0: expected"),
        (["retarget", SAMPLE, "out/r.txt", "--cfg.widen_m", "nan"], "widen_m is nan: expected"),
        (["retarget", SAMPLE, "out/r.txt", "--frame_rate", "inf"], "frame rate is inf, expected"),
        (["retarget", SAMPLE, "out/r.txt", "--names", "foo=bar"], "no point 'foo' to take as"),
        (["retarget", SAMPLE, "out/r.txt", "--names", "neck"], "'neck': expected NAME_IN_FILE"),
    ],
    ids=lambda value: "_".join(value).replace("/", "_") if isinstance(value, list) else "",
)
def test_user_errors_are_one_line_and_exit_2(
    arguments: list,
    message: str,
    limp_file: Path,
    capsys: pytest.CaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main([str(limp_file) if word == "LIMP" else word for word in arguments])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == [limp_file]
