"""Weighted sampling over reference motions: what the AMP task needs from them."""

from __future__ import annotations

from typing import Callable, Sequence

import numpy as np

from aliengo_training.motion.clip import (
    AMP_STATE_SIZE,
    MotionClip,
    MotionSample,
    amp_state,
    mirror,
    sample,
)
from aliengo_training.motion.files import MotionFileError, load_motion, write_motion

__all__ = [
    "AMP_STATE_SIZE",
    "MotionClip",
    "MotionDataset",
    "MotionFileError",
    "MotionSample",
    "amp_state",
    "load_motion",
    "mirror",
    "sample",
    "write_motion",
]


class MotionDataset:
    """Clips that are drawn by weight; within a clip every time is as likely as any other.

    A clip's chance is its weight over the sum of weights, whatever its length.
    """

    def __init__(self, clips: Sequence[MotionClip]) -> None:
        """Keep the clips; ValueError without any."""
        if not clips:
            raise ValueError("no motion clips given: expected at least one")
        self.clips: tuple[MotionClip, ...] = tuple(clips)
        weights = np.array([clip.weight for clip in self.clips])
        if np.any(weights < 0.0) or weights.sum() <= 0.0:
            raise ValueError(
                f"clip weights are {weights.tolist()}: none may be negative, one must be positive"
            )
        self.probabilities = weights / weights.sum()

    def sample_pairs(
        self, rng: np.random.Generator, count: int, dt_s: float
    ) -> tuple[MotionSample, MotionSample]:
        """Draw ``count`` pairs of states ``dt_s`` apart, both in one clip, never across its end.

        Raises:
            ValueError: If a clip is shorter than ``dt_s``.
        """
        for clip in self.clips:
            if clip.duration_s < dt_s:
                raise ValueError(
                    f"{clip.name} lasts {clip.duration_s:.4f} s, shorter than the pair's {dt_s} s"
                )
        starts = self._draw(rng, count, lambda clip: clip.duration_s - dt_s)
        first = [sample(clip, times) for clip, times in zip(self.clips, starts)]
        second = [sample(clip, times + dt_s) for clip, times in zip(self.clips, starts)]
        order = rng.permutation(count)
        return _stack(first, order), _stack(second, order)

    def sample_states(self, rng: np.random.Generator, count: int) -> MotionSample:
        """Draw ``count`` states, e.g. to start episodes from."""
        times = self._draw(rng, count, lambda clip: clip.duration_s)
        order = rng.permutation(count)
        return _stack([sample(clip, t) for clip, t in zip(self.clips, times)], order)

    def _draw(
        self, rng: np.random.Generator, count: int, span_s: Callable[[MotionClip], float]
    ) -> list[np.ndarray]:
        """Draw times per clip, ``count`` in all, uniform from 0 to ``span_s(clip)``."""
        counts = rng.multinomial(count, self.probabilities)
        return [rng.uniform(0.0, span_s(clip), n) for clip, n in zip(self.clips, counts)]


def _stack(samples: Sequence[MotionSample], order: np.ndarray) -> MotionSample:
    """Concatenate samples and put their rows into ``order``."""
    return MotionSample(
        **{
            name: np.concatenate([getattr(s, name) for s in samples])[order]
            for name in samples[0].arrays()
        }
    )
