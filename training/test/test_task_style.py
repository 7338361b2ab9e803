"""The expert transitions are drawn from the clips as their weights say, and within one clip."""

import dataclasses

import numpy as np
import pytest
import torch

from aliengo_training.motion.clip import MotionClip
from aliengo_training.motion.scaling import ClipScaler, ScalingConfig
from aliengo_training.motion.testing import wavy_clip
from aliengo_training.tasks.style import StyleConfig, StyleReference

PERIOD_S = 0.02
SPEED = 0.5
AS_IT_IS = ScalingConfig(rate_range=(1.0, 1.0), stretch_range=(1.0, 1.0))
CONFIG = StyleConfig(speed_range=(SPEED, SPEED), speeds=1, scaling=AS_IT_IS, table_size=4000)
FAR = 10.0
"""Added to all joints of a clip to tell its states from another's [rad]."""


def far(clip: MotionClip) -> MotionClip:
    return dataclasses.replace(clip, joint_positions=clip.joint_positions + FAR)


def reference(*clips: MotionClip, seed: int = 0) -> StyleReference:
    return StyleReference(clips, CONFIG, PERIOD_S, torch.device("cpu"), seed)


def is_far(states: torch.Tensor) -> np.ndarray:
    return states[:, :12].mean(1).numpy() > FAR / 2


def test_a_clips_chance_is_its_weight_whatever_its_length() -> None:
    drawn = reference(wavy_clip(frames=61, weight=1.0), far(wavy_clip(frames=13, weight=3.0)))
    assert is_far(drawn.first).mean() == pytest.approx(0.75, abs=0.03)


def test_transitions_are_a_period_apart_and_inside_one_clip() -> None:
    drawn = reference(wavy_clip(frames=61), far(wavy_clip(frames=5)))
    np.testing.assert_array_equal(is_far(drawn.first), is_far(drawn.second))
    # Style states hold a tenth of the joint velocities behind joints and feet.
    rate = 0.5 * (drawn.first[:, 24:] + drawn.second[:, 24:]) / 0.1
    step = drawn.second[:, :12] - drawn.first[:, :12]
    np.testing.assert_allclose(step.numpy(), PERIOD_S * rate.numpy(), atol=1.5e-3)
    assert float(step.abs().max()) > 0.015


def test_every_speed_has_its_share_of_each_clip() -> None:
    config = dataclasses.replace(CONFIG, speed_range=(0.2, 1.2), speeds=6, table_size=6000)
    drawn = StyleReference(
        [wavy_clip(weight=2.0), far(wavy_clip(weight=1.0))], config, PERIOD_S, torch.device("cpu")
    )
    speeds, counts = drawn.speed.unique(return_counts=True)
    np.testing.assert_allclose(speeds.numpy(), np.linspace(0.2, 1.2, 6), rtol=1e-6)
    # What does not go into six is a row of each clip's.
    assert int(counts.max() - counts.min()) <= 2
    for speed in speeds:
        share = is_far(drawn.first[drawn.speed == speed]).mean()
        assert share == pytest.approx(is_far(drawn.first).mean(), abs=2e-3)


def test_the_draw_is_repeatable() -> None:
    first, second, other = (reference(wavy_clip(), seed=seed).first for seed in (7, 7, 8))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_clips_that_cannot_be_drawn_from_are_refused() -> None:
    with pytest.raises(ValueError, match="no reference motion"):
        reference()
    with pytest.raises(ValueError, match=r"weights are \[-1\.0\]"):
        reference(wavy_clip(weight=-1.0))
    with pytest.raises(ValueError, match=r"weights are \[0\.0, 0\.0\]"):
        reference(wavy_clip(weight=0.0), wavy_clip(weight=0.0))


def test_a_stride_at_a_speed_takes_the_shortest_clip_s_time_at_that_speed() -> None:
    slow = wavy_clip(frames=401)
    quick = dataclasses.replace(slow, frame_duration_s=0.8 * slow.frame_duration_s)
    own = 2.0 * np.pi / 6.0  # of all joints of the wavy clip
    config = StyleConfig(speed_range=(0.4, 1.0), speeds=7, table_size=100)
    speed = torch.tensor([0.0, 0.4, 0.7, 1.0, 3.0])
    for clips, stride in (([slow], own), ([slow, quick], 0.8 * own)):
        drawn = StyleReference(clips, config, PERIOD_S, torch.device("cpu"))
        rate = [ClipScaler(clips[-1], config.scaling).rate(v) for v in (0.4, 0.4, 0.7, 1.0, 1.0)]
        np.testing.assert_allclose(
            drawn.stride_time(speed).numpy(), stride / np.array(rate), rtol=0.01
        )


def test_a_clip_without_a_rhythm_has_no_stride() -> None:
    drawn = reference(wavy_clip(frames=31))  # half a stride
    assert drawn.stride_time(torch.tensor([SPEED])).tolist() == [0.0]
