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


RECIPES: Dict[str, Recipe] = {
    "base": Recipe(
        "aliengo_amp",
        (Stage(8.8),),
    ),
    "residual": Recipe(
        "aliengo_residual", (Stage(4.0),), base="base", evaluation=("--commands", "fast")
    ),
    "finetune": Recipe(
        "aliengo_finetune",
        (Stage(2.8),),
        base="base",
        evaluation=("--commands", "compare"),
        compared_with=("base", "residual"),
    ),
}  # fmt: skip
