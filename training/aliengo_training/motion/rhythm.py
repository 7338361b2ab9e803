"""The rhythm of joints in recordings and in clips alike: its period, and the cycle that repeats."""

from __future__ import annotations

from typing import Callable

import numpy as np

__all__ = ["fit_cycle", "gait_period"]

_SLOWEST_GAIT_HZ, _FASTEST_GAIT_HZ = 0.4, 6.0
#: Correlation with itself a period later, at least, to call a motion a rhythm. Under pushes and
#: sensor noise the walks of trained policies have 0.3 to 0.5.
_WEAKEST_RHYTHM = 0.25
#: Of the highest peak's height, what the first must have: less than 1, for where long and short
#: strides take turns, two are more like the next two than one is like the next; high enough for a
#: second harmonic of 2.5 times the fundamental's amplitude, whose false peak at half the period has 0.72.
_CLEAR_PEAK = 0.75
#: Joints that move less than this (root mean square about their mean) do not walk [rad].
_STILL_RAD = 0.02
#: Harmonics of the gait frequency that describe a cycle.
_HARMONICS = 5


def gait_period(joints: np.ndarray, period_s: float) -> float:
    """Period at which the joints repeat best [s]; NaN without a rhythm.

    The first clear peak of the autocorrelation summed over the joints, refined by a parabola; a
    slow drift (a cubic over time) is taken out first. Unlike the strongest Fourier component it is
    not misled by a strong second harmonic.

    Args:
        joints: (T, J) joint positions [rad].
        period_s: Time between samples [s].
    """
    moving = _without_drift(joints)
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
    lag = next(lag for lag in peaks if match[lag] > _CLEAR_PEAK * best)
    curvature = match[lag - 1] - 2.0 * match[lag] + match[lag + 1]
    shift = 0.5 * (match[lag - 1] - match[lag + 1]) / curvature if curvature != 0.0 else 0.0
    return float((lag + shift) * period_s)


def fit_cycle(
    joints: np.ndarray, stride_s: float, period_s: float
) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """The cycle that the joints repeat, as a function of the phase.

    The phase at each sample comes from the joints themselves (their motion at the gait frequency,
    taken together by a singular value decomposition), so that strides of varying length average
    without blurring; then the first harmonics over that phase are fitted by least squares.

    Args:
        joints: (T, J) [rad], at least one and a half strides.
        stride_s: Gait period [s].
        period_s: Time between samples [s].

    Returns:
        The phase at each sample (T,) [rad], and the cycle: phases (M,) [rad] to joints (M, J) [rad].
    """
    phase = _phase(joints, stride_s, period_s)
    harmonics = min(_HARMONICS, int(0.5 * stride_s / period_s - 1e-9), (len(joints) - 1) // 4)
    coefficients, *_ = np.linalg.lstsq(_fourier(phase, harmonics), joints, rcond=None)
    return phase, lambda phases: np.asarray(_fourier(phases, harmonics) @ coefficients)


def _without_drift(joints: np.ndarray) -> np.ndarray:
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


def _phase(joints: np.ndarray, stride_s: float, period_s: float) -> np.ndarray:
    """Phase of the gait at each sample, (T,) [rad]."""
    time = np.arange(len(joints)) * period_s
    rotating = _without_drift(joints) * np.exp(-2j * np.pi * time / stride_s)[:, None]
    window = max(1, round(stride_s / period_s))
    kernel = np.ones(window) / window
    slow = np.stack([np.convolve(column, kernel, mode="valid") for column in rotating.T], axis=1)
    left, values, _ = np.linalg.svd(slow, full_matrices=False)
    deviation = np.unwrap(np.angle(left[:, 0])) if values[0] > 0.0 else np.zeros(len(slow))
    # The average over a stride belongs to its middle; before the first and after the last it stays.
    centres = np.arange(len(deviation)) + 0.5 * (window - 1)
    held = np.interp(np.arange(len(joints)), centres, deviation)
    return np.asarray(2.0 * np.pi * time / stride_s + held)


def _fourier(phase: np.ndarray, harmonics: int) -> np.ndarray:
    """Constant, cosines and sines of the harmonics at phases (T,): (T, 1 + 2 harmonics)."""
    angles = np.outer(phase, np.arange(1, harmonics + 1))
    constant = np.ones((len(phase), 1))
    return np.concatenate([constant, np.cos(angles), np.sin(angles)], axis=1)
