"""Zero-phase low-pass and differentiation of sampled motion."""

from __future__ import annotations

import numpy as np

__all__ = ["derivative", "lowpass"]

#: Order n of the gain 1 / (1 + (f / cutoff)^2n): 2 is a Butterworth filter run both ways.
_ORDER = 2


def lowpass(values: np.ndarray, frame_duration_s: float, cutoff_hz: float) -> np.ndarray:
    """Remove what changes faster than ``cutoff_hz``, without delay.

    The gain is that of a second-order Butterworth filter run forwards and backwards,
    ``1 / (1 + (f / cutoff)^4)`` (one half at the cutoff), applied in the frequency domain. The line
    between the end points is taken out first and the rest continued by its odd reflection, which
    makes it periodic: constants, straight lines and both end points pass unchanged.

    Args:
        values: Samples ``(n, ...)``, filtered along the first axis.
        frame_duration_s: Time between samples [s].
        cutoff_hz: Frequency of half gain [Hz], between 0 and half the sampling rate.

    Raises:
        ValueError: If the cutoff lies outside that range.
    """
    nyquist = 0.5 / frame_duration_s
    if not 0.0 < cutoff_hz < nyquist:
        raise ValueError(
            f"low-pass cutoff is {cutoff_hz} Hz: allowed is more than 0 and less than half the "
            f"frame rate ({nyquist:.2f} Hz)"
        )
    values = np.asarray(values, dtype=np.float64)
    count = len(values)
    if count < 3:
        return np.array(values)
    ramp = np.linspace(0.0, 1.0, count).reshape((-1,) + (1,) * (values.ndim - 1))
    line = values[:1] * (1.0 - ramp) + values[-1:] * ramp
    rest = values - line
    period = np.concatenate([rest, -rest[-2:0:-1]])
    frequency = np.fft.rfftfreq(len(period), frame_duration_s)
    gain = 1.0 / (1.0 + (frequency / cutoff_hz) ** (2 * _ORDER))
    gain = gain.reshape((-1,) + (1,) * (values.ndim - 1))
    smooth = np.fft.irfft(np.fft.rfft(period, axis=0) * gain, len(period), axis=0)
    return np.asarray(line + smooth[:count])


def derivative(values: np.ndarray, frame_duration_s: float) -> np.ndarray:
    """Time derivative of ``(n, ...)``: central differences, second order at both ends (n >= 3)."""
    if len(values) > 2:
        return np.asarray(np.gradient(values, frame_duration_s, axis=0, edge_order=2))
    return np.asarray(np.gradient(values, frame_duration_s, axis=0))
