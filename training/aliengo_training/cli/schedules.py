"""`schedules.py`: the warm-ups of a residual run, planned and as they were logged."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Optional, Sequence

import tyro

from aliengo_training.checkpoints import (
    CheckpointError,
    from_config_dict,
    require_params,
    run_folder,
)
from aliengo_training.learning.config import ExperimentConfig
from aliengo_training.learning.schedule_plots import plot_schedules


@dataclasses.dataclass(frozen=True)
class SchedulesArgs:
    """Draw schedules.png of a residual run: planned curves and the logged values.

    Attributes:
        load_run: Run below logs/aliengo_residual/, or its folder.
        log_root: Where run folders are.
    """

    load_run: str
    log_root: Path = Path("logs")


def run(args: SchedulesArgs) -> Path:
    """Draw the picture and return its path.

    Raises:
        CheckpointError: If the run does not exist or is not a residual one.
    """
    folder = Path(args.load_run)
    if not (folder / "params.json").is_file():
        folder = run_folder(args.log_root, "aliengo_residual", args.load_run)
    document = require_params(folder)
    config: ExperimentConfig = from_config_dict(ExperimentConfig, document["config"])
    if config.kind != "residual":
        raise CheckpointError(f"{folder} is a {config.kind} run; only residual runs have schedules")
    return plot_schedules(config.residual, folder)


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Entry point of `schedules.py`; user errors end with a message and exit code 2."""
    args = tyro.cli(SchedulesArgs, args=arguments, use_underscores=True)
    try:
        path = run(args)
    except ValueError as error:
        print(f"schedules.py: error: {error}", file=sys.stderr)
        sys.exit(2)
    print(f"wrote {path}")
