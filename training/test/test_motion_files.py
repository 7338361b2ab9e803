"""Reading and writing motion files, and refusing bad ones with a message that helps."""

import json
from pathlib import Path

import numpy as np
import pytest

from aliengo_training.motion.files import FRAME_WIDTH, MotionFileError, load_motion, write_motion
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
    with pytest.raises(MotionFileError, match="another robot"):
        load_motion(path)
    clip = load_motion(path, check_kinematics=False, ground="none")
    np.testing.assert_allclose(clip.foot_positions, wavy_clip().foot_positions, atol=2e-5)


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
