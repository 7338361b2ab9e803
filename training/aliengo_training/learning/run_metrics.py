"""What a run has logged: its `metrics.csv`, read back."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, Dict

import numpy as np

from aliengo_training.checkpoints import iterations

__all__ = ["read_metrics", "seconds_trained"]


def read_metrics(path: Path) -> Dict[str, np.ndarray]:
    """Columns of a run's `metrics.csv`, one row per iteration.

    A run that was continued from an earlier checkpoint has logged some iterations twice; the later
    row counts. Cells that are not numbers become NaN.

    Returns:
        Columns by name, ascending in `iteration`; empty without a file or without rows.
    """
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as stream:
        rows = {row["iteration"]: row for row in csv.DictReader(stream) if row.get("iteration")}
    ordered = sorted(rows.values(), key=lambda row: int(row["iteration"]))
    if not ordered:
        return {}
    return {name: np.array([_number(row[name]) for row in ordered]) for name in ordered[0]}


def _number(text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return float("nan")


def seconds_trained(folder: Path) -> float:
    """Time that the iterations up to a run's last checkpoint took [s]."""
    saved, columns = iterations(folder), read_metrics(folder / "metrics.csv")
    if not saved or not columns:
        return 0.0
    kept = columns["iteration"] <= saved[-1]
    return float((columns["collect_s"] + columns["update_s"])[kept].sum())
