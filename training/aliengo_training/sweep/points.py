"""What a sweep trains: the task's own setting, and one point for each value of each varied parameter."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, List, Sequence, Tuple, Type

from aliengo_training.learning.config import ExperimentConfig
from aliengo_training.learning.residual import Schedule

__all__ = ["DEFAULT_POINT", "Curve", "Point", "expand"]

#: Name of the point with nothing changed; it lies on every curve.
DEFAULT_POINT = "default"


@dataclasses.dataclass(frozen=True)
class Point:
    """One training run of a sweep.

    Attributes:
        name: Of its run folder.
        overrides: Options of `train.py` and their values, e.g. ``("--cfg.amp.style_weight", "0")``.
    """

    name: str
    overrides: Tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Curve:
    """The points along one parameter, ascending in its value.

    Attributes:
        parameter: Dotted name below ``--cfg``.
        values: Of the parameter.
        points: Names of the points.
    """

    parameter: str
    values: Tuple[float, ...]
    points: Tuple[str, ...]


def expand(
    vary: Sequence[Sequence[str]], config: ExperimentConfig
) -> Tuple[List[Point], List[Curve]]:
    """Points and curves of a sweep around a configuration.

    Each parameter is varied alone, the others stay as they are; its own value in the configuration
    joins the curve, so that all curves meet in one point. A schedule is varied by its final value.

    Args:
        vary: Name and values of each parameter, all as typed.
        config: What every point starts from.

    Returns:
        The points, the unchanged one first, then in turns over the parameters, so that a sweep that
        is cut short has a little of every curve; and a curve for each parameter.

    Raises:
        ValueError: On an unknown or repeated parameter, or a value that is not a number.
    """
    if not vary:
        raise ValueError("nothing to vary: give --vary NAME VALUE [VALUE ...]")
    columns: List[List[Point]] = []
    curves: List[Curve] = []
    for name, *texts in vary:
        parameter, own = _resolve(name, config)
        if parameter in (curve.parameter for curve in curves):
            raise ValueError(f"--vary {name} is given twice")
        wanted = {_number(name, text) for text in texts} - {own}
        if not wanted:
            raise ValueError(f"--vary {name} has no value but the task's own, {own:g}")
        made = {value: _point(parameter, value, type(own)) for value in sorted(wanted)}
        names = {own: DEFAULT_POINT, **{value: point.name for value, point in made.items()}}
        values = tuple(sorted(names))
        curves.append(Curve(parameter, values, tuple(names[value] for value in values)))
        columns.append(list(made.values()))
    points = [Point(DEFAULT_POINT)]
    for row in range(max(len(column) for column in columns)):
        points += [column[row] for column in columns if row < len(column)]
    return points, curves


def _point(parameter: str, value: float, kind: Type[float]) -> Point:
    if kind(value) != value:
        raise ValueError(f"--vary {parameter}: {value:g} is not a whole number")
    name = f"{parameter}_{value:g}"
    return Point(name, (f"--cfg.{parameter}", repr(kind(value))))


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--vary {name}: {text!r} is not a number") from None


def _resolve(name: str, config: ExperimentConfig) -> Tuple[str, float]:
    """Full name of a parameter and its value in a configuration, of the type that it has there."""
    target: Any = config
    path: List[str] = []
    for part in name.split("."):
        allowed: Dict[str, Any] = {}
        if dataclasses.is_dataclass(target):
            allowed = {f.name: getattr(target, f.name) for f in dataclasses.fields(target)}
        if part not in allowed:
            where = ".".join(path) or "the configuration"
            raise ValueError(
                f"--vary {name}: {where} has no {part!r}, allowed are {', '.join(allowed) or 'none'}"
            )
        target = allowed[part]
        path.append(part)
    if isinstance(target, Schedule):
        target = target.end
        path.append("end")
    if isinstance(target, bool) or not isinstance(target, (int, float)):
        raise ValueError(f"--vary {name} is {target!r}, only numbers can be varied")
    return ".".join(path), target
