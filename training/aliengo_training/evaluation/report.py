"""Figures as text and files: Markdown, CSV, JSON."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from aliengo_description import robot
from aliengo_training.checkpoints import config_dict
from aliengo_training.evaluation.figures import CommandFigures
from aliengo_training.evaluation.gait import phase_difference
from aliengo_training.evaluation.grid import Evaluation
from aliengo_training.evaluation.rollouts import RolloutConfig

__all__ = ["comparison_table", "gait_difference", "markdown_table", "write_csv", "write_json"]

_HEADER = (
    "vx",
    "vy",
    "wz",
    "survival %",
    "RMSE vx",
    "RMSE vy",
    "RMSE wz",
    "(steady vx",
    "wz)",
    "mean vx",
    "duty " + " ".join(robot.LEG_NAMES),
    "carried",
    "period s",
    "CoT",
    "saturated %",
    "max step rad",
    "drift m/s",
    "lifts 1/s",
    "style",
)
#: Command at which gaits are compared.
GAIT_COMMAND = (1.0, 0.0, 0.0)


def markdown_table(commands: Sequence[CommandFigures]) -> str:
    """Main figures, one line per command, and a second table where a clip was compared."""
    lines = [_line(_HEADER), _line(["---"] * len(_HEADER))]
    lines += [_line(_cells(figures)) for figures in commands]
    compared = [figures for figures in commands if math.isfinite(figures.period_ratio)]
    if compared:
        header = ["vx", "style", "period / clip's", *(f"{leg} rad" for leg in robot.LEG_NAMES)]
        lines += ["", "Fidelity to the reference motion at its own speed:", ""]
        lines += [_line(header), _line(["---"] * len(header))]
        for figures in compared:
            legs = [_number(value, 3) for value in figures.fidelity.values()]
            head = [_number(figures.vx, 3), _number(figures.style_reward, 2)]
            lines.append(_line([*head, _number(figures.period_ratio, 3), *legs]))
    return "\n".join(lines)


def _cells(f: CommandFigures) -> List[str]:
    return [
        _number(f.vx, 2),
        _number(f.vy, 2),
        _number(f.wz, 2),
        _number(100.0 * f.survival, 1),
        *(_number(value, 3) for value in (f.rmse_vx, f.rmse_vy, f.rmse_wz)),
        *(_number(value, 3) for value in (f.steady_rmse_vx, f.steady_rmse_wz)),
        _number(f.mean_vx, 2),
        " ".join(_number(share, 2) for share in f.duty.values()),
        " ".join(f.carried) or "-",
        _number(f.period_s, 3),
        _number(f.cost_of_transport, 2),
        _number(100.0 * f.torque_saturation, 2),
        _number(f.target_step, 2),
        _number(f.drift, 3),
        _number(f.lift_offs_per_s, 2),
        _number(f.style_reward, 2),
    ]


def gait_difference(figures: CommandFigures, reference: CommandFigures) -> Tuple[float, float]:
    """Mean difference of the duty factors, and of the phase offsets [strides], to a reference gait.

    Phases compare only the legs that have one in both gaits; NaN if there are none but RL, from
    which phases are counted.
    """
    duty = [abs(figures.duty[leg] - reference.duty[leg]) for leg in robot.LEG_NAMES]
    legs = [leg for leg in robot.LEG_NAMES if leg != "RL"]
    mine = np.array([figures.phases[leg] for leg in legs])
    theirs = np.array([reference.phases[leg] for leg in legs])
    apart = phase_difference(mine, theirs)
    apart = apart[np.isfinite(apart)]
    return float(np.mean(duty)), float(apart.mean()) if apart.size else float("nan")


def comparison_table(
    evaluations: Sequence[Evaluation], reference: CommandFigures
) -> Tuple[str, List[Dict[str, Any]]]:
    """Several policies side by side, as Markdown and as rows for CSV.

    Args:
        evaluations: Of the same commands.
        reference: Gait that the others' are compared with, by habit the first policy's at 1.0 m/s.
    """
    header = ["vx", "vy", "wz", "policy", "survival %", "RMSE vx", "RMSE vy", "RMSE wz"]
    header += ["carried", "duty difference", "phase difference", "style", "CoT", "saturated %"]
    lines, rows = [_line(header), _line(["---"] * len(header))], []
    for per_policy in zip(*(evaluation.commands for evaluation in evaluations)):
        for evaluation, f in zip(evaluations, per_policy):
            duty, phase = gait_difference(f, reference)
            rows.append(
                {
                    "policy": evaluation.name,
                    **f.flat(),
                    "duty_difference": duty,
                    "phase_difference": phase,
                }
            )
            cells = [_number(f.vx, 2), _number(f.vy, 2), _number(f.wz, 2), evaluation.name]
            cells += [_number(100.0 * f.survival, 1)]
            cells += [_number(value, 3) for value in (f.rmse_vx, f.rmse_vy, f.rmse_wz)]
            cells += [" ".join(f.carried) or "-", _number(duty, 3), _number(phase, 3)]
            cells += [_number(f.style_reward, 2), _number(f.cost_of_transport, 2)]
            cells += [_number(100.0 * f.torque_saturation, 2)]
            lines.append(_line(cells))
    return "\n".join(lines), rows


def write_csv(path: Path, rows: Sequence[Dict[str, Any]]) -> None:
    """Write rows with the same columns."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_json(
    path: Path, evaluation: Evaluation, config: RolloutConfig, about: Dict[str, Any]
) -> None:
    """Write all figures with the conditions that they were measured under; NaN becomes null."""
    content = {
        **about,
        "name": evaluation.name,
        "conditions": config_dict(config),
        "environment_steps": evaluation.environment_steps,
        "commands": [_plain(figures.flat()) for figures in evaluation.commands],
    }
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _plain(row: Dict[str, Any]) -> Dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
