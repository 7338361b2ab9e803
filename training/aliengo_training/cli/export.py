"""`export.py`: a checkpoint to a policy file."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Tuple

import tyro

from aliengo_training.checkpoints import CheckpointError, find_checkpoint, run_folder
from aliengo_training.conversion import Policy, policy_from_checkpoint
from aliengo_training.export import export_policy
from aliengo_training.tasks.registry import experiment


@dataclasses.dataclass(frozen=True)
class ExportArgs:
    """Write a checkpoint as a policy file (ONNX).

    Attributes:
        checkpoint: A .pt file, of this project or of the AMP trainer for Isaac Gym and what is
            built upon it; with --load_run the iteration, by default the last.
        task: aliengo_amp, aliengo_residual or aliengo_finetune.
        load_run: Run below logs/<task>/ to take the checkpoint from.
        output: File to write, by default beside the checkpoint.
        map: Which network of another trainer's file is which, e.g. base=actor residual=actor2.
        activation: Of the hidden layers of another trainer's file, where it cannot be known.
        kp: Joint stiffness that another trainer's policy was trained with [N m/rad]; ours know theirs.
        kd: Joint damping that another trainer's policy was trained with [N m s/rad]; ours know theirs.
        log_root: Where run folders are.
    """

    checkpoint: str = "-1"
    task: Optional[str] = None
    load_run: Optional[str] = None
    output: Optional[Path] = None
    map: Tuple[str, ...] = ()
    activation: Optional[str] = None
    kp: Optional[float] = None
    kd: Optional[float] = None
    log_root: Path = Path("logs")


def run(args: ExportArgs) -> Tuple[Path, str]:
    """Export and return the file and the SHA-256 of its weights."""
    if args.task is not None:
        experiment(args.task)  # refuses an unknown one
    source = _source(args)
    policy = policy_from_checkpoint(source, args.task, _mapping(args.map), args.activation)
    policy = _with_gains(policy, source, args)
    output = args.output or source.with_suffix(".onnx")
    return output, export_policy(policy.spec, policy.base, output, policy.residual)


def _source(args: ExportArgs) -> Path:
    """Return the checkpoint's path."""
    if args.load_run is None:
        if args.checkpoint == ExportArgs.checkpoint:
            raise CheckpointError("give --checkpoint FILE.pt, or --load_run RUN")
        return Path(args.checkpoint)
    try:
        iteration = int(args.checkpoint)
    except ValueError:
        raise CheckpointError(
            f"--checkpoint is {args.checkpoint!r}: with --load_run it is an iteration"
        ) from None
    return find_checkpoint(
        run_folder(args.log_root, args.task or "aliengo_amp", args.load_run), iteration
    )


def _mapping(pairs: Sequence[str]) -> Optional[Dict[str, str]]:
    """Parse ``role=network`` pairs; None if there are none."""
    for pair in pairs:
        if pair.count("=") != 1:
            raise CheckpointError(f"--map has {pair!r}: expected base=NETWORK residual=NETWORK")
    return {pair.split("=")[0]: pair.split("=")[1] for pair in pairs} or None


def _with_gains(policy: Policy, source: Path, args: ExportArgs) -> Policy:
    """Set the gains that the command line gives for another trainer's file."""
    given = {name: v for name, v in (("kp", args.kp), ("kd", args.kd)) if v is not None}
    foreign = [*given, *(name for name in ("map", "activation") if getattr(args, name))]
    if foreign and not policy.imported:
        raise CheckpointError(
            f"{source} is a checkpoint of this project, which says all of this itself: "
            f"{' and '.join('--' + name for name in foreign)} are for other trainers' files"
        )
    for name, value in given.items():
        if not value > 0.0:
            raise CheckpointError(f"--{name} is {value:g}, expected a positive gain")
    gains: Dict[str, Any] = {name: (value,) * 12 for name, value in given.items()}
    return dataclasses.replace(policy, spec=dataclasses.replace(policy.spec, **gains))


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Entry point of `export.py`; user errors end with a message and exit code 2."""
    args = tyro.cli(ExportArgs, args=arguments, use_underscores=True)
    try:
        output, sha256 = run(args)
    except (ValueError, OSError) as error:
        print(f"export.py: error: {error}", file=sys.stderr)
        sys.exit(2)
    print(f"wrote {output} (weights {sha256[:12]})")
