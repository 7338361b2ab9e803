"""Round trips: key points of a known motion give that motion back."""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from aliengo_description import robot
from aliengo_training.cli.motion import main
from aliengo_training.motion import rotations
from aliengo_training.motion.clip import MotionClip
from aliengo_training.motion.files import load_motion
from aliengo_training.motion.keypoints import (
    NAMES,
    KeypointError,
    Keypoints,
    keypoints_of,
    read_keypoints,
    write_keypoints,
)
from aliengo_training.motion.retarget import RetargetConfig, retarget
from aliengo_training.motion.synthesis import GAITS, limp, synthesize
from aliengo_training.motion.testing import wavy_clip

EXACT = RetargetConfig(lowpass_hz=None, lock_feet=False)


def made(gait: str = "trot") -> MotionClip:
    return synthesize(limp("FR") if gait == "limp" else GAITS[gait], 0.5, 0.05, 0.4)


def without_spine(keypoints: Keypoints) -> Keypoints:
    points = {n: v for n, v in keypoints.points.items() if n not in ("neck", "tail_base")}
    return dataclasses.replace(keypoints, points=points)


def test_without_smoothing_the_round_trip_is_exact() -> None:
    clip = wavy_clip()
    again, report = retarget(without_spine(keypoints_of(clip, scale=1.7)), EXACT)
    np.testing.assert_allclose(again.joint_positions, clip.joint_positions, atol=1e-9)
    np.testing.assert_allclose(again.root_quaternion, clip.root_quaternion, atol=1e-9)
    np.testing.assert_allclose(again.root_position[:, :2], clip.root_position[:, :2], atol=1e-9)
    assert report.scale == pytest.approx(1.0 / 1.7)
    assert report.tracking_error_max < 1e-9
    assert report.limit_violations == 0.0


@pytest.mark.parametrize("gait", ["walk", "trot", "limp"])
@pytest.mark.parametrize("scale", [0.8, 100.0])
def test_round_trip_with_all_processing(gait: str, scale: float) -> None:
    clip = made(gait)
    config = RetargetConfig(lowpass_hz=15.0)
    again, report = retarget(keypoints_of(clip, scale), config)
    error = np.abs(again.joint_positions - clip.joint_positions)
    assert error.max() <= 0.03
    assert report.tracking_error_max < 0.01
    assert report.foot_slip < 0.1
    standing = (clip.foot_heights() < 1e-6).mean(axis=0)
    np.testing.assert_allclose(list(report.duty.values()), standing, atol=0.15)


def test_noisy_key_points_are_smoothed_and_feet_stand() -> None:
    clip, rng = made("walk"), np.random.default_rng(0)
    points = keypoints_of(clip)
    noisy = {name: v + rng.normal(0.0, 0.004, v.shape) for name, v in points.points.items()}
    raw, _ = retarget(dataclasses.replace(points, points=noisy), EXACT)
    clean, report = retarget(dataclasses.replace(points, points=noisy), RetargetConfig())
    truth = clip.joint_velocities

    def error(c: MotionClip) -> float:
        return float(np.sqrt(np.mean((c.joint_velocities - truth) ** 2)))

    assert error(clean) < 0.5 * error(raw)
    assert report.foot_slip < 0.1


def test_what_legs_cannot_do_is_cut_off_and_reported() -> None:
    points = keypoints_of(made())
    clip, report = retarget(points, RetargetConfig(leg_scale=1.6))
    assert report.unreachable > 0.5
    assert report.tracking_error_max > 0.05
    assert np.isfinite(clip.joint_positions).all()
    low, report = retarget(points, RetargetConfig(leg_scale=0.3))
    assert report.limit_violations > 0.1
    assert report.limit_violation_max > 0.0
    assert np.all(low.joint_positions >= robot.SAFE_JOINT_LOWER - 1e-12)
    assert np.all(low.joint_positions <= robot.SAFE_JOINT_UPPER + 1e-12)


def test_widening_moves_feet_outwards() -> None:
    clip, _ = retarget(keypoints_of(made()), dataclasses.replace(EXACT, widen_m=0.02))
    moved = clip.foot_positions[..., 1] - made().foot_positions[..., 1]
    np.testing.assert_allclose(moved, np.tile(0.02 * robot.LEG_SIDE, (len(clip), 1)), atol=1e-9)


def test_the_spine_counts_for_half_of_the_heading() -> None:
    clip = made()
    keypoints = keypoints_of(clip)
    swung = dict(keypoints.points)
    for name in ("neck", "tail_base"):  # the trunk's legs straight, its spine turned by 0.2 rad
        local = swung[name] - clip.root_position
        turn = rotations.exponential(np.tile([0.0, 0.0, 0.2], (len(clip), 1)))
        swung[name] = rotations.rotate(turn, local) + clip.root_position
    turned, _ = retarget(dataclasses.replace(keypoints, points=swung), EXACT)
    yaw = rotations.to_roll_pitch_yaw(turned.root_quaternion)[:, 2]
    expected = rotations.to_roll_pitch_yaw(clip.root_quaternion)[:, 2] + 0.1
    np.testing.assert_allclose(yaw, expected, atol=1e-6)


def test_json_and_csv_hold_the_same(tmp_path: Path) -> None:
    points = keypoints_of(made())
    write_keypoints(points, tmp_path / "k.json")
    with (tmp_path / "k.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([f"dog_{name}_{axis}" for name in NAMES for axis in "xyz"])
        for frame in range(len(points.points["neck"])):
            writer.writerow([v for name in NAMES for v in points.points[name][frame]])
    a = read_keypoints(tmp_path / "k.json")
    b = read_keypoints(tmp_path / "k.csv", 50.0, {f"dog_{name}": name for name in NAMES})
    assert a.frame_rate == pytest.approx(50.0)
    for name in NAMES:
        np.testing.assert_allclose(a.points[name], b.points[name], atol=1e-4)


def test_bad_key_points_are_refused(tmp_path: Path) -> None:
    points = keypoints_of(made()).points
    with pytest.raises(KeypointError, match=r"missing points \['left_hip'\]"):
        Keypoints({n: v for n, v in points.items() if n != "left_hip"}, 30.0)
    with pytest.raises(KeypointError, match=r"unknown points \['nose'\]"):
        Keypoints(dict(points, nose=points["neck"]), 30.0)
    with pytest.raises(KeypointError, match=r"neck has shape \(3, 3\)"):
        Keypoints(dict(points, neck=points["neck"][:3]), 30.0)
    spoilt = points["neck"].copy()
    spoilt[7, 1] = np.nan
    with pytest.raises(KeypointError, match="neck is not finite in frame 7"):
        Keypoints(dict(points, neck=spoilt), 30.0)
    with pytest.raises(KeypointError, match="does not exist"):
        read_keypoints(tmp_path / "none.json")
    (tmp_path / "k.json").write_text(json.dumps({"points": {}}))
    with pytest.raises(KeypointError, match="cannot be read as key points"):
        read_keypoints(tmp_path / "k.json")
    with pytest.raises(KeypointError, match="frame rate is inf"):
        Keypoints(points, float("inf"))
    (tmp_path / "k.json").write_text(json.dumps({"frame_rate": [30], "keypoints": {}}))
    with pytest.raises(KeypointError, match="cannot be read as key points"):
        read_keypoints(tmp_path / "k.json")
    (tmp_path / "k.json").write_text(json.dumps({"keypoints": {"nose": [[0, 0, 0]]}}))
    with pytest.raises(KeypointError, match="no frame rate"):
        read_keypoints(tmp_path / "k.json")
    with pytest.raises(KeypointError, match=r"has the points \['nose'\]"):
        read_keypoints(tmp_path / "k.json", 30.0)


def test_names_are_of_the_file_and_of_the_known_points(tmp_path: Path) -> None:
    path, made_points = tmp_path / "k.json", keypoints_of(made())
    points = dict(made_points.points, paw=made_points.points["left_front_foot"])
    points["left_front_foot"] = points["neck"]
    document = {name: values.tolist() for name, values in points.items()}
    path.write_text(json.dumps({"frame_rate": 50.0, "keypoints": document}))
    # What the user names wins over the point that already has the name.
    found = read_keypoints(path, names={"paw": "left_front_foot"}).points
    np.testing.assert_array_equal(found["left_front_foot"], points["paw"])
    for names, message in (
        ({"foo": "bar"}, r"no point 'foo' to take as 'bar'; it has \['left_front_foot'"),
        ({"paw": "bar"}, "'paw' cannot be 'bar'; allowed are left_shoulder"),
        ({"paw": "neck", "left_hip": "neck"}, "more than one point is to be 'neck'"),
    ):
        with pytest.raises(KeypointError, match=message):
            read_keypoints(path, names=names)


@pytest.mark.parametrize("name", ["scale", "leg_scale", "contact_height_m", "contact_speed"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_settings_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} is {value}: expected a finite number, more"):
        retarget(keypoints_of(made()), RetargetConfig(**{name: value}))


def test_no_low_pass_of_key_points_is_0_or_none() -> None:
    points = keypoints_of(made())
    clips = [retarget(points, RetargetConfig(lowpass_hz=hz))[0] for hz in (None, 0.0)]
    np.testing.assert_array_equal(clips[0].joint_positions, clips[1].joint_positions)


def test_the_shipped_sample_becomes_a_motion_file(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    sample = Path(__file__).resolve().parents[1] / "samples" / "keypoints_walk.json"
    main(["retarget", str(sample), str(tmp_path / "walk.txt")])
    report = json.loads(capsys.readouterr().out.split("\n", 1)[1])
    assert report["tracking_error_max"] < 0.03
    assert load_motion(tmp_path / "walk.txt").linear_velocity_b[:, 0].mean() == pytest.approx(
        0.5, abs=0.02
    )
