"""One robot that follows commands given while it runs."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np
import torch

from aliengo_training.evaluation.keyboard import KeyboardCommand
from aliengo_training.evaluation.policy import OnnxPolicy
from aliengo_training.evaluation.rollouts import (
    Recorder,
    RolloutConfig,
    Trajectory,
    make_task,
    random_push,
)
from aliengo_training.sim.randomization import RandomizationConfig
from aliengo_training.sim.simulator import Simulator

__all__ = ["Player", "open_viewer", "play_keys", "play_profile", "profile"]

#: A person's push [m/s].
_PUSH_VELOCITY = 0.7
_END_KEYS = ("x", "X", "\x1b")


class Player:
    """Runs a policy on the nominal robot and records it.

    Args:
        policy: What drives.
        simulator: With one environment.
        seed: Of the sensor noise.

    Attributes:
        falls_s: Times at which the robot fell; it then starts again where it first stood [s].
    """

    def __init__(self, policy: OnnxPolicy, simulator: Simulator, seed: int = 0) -> None:
        torch.manual_seed(seed)
        nominal = RandomizationConfig(enabled=False)
        config = RolloutConfig(seconds=1e6, randomization=nominal, push_interval_s=0.0)
        self._policy = policy
        self.task = make_task(policy, simulator, config)
        self._recorder = Recorder(self.task)
        self._commands: List[np.ndarray] = []
        self.falls_s: List[float] = []
        self.restart()

    @property
    def period_s(self) -> float:
        """Control period [s]."""
        return self.task.config.simulation.control_period_s

    @property
    def falls(self) -> int:
        """How often the robot fell."""
        return len(self.falls_s)

    def restart(self) -> None:
        """Put the robot back on its feet."""
        self.task.commands.set_fixed(torch.zeros(3, device=self.task.device))
        with torch.no_grad():
            self.task.reset_all(spread_episodes=False)

    def push(self) -> None:
        """Push the robot from a random side."""
        self.task.simulator.push(random_push(1, _PUSH_VELOCITY).to(self.task.device))

    @torch.no_grad()
    def step(self, command: np.ndarray) -> None:
        """One control step with a command (3,)."""
        task = self.task
        task.commands.set_fixed(torch.as_tensor(command, dtype=torch.float32, device=task.device))
        action = torch.from_numpy(self._policy.act(task.observation.cpu().numpy()))
        task.step(action.to(task.device))
        self._recorder.add()
        self._commands.append(np.array(command, dtype=np.float32))
        if bool(task.terminated.any()):
            self.falls_s.append(len(self._commands) * self.period_s)

    def record(self) -> Tuple[np.ndarray, Trajectory]:
        """Commands (T, 3) and everything else that happened."""
        commands = np.array(self._commands)
        everything = np.ones(len(commands), dtype=bool)
        trajectory = self._recorder.trajectory(commands[:1], everything, everything)
        return commands, dataclasses.replace(trajectory, alive=everything[None])


def profile(
    ranges: Dict[str, Tuple[float, float]], seconds: float
) -> Callable[[float], np.ndarray]:
    """A drive through a policy's ranges: stand, three speeds, both turns, stand.

    Args:
        ranges: As in the policy file.
        seconds: Length of the drive [s].

    Returns:
        Command (3,) at a time [s].
    """
    fastest, turn = ranges["vx"][1], 0.5 * ranges["wz"][1]
    stages = [(0.0, 0.0)] + [(share * fastest, 0.0) for share in (1 / 3, 2 / 3, 1.0)]
    stages += [(0.5 * fastest, turn), (0.5 * fastest, -turn), (0.0, 0.0)]

    def at(time_s: float) -> np.ndarray:
        stage = min(int(time_s / seconds * len(stages)), len(stages) - 1)
        vx, wz = stages[stage]
        return np.array([vx, 0.0, wz])

    return at


def play_profile(player: Player, command_at: Callable[[float], np.ndarray], seconds: float) -> None:
    """Drive as a profile says, as fast as the machine can."""
    for step in range(max(1, round(seconds / player.period_s))):
        player.step(command_at(step * player.period_s))


def play_keys(
    player: Player,
    keyboard: KeyboardCommand,
    read_key: Callable[[], str],
    viewer: Optional[Any] = None,
    seconds: Optional[float] = None,
) -> None:
    """Drive as keys say, in real time, until an end key, the viewer's end or the time is over."""
    started = time.monotonic()
    steps = 0
    while seconds is None or steps * player.period_s < seconds:
        key = read_key()
        if key in _END_KEYS:
            return
        if key == "p":
            player.push()
        elif key == "r":
            player.restart()
        elif key:
            keyboard.press(key)
        player.step(keyboard.command)
        steps += 1
        if viewer is not None:
            if not viewer.is_running():
                return
            viewer.sync()
        if steps % 10 == 0:
            print(f"\r{_status(player, keyboard.command)}\033[K", end="", flush=True)
        time.sleep(max(0.0, started + steps * player.period_s - time.monotonic()))


def _status(player: Player, command: np.ndarray) -> str:
    vx, vy, wz = command
    speed = player.task.simulator.base_linear_velocity_w[0, :2].norm()
    return (
        f"command vx {vx:+.1f} vy {vy:+.1f} wz {wz:+.1f}   speed {float(speed):.2f} m/s   "
        f"falls {player.falls}"
    )


def open_viewer(simulator: Any) -> Optional[Any]:
    """MuJoCo's passive viewer on the first robot; None, and a line why, without a screen."""
    if not hasattr(simulator, "render_data"):
        print(f"--sim {simulator.backend} has no viewer here; --sim mujoco has")
        return None
    screens = ("DISPLAY", "WAYLAND_DISPLAY")
    if sys.platform.startswith("linux") and not any(os.environ.get(name) for name in screens):
        # GLFW would end the whole process.
        print(f"no viewer (neither {' nor '.join(screens)} is set); playing in the terminal alone")
        return None
    try:
        import mujoco.viewer

        return mujoco.viewer.launch_passive(simulator.model, simulator.render_data(0))
    except Exception as error:  # no display, no OpenGL: each platform fails in its own way
        print(f"no viewer ({error}); playing in the terminal alone")
        return None
