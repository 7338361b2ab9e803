"""Rhythm of a gait of a known period: the phases of the legs, the mean cycle, how far two are apart.

All functions take one recording sampled at a fixed period; they know nothing of policies.
"""

from __future__ import annotations

import numpy as np

from aliengo_training.motion.rhythm import fit_cycle

__all__ = [
    "CYCLE_BINS",
    "cycle_distance",
    "mean_cycle",
    "phase_difference",
    "phase_offsets",
]

#: Phases that a mean cycle is given at.
CYCLE_BINS = 64
_STRIDES_PER_WINDOW = 3


def phase_offsets(
    contact: np.ndarray, stride_s: float, period_s: float, reference: int
) -> np.ndarray:
    """Share of a stride by which each foot's stance comes after that of the reference foot.

    From the phase of each contact pattern at the gait frequency relative to the reference foot's,
    over windows of a few strides, so that a stride time that varies does no harm.

    Args:
        contact: (T, 4) bool.
        stride_s: Gait period [s].
        period_s: Time between samples [s].
        reference: Index of the reference foot.

    Returns:
        (4,) in [-0.5, 0.5); NaN for feet that are always or never on the ground.
    """
    signal = contact.astype(np.float64)
    window = round(_STRIDES_PER_WINDOW * stride_s / period_s) if stride_s > 0.0 else 0
    if not 0 < window <= len(signal):
        return np.full(signal.shape[1], np.nan)
    wave = np.exp(-2j * np.pi * np.arange(window) * period_s / stride_s)
    cross = np.zeros(signal.shape[1], dtype=complex)
    for start in range(0, len(signal) - window + 1, window):
        part = signal[start : start + window]
        spectrum = wave @ (part - part.mean(axis=0))
        cross += spectrum * np.conj(spectrum[reference])
    offsets = _wrap(-np.angle(cross) / (2.0 * np.pi))
    offsets[np.abs(cross) < 1e-6] = np.nan
    return offsets


def mean_cycle(
    joints: np.ndarray, stride_s: float, period_s: float, bins: int = CYCLE_BINS
) -> np.ndarray:
    """The average cycle of the joints, (bins, J) [rad], starting at an arbitrary phase.

    Args:
        joints: (T, J) [rad].
        stride_s: Gait period [s].
        period_s: Time between samples [s].
        bins: Phases that the cycle is given at.

    Raises:
        ValueError: If the recording is shorter than one and a half periods.
    """
    if len(joints) * period_s < 1.5 * stride_s:
        raise ValueError(
            f"recording of {len(joints) * period_s:.2f} s, expected at least 1.5 periods "
            f"of {stride_s:.2f} s"
        )
    _, cycle = fit_cycle(joints, stride_s, period_s)
    return cycle(2.0 * np.pi * np.arange(bins) / bins)


def cycle_distance(cycle: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Joint-angle RMSE per leg between two cycles at the one phase shift that fits best overall.

    Args:
        cycle: (B, 12) [rad], as `mean_cycle` gives it.
        other: (B, 12) [rad].

    Returns:
        (4,) FL, FR, RL, RR [rad], each over the leg's three joints and the whole cycle.
    """
    shifts = [np.roll(cycle, shift, axis=0) - other for shift in range(len(cycle))]
    errors = [float(np.mean(difference**2)) for difference in shifts]
    best = shifts[int(np.argmin(errors))]
    return np.sqrt(np.mean(best.reshape(len(cycle), 4, 3) ** 2, axis=(0, 2)))


def phase_difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Distance around the circle of two phases in shares of a stride, 0 to 0.5."""
    return np.asarray(np.abs(_wrap(np.asarray(first) - np.asarray(second))))


def _wrap(share: np.ndarray) -> np.ndarray:
    return (share + 0.5) % 1.0 - 0.5
