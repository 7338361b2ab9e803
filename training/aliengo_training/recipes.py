"""How each shipped policy was made: the stages of its training and what it is judged by.

The cards in `models/` give the outcome; `reproduce.py` runs a recipe.
"""

from __future__ import annotations

import dataclasses
from typing import Dict, Tuple

__all__ = ["RECIPES", "Recipe", "Stage"]


@dataclasses.dataclass(frozen=True)
class Stage:
    """One run of `train.py`; those after a recipe's first resume the one before.

    Attributes:
        max_minutes: Training time on one NVIDIA H200, everything included.
        overrides: Arguments of `train.py` that differ from the task's own values.
    """

    max_minutes: float
    overrides: Tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a policy was made.

    Attributes:
        task: Of `train.py`.
        stages: In order.
        base: Recipe of the policy that it starts from.
        evaluation: Arguments of `evaluate.py`.
        compared_with: Recipes whose policies it is set beside, those that have been made.
    """

    task: str
    stages: Tuple[Stage, ...]
    base: str = ""
    evaluation: Tuple[str, ...] = ()
    compared_with: Tuple[str, ...] = ()


# Penalties on short strides and a strict discriminator from the start end in a robot that stands, which costs neither.
# So the base learns to walk first, then in step with the clip and against harder pushes.
_WALK = (
    "--cfg.amp.gradient_penalty", "20.0",
    "--cfg.style.scaling.sweep", "1.15",
    "--cfg.task.reward.linear_velocity_slope", "2.0",
)  # fmt: skip
_IN_STEP = (
    "--cfg.ppo.entropy", "0.0005",
    "--cfg.amp.gradient_penalty", "44.0",
    "--cfg.task.reward.cadence", "55.0",
    "--cfg.task.reward.termination", "100.0",
    "--cfg.task.push.max_velocity", "1.25",
    "--cfg.task.push.interval_s", "2.5", "6.0",
    "--cfg.task.randomization.foot_friction", "0.33", "1.25",
)  # fmt: skip
# The fast policies as they were made: each stage pays for what the one before had missed. After the first they
# fell when they turned or went sideways and stepped too short at 2 m/s, after the second they turned too slowly.
_RUN = (
    "--cfg.ppo.entropy", "0.001",
    "--cfg.task.reward.termination", "2.0",
    "--cfg.task.reward.linear_velocity_fine", "2.0",
    "--cfg.task.reward.yaw_rate_fine", "0.75",
    "--cfg.task.reward.yaw_rate_slope", "2.0",
    "--cfg.task.commands.straight_fraction", "0.3",
    "--cfg.task.commands.turning_fraction", "0.2",
)  # fmt: skip
_PRECISE = (
    "--cfg.ppo.entropy", "0.0003",
    "--cfg.task.reward.termination", "20.0",
    "--cfg.task.reward.linear_velocity_fine", "2.5",
    "--cfg.task.commands.straight_fraction", "0.25",
)  # fmt: skip
_TURN = (
    "--cfg.task.reward.yaw_rate_fine", "1.5",
    "--cfg.task.reward.yaw_rate_slope", "3.0",
    "--cfg.task.commands.lateral_fraction", "0.2",
    "--cfg.task.commands.turning_fraction", "0.3",
)  # fmt: skip
_BEARING_FEET = "--cfg.task.reward.bearing_feet"

RECIPES: Dict[str, Recipe] = {
    "base": Recipe(
        "aliengo_amp",
        (Stage(5.3, _WALK), Stage(4.1, _IN_STEP)),
    ),
    "residual": Recipe(
        "aliengo_residual",
        (
            Stage(5.7, (*_RUN, _BEARING_FEET, "2.0")),
            Stage(
                6.4, (*_PRECISE, "--cfg.task.commands.lateral_fraction", "0.25", _BEARING_FEET, "3.0")
            ),
            Stage(4.2, _TURN),
        ),
        base="base",
        evaluation=("--commands", "fast"),
    ),
    "finetune": Recipe(
        "aliengo_finetune",
        (Stage(2.2, _RUN), Stage(4.4, (*_PRECISE, *_TURN))),
        base="base",
        evaluation=("--commands", "compare"),
        compared_with=("base", "residual"),
    ),
}  # fmt: skip
