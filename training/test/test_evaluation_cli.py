"""`evaluate.py` and `play_manual.py` from their command lines to their files."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from aliengo_description import robot
from aliengo_training.cli import evaluate, play_manual
from aliengo_training.evaluation import video
from aliengo_training.evaluation.keyboard import KeyboardCommand
from aliengo_training.evaluation.play import Player, play_keys, profile
from aliengo_training.evaluation.policy import OnnxPolicy
from aliengo_training.evaluation.testing import clip_trajectory, constant_policy, gait_clip
from aliengo_training.motion.files import write_motion
from aliengo_training.motion.synthesis import limp, synthesize
from aliengo_training.rendering import VideoError
from aliengo_training.sim.mujoco_cpu import MujocoCpuSimulator

RANGES = {"vx": (0.0, 1.1), "vy": (-0.3, 0.3), "wz": (-1.0, 1.0)}
SHORT = ["--rollouts", "2", "--seconds", "1.5", "--workers", "1"]


def is_picture(path: Path) -> bool:
    return path.read_bytes()[:4] == b"\x89PNG"


def test_evaluate_writes_table_figures_and_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    policy = constant_policy(tmp_path / "stand.onnx")
    write_motion(synthesize(limp("FR"), 0.6), tmp_path / "limp.txt")
    arguments = ["--policy", str(policy), "--commands", "0,0,0", "0.5,0,1"]
    arguments += ["--motion_files", str(tmp_path / "*.txt"), "--out", str(tmp_path / "out")]
    evaluate.main([*arguments, *SHORT])
    assert "| vx | vy | wz | survival % |" in capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "out" / "figures.csv").open()))
    # The motion's own speed is added to the commands.
    assert [float(row["vx"]) for row in rows] == [0.0, 0.5, 0.6]
    content = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert content["weights_sha256"] == OnnxPolicy(policy).metadata["weights_sha256"]
    assert content["conditions"]["seconds"] == 1.5
    for name in ("heat_maps.png", "gaits.png"):
        assert is_picture(tmp_path / "out" / name)


def test_compare_sets_policies_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for name, action in (("one", 0.0), ("two", 0.1)):
        constant_policy(tmp_path / f"{name}.onnx", action)
    paths = [str(tmp_path / "one.onnx"), str(tmp_path / "two.onnx")]
    out = tmp_path / "out"
    evaluate.main(["--compare", *paths, "--commands", "1.1,1,0", "--out", str(out), *SHORT])
    rows = list(csv.DictReader((out / "comparison.csv").open()))
    # The gait's own command is added, so that there is something to compare with.
    assert [(row["policy"], float(row["vx"])) for row in rows] == [
        *(("one", 1.0), ("two", 1.0)),
        *(("one", 1.1), ("two", 1.1)),
    ]
    assert float(rows[0]["duty_difference"]) == 0.0
    assert is_picture(out / "comparison.png")
    assert (out / "two" / "figures.csv").is_file()


def test_compared_policies_get_names_that_tell_them_apart() -> None:
    paths = [Path("logs/amp/run/model_3.pt"), Path("logs/fine/run/model_3.pt"), Path("m/base.onnx")]
    assert evaluate.policy_names(paths) == ["amp_run_model_3", "fine_run_model_3", "m_base"]
    assert evaluate.policy_names(paths[1:]) == ["model_3", "base"]
    with pytest.raises(ValueError, match=r"same policy twice: m/base\.onnx"):
        evaluate.policy_names([paths[2], paths[2]])


def never(*arguments: object, **options: object) -> None:
    raise AssertionError("simulated")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--policy none.onnx", "none.onnx does not exist"),
        ("--compare stand.onnx none.onnx", "none.onnx does not exist"),
        ("--compare stand.onnx stand.onnx", "the same policy twice"),
        ("--rollouts 0", "--rollouts is 0, expected at least 1"),
        ("--workers 0", "--workers is 0, expected at least 1"),
        ("--seconds inf", "seconds is inf, expected a finite number"),
        ("--rl_device cuda:0", "--rl_device cuda:0: --sim mujoco runs on the CPU"),
        ("--sim gazebo", "--sim is 'gazebo', allowed are mujoco_warp, mujoco, isaacgym"),
        ("--commands", "--commands is empty"),
        ("--commands 0:1:0,0,0", "command '0:1:0,0,0': expected vx,vy,wz"),
        ("--commands 1,0,0 nan,0,0", "command 'nan,0,0': expected vx,vy,wz (each a finite number"),
        ("--commands 0:inf:3,0,0", "command '0:inf:3,0,0': expected vx,vy,wz"),
        ("--video --video_format webm", "--video_format is 'webm', allowed are mp4, gif"),
        ("--video --video_seconds 0", "--video_seconds is 0.0, expected a finite number above 0"),
        ("--style_checkpoint none.pt", "none.pt does not exist"),
        ("--out stand.onnx", "stand.onnx"),
        ("--cfg.seed -1", "seed is -1, expected 0 to"),
        ("--cfg.push_velocity nan", "push_velocity is nan, expected a finite number"),
    ],
)
def test_evaluate_refuses_before_it_simulates_or_writes(
    arguments: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setattr(evaluate, "evaluate", never)
    monkeypatch.setenv("COLUMNS", "200")  # tyro wraps what dataclasses refuse
    monkeypatch.chdir(tmp_path)
    constant_policy(tmp_path / "stand.onnx")
    with pytest.raises(SystemExit) as ending:
        evaluate.main(["--policy", "stand.onnx", "--out", "out", *arguments.split()])
    assert ending.value.code == 2
    output = capsys.readouterr()
    assert message in output.out + output.err
    assert [path.name for path in tmp_path.iterdir()] == ["stand.onnx"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--seconds -3", "--seconds is -3.0, expected a finite number above 0"),
        ("--seconds 0", "--seconds is 0.0, expected a finite number above 0"),
        ("--seconds nan", "--seconds is nan, expected a finite number above 0"),
        ("--command nan 0 0", "--command is nan 0 0, expected finite numbers"),
        ("--command 0 0 inf", "--command is 0 0 inf, expected finite numbers"),
        ("--seed -1", "--seed is -1, expected 0 to"),
        ("--policy none.onnx", "none.onnx does not exist"),
    ],
)
def test_play_refuses_before_it_simulates_or_writes(
    arguments: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setattr(play_manual, "make_simulator", never)
    monkeypatch.chdir(tmp_path)
    constant_policy(tmp_path / "stand.onnx")
    with pytest.raises(SystemExit) as ending:
        play_manual.main(["--policy", "stand.onnx", "--headless", *arguments.split()])
    assert ending.value.code == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["stand.onnx"]


def test_commands_that_the_robot_would_clip_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    policy = constant_policy(tmp_path / "stand.onnx")  # vx 0 to 1.1, vy +-0.3, wz +-1
    arguments = ["--policy", str(policy), "--out", str(tmp_path / "out"), *SHORT]
    evaluate.main([*arguments, "--commands", "1.1,0.3,-1", "3,0,0", "0,0,-1.5"])
    (line,) = capsys.readouterr().err.splitlines()
    assert "the robot would clip them: 3,0,0 0,0,-1.5" in line
    assert "stand: commands beyond its command_ranges (vx 0 to 1.1, vy -0.3 to 0.3" in line
    evaluate.main([*arguments, "--commands", "1.1,0.3,-1"])
    assert capsys.readouterr().err == ""
    common = ["--policy", str(policy), "--headless", "--seconds", "0.1"]
    common += ["--log_root", str(tmp_path / "logs")]
    play_manual.main([*common, "--command", "3", "0", "0"])
    (line,) = capsys.readouterr().err.splitlines()
    assert "the robot would clip them: 3,0,0" in line
    play_manual.main(common)
    assert capsys.readouterr().err == ""


def test_a_range_without_zero_still_allows_standing(tmp_path: Path) -> None:
    ranges = {"vx": (0.2, 1.0), "vy": (0.0, 0.0), "wz": (-1.0, -0.5)}
    policy = OnnxPolicy(constant_policy(tmp_path / "p.onnx"))
    policy.metadata = {**policy.metadata, "command_ranges": ranges}
    # As the robot's commander clips: to the range and to standing.
    assert policy.beyond_ranges([(0.0, 0.0, 0.0), (0.1, 0.0, -0.2)]) is None
    assert policy.beyond_ranges([(-0.1, 0.0, 0.0)]) is not None


def test_headless_play_writes_the_plots(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    policy = constant_policy(tmp_path / "stand.onnx")
    logs = tmp_path / "logs"
    play_manual.main(
        ["--policy", str(policy), "--headless", "--seconds", "1", "--log_root", str(logs)]
    )
    assert "0 falls" in capsys.readouterr().out
    for name in ("vel_tracking.png", "joints.png", "contacts.png"):
        assert is_picture(logs / name)


def test_play_on_a_gpu_needs_a_backend_that_has_one(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    policy = constant_policy(tmp_path / "stand.onnx")
    common = ["--policy", str(policy), "--headless", "--seconds", "0.2", "--rl_device", "cuda:0"]
    play_manual.main([*common, "--log_root", str(tmp_path / "logs")])
    output = capsys.readouterr()
    assert "--rl_device cuda:0 is not used: the default --sim mujoco runs on the CPU" in output.err
    assert "wrote" in output.out
    with pytest.raises(SystemExit):
        play_manual.main([*common, "--sim", "mujoco"])
    assert "--sim mujoco runs on the CPU, found device 'cuda:0'" in capsys.readouterr().err


def test_play_names_the_runs_that_exist(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "aliengo_amp" / "morning").mkdir(parents=True)
    with pytest.raises(SystemExit):
        play_manual.main(["--load_run", "evening", "--headless", "--log_root", str(tmp_path)])
    assert "existing runs: morning" in capsys.readouterr().err


def test_keys_move_the_command_within_the_ranges() -> None:
    keyboard = KeyboardCommand(RANGES)
    for _ in range(20):
        assert keyboard.press("w")
    assert keyboard.command[0] == 1.1
    keyboard.press("a")
    keyboard.press("E")
    np.testing.assert_allclose(keyboard.command, [1.1, -0.1, 0.2])
    assert not keyboard.press("z")
    for _ in range(11):
        keyboard.press("s")
    assert keyboard.command[0] == 0.0
    keyboard.press(" ")
    np.testing.assert_array_equal(keyboard.command, 0.0)


def test_playing_by_keys_records_what_was_commanded(tmp_path: Path) -> None:
    policy = OnnxPolicy(constant_policy(tmp_path / "stand.onnx"))
    simulator = MujocoCpuSimulator(1, threads=1)
    player = Player(policy, simulator)
    keys = iter(["", "w", "w", "p", "r", " ", "x"])
    play_keys(player, KeyboardCommand(RANGES), lambda: next(keys))
    simulator.close()
    commands, trajectory = player.record()
    np.testing.assert_allclose(commands[:, 0], [0.0, 0.1, 0.2, 0.2, 0.2, 0.0], atol=1e-6)
    assert trajectory.joint_positions.shape == (1, 6, 12)


def test_the_player_tells_when_the_robot_fell(tmp_path: Path) -> None:
    policy = OnnxPolicy(constant_policy(tmp_path / "fall.onnx", action=8.0))
    simulator = MujocoCpuSimulator(1, threads=1)
    player = Player(policy, simulator)
    for _ in range(150):
        player.step(np.zeros(3))
    simulator.close()
    assert player.falls == len(player.falls_s) >= 2
    joints = player.record()[1].joint_positions[0]
    bent = np.abs(joints - robot.DEFAULT_JOINT_POSITIONS).max(axis=1)
    for time_s in player.falls_s:
        step = round(time_s / player.period_s) - 1
        # The state at the time of a fall is already the next start, near the default pose.
        assert bent[step] < 0.3 < bent[step - 1]


def test_the_profile_ends_as_it_starts() -> None:
    drive = profile(RANGES, 21.0)
    np.testing.assert_array_equal(drive(0.0), 0.0)
    np.testing.assert_array_equal(drive(20.9), 0.0)
    driven = np.array([drive(t) for t in np.arange(0.0, 21.0, 0.1)])
    assert driven[:, 0].max() == pytest.approx(1.1)
    assert driven[:, 2].min() == -0.5


def test_video_shows_panels_side_by_side(tmp_path: Path) -> None:
    imageio = pytest.importorskip("imageio.v2")
    trajectory = clip_trajectory(gait_clip(limp("FR"), 0.6, 1.0), (0.6, 0.0, 0.0), 1, 0.4)
    path = tmp_path / "two.gif"
    try:
        count = video.write_video([("left", trajectory), ("right", trajectory)], path, 10.0)
    except VideoError as error:
        pytest.skip(str(error))
    frames = imageio.mimread(str(path))
    assert count == 4
    height, width = frames[0].shape[:2]
    assert (width, height) == (960, 384)
    assert np.asarray(frames[0])[30:].std() > 10.0
