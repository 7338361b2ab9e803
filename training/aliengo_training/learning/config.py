"""Configuration of a training run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Tuple

from aliengo_training.checks import require
from aliengo_training.learning.amp import AmpConfig
from aliengo_training.learning.ppo import PpoConfig
from aliengo_training.learning.residual import ResidualConfig
from aliengo_training.tasks.config import TaskConfig
from aliengo_training.tasks.style import StyleConfig


@dataclass(frozen=True)
class NetworkConfig:
    """Actor and critic.

    Attributes:
        hidden: Hidden widths of both.
        activation: Of the hidden layers.
        initial_std: Of the action noise of aliengo_amp, in action units.
    """

    hidden: Tuple[int, ...] = (512, 256, 128)
    activation: str = "elu"
    initial_std: float = 0.6


@dataclass(frozen=True)
class ExperimentConfig:
    """All of a run, written in full to its `params.json`.

    Attributes:
        task: What the robot is asked to do.
        network: Actor and critic.
        ppo: Policy optimisation.
        amp: Motion prior; unused where `amp.style_weight` is 0.
        style: Reference motion.
        residual: Residual learning; used by aliengo_residual. Fine-tuning takes its `initial_std`.
        kind: What the exported policy is: base, residual or finetune.
        reward_scale: Factor on the total reward, so that returns are of order 10.
        num_envs: Environments per process.
        max_iterations: End of the run, if no clock ends it before; of all its stages together.
        save_interval: Iterations between checkpoints.
        seed: Of everything random.
    """

    task: TaskConfig = field(default_factory=TaskConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    ppo: PpoConfig = field(default_factory=PpoConfig)
    amp: AmpConfig = field(default_factory=AmpConfig)
    style: StyleConfig = field(default_factory=StyleConfig)
    residual: ResidualConfig = field(default_factory=ResidualConfig)
    kind: str = "base"
    reward_scale: float = 0.05
    num_envs: int = 16384
    max_iterations: int = 20_000
    save_interval: int = 200
    seed: int = 1

    def __post_init__(self) -> None:
        """Refuses counts of nothing."""
        for name in ("num_envs", "max_iterations", "save_interval"):
            value = getattr(self, name)
            require(name, value, value >= 1, "at least 1")
        require("seed", self.seed, self.seed >= 0, "0 or more")
