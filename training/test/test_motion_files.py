"""Reading and writing motion files, and refusing bad ones with a message that helps."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from aliengo_training.motion import rotations
from aliengo_training.motion.clip import MotionClip
from aliengo_training.motion.files import (
    FRAME_WIDTH,
    MissingMotionError,
    MotionFileError,
    find_motions,
    load_motion,
    write_motion,
)
from aliengo_training.motion.testing import recorded, wavy_clip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "wavy.txt"
    write_motion(wavy_clip(weight=2.0, loop=True), file)
    return file


def edit(path: Path, change) -> Path:
    """Apply ``change`` to the parsed document and write it back."""
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    return path


def test_written_and_read_is_the_clip(path: Path) -> None:
    clip = load_motion(path, ground="none")
    for name, array in wavy_clip().arrays().items():
        np.testing.assert_allclose(getattr(clip, name), array, atol=2e-5, err_msg=name)
    assert (clip.weight, clip.loop, clip.name) == (2.0, True, "wavy.txt")


def test_quaternions_are_xyzw_in_the_file(path: Path) -> None:
    first = json.loads(path.read_text())["Frames"][0]
    np.testing.assert_allclose(first[6], wavy_clip().root_quaternion[0, 0], atol=1e-5)


def test_negative_and_unnormalised_quaternions_are_the_same_orientation(path: Path) -> None:
    before = load_motion(path)

    def spoil(document):
        for index, row in enumerate(document["Frames"]):
            factor = -1.05 if index % 3 == 0 else 0.97
            row[3:7] = [factor * value for value in row[3:7]]

    after = load_motion(edit(path, spoil))
    np.testing.assert_allclose(after.root_quaternion, before.root_quaternion, atol=2e-5)


def to_sdk_order(document) -> None:
    for row in document["Frames"]:
        for start in (7, 19, 37, 49):
            legs = np.reshape(row[start : start + 12], (4, 3))
            row[start : start + 12] = legs[[1, 0, 3, 2]].ravel().tolist()


def test_sdk_order_is_read_when_told_and_refused_when_not(path: Path) -> None:
    before = load_motion(path)
    edit(path, to_sdk_order)
    after = load_motion(path, joint_order="sdk")
    for name, array in before.arrays().items():
        np.testing.assert_allclose(getattr(after, name), array, err_msg=name)
    with pytest.raises(MotionFileError, match=r"wrong leg order.*looks like joint_order 'sdk'"):
        load_motion(path)
    with pytest.raises(ValueError, match="joint_order is 'a1'"):
        load_motion(path, joint_order="a1")


def test_joints_in_another_order_than_the_feet_are_refused(path: Path) -> None:
    def swap(document):
        for row in document["Frames"]:
            row[7:13] = row[10:13] + row[7:10]

    with pytest.raises(MotionFileError, match=r"kinematics puts F[LR]_foot.*allowed is 0\.002 m"):
        load_motion(edit(path, swap))


def test_another_robots_file_is_read_without_the_kinematics_check(path: Path) -> None:
    def shrink(document):
        for row in document["Frames"]:
            row[19:31] = [0.8 * value for value in row[19:31]]

    edit(path, shrink)
    with pytest.raises(
        MotionFileError, match=r"another robot.*--read\.no_check_kinematics.*docs/motions\.md"
    ):
        load_motion(path)
    clip = load_motion(path, check_kinematics=False, ground="none")
    np.testing.assert_allclose(clip.foot_positions, wavy_clip().foot_positions, atol=2e-5)


def turned(path: Path, roll: float, pitch: float, yaw: float) -> Path:
    """Write a clip whose trunk has this constant orientation [rad]."""
    clip, angles = wavy_clip(), np.ones(61)
    q = rotations.from_roll_pitch_yaw(roll * angles, pitch * angles, yaw * angles)
    turned_clip = MotionClip.from_pose(clip.root_position, q, clip.joint_positions, 0.02)
    write_motion(turned_clip, path)
    return path


def to_wxyz(document) -> None:
    for row in document["Frames"]:
        row[3:7] = [row[6], *row[3:6]]


@pytest.mark.parametrize("yaw", [0.0, 1.0, -1.5, 2.0])
def test_quaternions_with_w_first_are_refused(path: Path, yaw: float) -> None:
    message = (
        r"wavy.txt: the trunk is tilted by 1?\d\d degrees .*xyzw; read as wxyz it would be upright"
    )
    for ground in ("lift", "none"):
        with pytest.raises(MotionFileError, match=message):
            load_motion(edit(turned(path, 0.1, 0.05, yaw), to_wxyz), ground=ground)


def test_a_trunk_upside_down_is_refused_and_one_that_rears_is_not(path: Path) -> None:
    with pytest.raises(MotionFileError, match=r"tilted by 160 degrees .*upside down in 100%"):
        load_motion(turned(path, 2.8, 0.0, 0.0))
    for yaw in (0.0, 1.5, 3.1):
        load_motion(turned(path, 0.0, -1.4, yaw))


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    file = tmp_path / "out" / "clip.txt"
    for attributes, message in (
        ({"weight": 0.0}, "MotionWeight is 0.0, expected a positive number below"),
        ({"weight": float("nan")}, "MotionWeight is nan"),
        ({"weight": 1e6}, r"MotionWeight is 1000000\.0"),
        ({"frame_duration_s": -0.02}, "FrameDuration is -0.02"),
    ):
        with pytest.raises(MotionFileError, match=message):
            write_motion(dataclasses.replace(wavy_clip(), **attributes), file)
    clip = wavy_clip()
    clip.joint_positions[3, 2] = np.nan
    with pytest.raises(MotionFileError, match="frame 3, column 9 is nan"):
        write_motion(clip, file)
    assert not file.parent.exists()


def test_no_low_pass_is_0_or_none(path: Path) -> None:
    plain = load_motion(path, lowpass_hz=None, ground="plant")
    zero = load_motion(path, lowpass_hz=0.0, ground="plant")
    for name, array in plain.arrays().items():
        np.testing.assert_array_equal(getattr(zero, name), array, err_msg=name)


def test_patterns_and_names_find_files(tmp_path: Path) -> None:
    names = ["b.txt", "a.txt", "a[1].txt", "c.csv"]
    for name in names:
        (tmp_path / name).touch()
    found = [path.name for path in find_motions(str(tmp_path / "*.txt"))]
    assert found == ["a.txt", "a[1].txt", "b.txt"]
    assert find_motions(tmp_path / "a[1].txt") == [tmp_path / "a[1].txt"]
    with pytest.raises(MissingMotionError, match=r"no motion files match .*\*\.json'"):
        find_motions(tmp_path / "*.json")


BAD = {
    "width": (
        lambda d: d["Frames"][4].append(0.0),
        f"frame 4 has 62 numbers, expected {FRAME_WIDTH}",
    ),
    "nan": (
        lambda d: d["Frames"][5].__setitem__(9, float("nan")),
        "frame 5, column 9 is nan",
    ),
    "text": (lambda d: d["Frames"][5].__setitem__(9, "x"), "not a number"),
    "ragged": (lambda d: d["Frames"][5].__setitem__(9, [1.0]), "not a number"),
    "short": (lambda d: d["Frames"].__delitem__(slice(2, None)), "found 2, expected 3 or more"),
    "no frames": (lambda d: d.pop("Frames"), "'Frames' is missing; found"),
    "no duration": (lambda d: d.pop("FrameDuration"), "'FrameDuration' is missing"),
    "bad duration": (
        lambda d: d.update(FrameDuration=0),
        "FrameDuration is 0, expected a positive",
    ),
    "bad weight": (lambda d: d.update(MotionWeight="1"), "MotionWeight is '1'"),
    "norm": (lambda d: d["Frames"][1].__setitem__(slice(3, 7), [0, 0, 0, 0.2]), "frame 1 has a qu"),
}


@pytest.mark.parametrize("fault", sorted(BAD))
def test_bad_files_name_the_fault(path: Path, fault: str) -> None:
    change, message = BAD[fault]
    with pytest.raises(MotionFileError, match="wavy.txt: .*" + message):
        load_motion(edit(path, change))


def test_missing_and_broken_files(tmp_path: Path) -> None:
    with pytest.raises(MotionFileError, match="cannot be read"):
        load_motion(tmp_path / "none.txt")
    broken = tmp_path / "broken.txt"
    broken.write_text('{"Frames": [\n[1, 2,]]}')
    with pytest.raises(MotionFileError, match="not JSON at line 2"):
        load_motion(broken)
    broken.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MotionFileError, match="not a text file"):
        load_motion(broken)


@pytest.mark.parametrize("name", ["19limp1_1.txt", "walk+turn.txt"])
def test_recorded_clips_survive_a_round_trip(name: str, tmp_path: Path) -> None:
    clip = load_motion(recorded(name), ground="none")
    write_motion(clip, tmp_path / "copy.txt")
    copy = load_motion(tmp_path / "copy.txt", ground="none")
    for field, array in clip.arrays().items():
        np.testing.assert_allclose(getattr(copy, field), array, atol=1e-5, err_msg=field)
