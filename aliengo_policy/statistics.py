"""Timing of the control loop over the time between two reports."""

from __future__ import annotations

import numpy as np


class StepStatistics:
    """Collects the times of policy steps and summarises them."""

    def __init__(self) -> None:
        self._arrivals: list[float] = []
        self._ages: list[float] = []
        self._inferences: list[float] = []
        self._since_s: float | None = None

    def add(self, received_s: float, age_s: float, inference_s: float | None) -> None:
        """Record a step: when its state came, how long the answer took, and the network's share."""
        self._arrivals.append(received_s)
        self._ages.append(age_s)
        if inference_s is not None:
            self._inferences.append(inference_s)

    def take(self, now_s: float) -> dict[str, float]:
        """Summary since the last call, which it clears; times in seconds, zero if nothing came."""
        elapsed = now_s - self._since_s if self._since_s is not None else 1.0
        periods = np.diff(self._arrivals)
        summary = {
            "step_rate_hz": len(self._arrivals) / max(elapsed, 1e-9),
            "period_max_s": float(periods.max()) if periods.size else 0.0,
            **_spread("state_to_command", self._ages),
            **_spread("inference", self._inferences),
        }
        self._arrivals, self._ages, self._inferences = [], [], []
        self._since_s = now_s
        return summary


def _spread(name: str, values: list[float]) -> dict[str, float]:
    low, high, top = np.percentile(values, [50, 99, 100]) if values else (0.0, 0.0, 0.0)
    return {f"{name}_p50_s": float(low), f"{name}_p99_s": float(high), f"{name}_max_s": float(top)}
