"""The period at which joints repeat their motion, in recordings and in clips alike."""

from __future__ import annotations

import numpy as np

__all__ = ["gait_period", "without_drift"]

_SLOWEST_GAIT_HZ, _FASTEST_GAIT_HZ = 0.4, 6.0
#: Correlation with itself a period later, at least, to call a motion a rhythm.
_WEAKEST_RHYTHM = 0.4
#: Joints that move less than this (root mean square about their mean) do not walk [rad].
_STILL_RAD = 0.02


def gait_period(joints: np.ndarray, period_s: float) -> float:
    """Period at which the joints repeat best [s]; NaN without a rhythm.

    The first clear peak of the autocorrelation summed over the joints, refined by a parabola; a
    slow drift (a cubic over time) is taken out first. Unlike the strongest Fourier component it is
    not misled by a strong second harmonic.

    Args:
        joints: (T, J) joint positions [rad].
        period_s: Time between samples [s].
    """
    moving = without_drift(joints)
    count = len(moving)
    first = max(2, int(np.ceil(1.0 / (_FASTEST_GAIT_HZ * period_s))))
    last = min(int(1.0 / (_SLOWEST_GAIT_HZ * period_s)), count // 2)
    if last <= first or np.sqrt(np.mean(moving**2)) < _STILL_RAD:
        return float("nan")
    match = _autocorrelation(moving, last + 1)
    peaks = [
        lag
        for lag in range(first, last + 1)
        if match[lag] >= match[lag - 1] and match[lag] > match[lag + 1]
    ]
    if not peaks or max(match[lag] for lag in peaks) < _WEAKEST_RHYTHM:
        return float("nan")
    best = max(match[lag] for lag in peaks)
    lag = next(lag for lag in peaks if match[lag] > 0.9 * best)
    curvature = match[lag - 1] - 2.0 * match[lag] + match[lag + 1]
    shift = 0.5 * (match[lag - 1] - match[lag + 1]) / curvature if curvature != 0.0 else 0.0
    return float((lag + shift) * period_s)


def without_drift(joints: np.ndarray) -> np.ndarray:
    """Subtract the best cubic over time from each joint (T, J)."""
    time = np.linspace(-1.0, 1.0, len(joints))
    trend = np.polynomial.legendre.legvander(time, min(3, len(joints) - 1))
    coefficients, *_ = np.linalg.lstsq(trend, joints, rcond=None)
    return np.asarray(joints - trend @ coefficients)


def _autocorrelation(signal: np.ndarray, last: int) -> np.ndarray:
    """Correlation of a signal (T, J) with itself at lags 0..last, over what overlaps."""
    count = len(signal)
    spectrum = np.fft.rfft(signal, 2 * count, axis=0)
    products = np.fft.irfft(np.abs(spectrum) ** 2, axis=0).sum(axis=1)[: last + 1]
    energy = np.concatenate([[0.0], np.cumsum((signal**2).sum(axis=1))])
    lags = np.arange(last + 1)
    head, tail = energy[count - lags], energy[count] - energy[lags]
    return np.asarray(products / np.maximum(np.sqrt(head * tail), 1e-12))
