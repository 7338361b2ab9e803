"""`play_manual.py`: drive a trained policy by keys, or through a fixed profile without a screen."""

from __future__ import annotations

import dataclasses
import math
import sys
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import numpy as np
import tyro

from aliengo_training.checkpoints import find_checkpoint, run_folder
from aliengo_training.checks import require
from aliengo_training.evaluation.keyboard import HELP, KeyboardCommand, TerminalKeys
from aliengo_training.evaluation.play import (
    Player,
    open_viewer,
    play_keys,
    play_profile,
    profile,
)
from aliengo_training.evaluation.play_plots import plot_play
from aliengo_training.evaluation.policy import OnnxPolicy, as_policy_file
from aliengo_training.evaluation.rollouts import LARGEST_SEED
from aliengo_training.learning.distributed import device_of
from aliengo_training.sim import SimulationConfig, make_simulator

#: Three seconds for each of the profile's seven stages [s].
_PROFILE_S = 21.0


@dataclasses.dataclass(frozen=True)
class PlayArgs:
    """Drive a trained Aliengo policy and plot how it went.

    Attributes:
        task: aliengo_amp, aliengo_residual or aliengo_finetune.
        load_run: Run below logs/<task>/.
        checkpoint: Iteration, by default the last.
        policy: A .onnx or .pt file to play instead of a run.
        headless: Drive a fixed profile as fast as possible, without keys and window.
        sim: mujoco, mujoco_warp or isaacgym; by default mujoco.
        rl_device: Torch device of the backend; mujoco without --sim uses the CPU whatever is given.
        seconds: Length of the drive, by default 21 s for the profile and, with keys, until x is
            pressed [s].
        command: A fixed vx vy wz instead of the profile (with --headless).
        log_root: Where runs are, and where the plots go.
        seed: Of the sensor noise.
    """

    task: str = "aliengo_amp"
    load_run: str = "run"
    checkpoint: int = -1
    policy: Optional[Path] = None
    headless: bool = False
    sim: Optional[str] = None
    rl_device: str = "cpu"
    seconds: Optional[float] = None
    command: Optional[Tuple[float, float, float]] = None
    log_root: Path = Path("logs")
    seed: int = 0


def run(args: PlayArgs) -> List[Path]:
    """Play and return the plots' files.

    Raises:
        ValueError: On arguments that cannot be meant, before anything is simulated or written.
    """
    _check(args)
    source = args.policy
    if source is None:
        source = find_checkpoint(
            run_folder(args.log_root, args.task, args.load_run), args.checkpoint
        )
    policy = OnnxPolicy(as_policy_file(source))
    print(f"playing {source} ({policy.name})")
    if args.headless and args.command is not None:
        beyond = policy.beyond_ranges([args.command])
        if beyond is not None:
            print(f"{source}: {beyond}", file=sys.stderr)
    physics = SimulationConfig(body_contacts=True)
    sim, device = _backend(args)
    simulator = make_simulator(sim, 1, device, physics, args.headless)
    try:
        player = Player(policy, simulator, args.seed)
        _drive(args, policy, player)
        files = plot_play(*player.record(), player.falls_s, args.log_root)
    finally:
        simulator.close()
    print(f"\n{player.falls} falls; wrote {', '.join(str(path) for path in files)}")
    return files


def _check(args: PlayArgs) -> None:
    if args.seconds is not None:
        finite = 0.0 < args.seconds < math.inf
        require("--seconds", args.seconds, finite, "a finite number above 0")
    if args.command is not None:
        given = " ".join(f"{value:g}" for value in args.command)
        require("--command", given, bool(np.isfinite(args.command).all()), "finite numbers")
    require("--seed", args.seed, 0 <= args.seed <= LARGEST_SEED, f"0 to {LARGEST_SEED}")


def _backend(args: PlayArgs) -> Tuple[str, str]:
    """Physics backend and its torch device."""
    if args.sim is not None:
        return args.sim, device_of(args.rl_device)
    if not args.rl_device.startswith("cpu"):
        print(
            f"--rl_device {args.rl_device} is not used: the default --sim mujoco runs on the CPU "
            "(--sim mujoco_warp runs on a GPU)",
            file=sys.stderr,
        )
    return "mujoco", "cpu"


def _drive(args: PlayArgs, policy: OnnxPolicy, player: Player) -> None:
    ranges = policy.command_ranges
    if args.headless:
        seconds = _PROFILE_S if args.seconds is None else args.seconds
        fixed = args.command
        drive = profile(ranges, seconds)
        play_profile(player, drive if fixed is None else lambda _: np.array(fixed), seconds)
        return
    keyboard = KeyboardCommand(ranges)
    with TerminalKeys() as keys:
        print(HELP)
        viewer = open_viewer(player.task.simulator) if args.sim != "isaacgym" else None
        try:
            play_keys(player, keyboard, keys.read, viewer, args.seconds)
        except KeyboardInterrupt:
            print("\nended")
        finally:
            if viewer is not None:
                viewer.close()


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Entry point of `play_manual.py`; user errors end with a message and exit code 2."""
    args = tyro.cli(PlayArgs, args=arguments, use_underscores=True)
    try:
        run(args)
    except (ValueError, OSError) as error:
        print(f"play_manual.py: error: {error}", file=sys.stderr)
        sys.exit(2)
