"""The style reward of recorded rollouts, by the discriminator of a training run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from aliengo_training.checkpoints import (
    CheckpointError,
    from_config_dict,
    load_checkpoint,
    require_params,
)
from aliengo_training.evaluation.rollouts import Trajectory
from aliengo_training.learning.amp import (
    Discriminator,
    RunningNormalizer,
    SpeedCondition,
    score_to_reward,
)
from aliengo_training.learning.config import ExperimentConfig
from aliengo_training.tasks.geometry import LegGeometry
from aliengo_training.tasks.style import STYLE_STATE_SIZE, gait_speed, style_state

__all__ = ["StyleJudge"]


class StyleJudge:
    """Scores motion as the motion prior of a run does at the end of its training.

    Args:
        checkpoint: ``model_<iteration>.pt`` of a run with a motion prior, beside ``params.json``.

    Raises:
        CheckpointError: If the checkpoint has no discriminator or its configuration is missing.
    """

    def __init__(self, checkpoint: Path) -> None:
        content = load_checkpoint(checkpoint)
        if "prior" not in content:
            raise CheckpointError(f"{checkpoint} has no discriminator; found {sorted(content)}")
        document = require_params(checkpoint.parent)
        config: ExperimentConfig = from_config_dict(ExperimentConfig, document["config"])
        self._discriminator = Discriminator(config.amp.hidden)
        self._discriminator.load_state_dict(content["prior"]["discriminator"])
        self._normalizer = RunningNormalizer(STYLE_STATE_SIZE, config.amp.normalizer_clip)
        self._normalizer.load_state_dict(content["prior"]["normalizer"])
        self._condition = SpeedCondition(config.style, config.amp)
        self._legs = LegGeometry(torch.device("cpu"))

    @torch.no_grad()
    def rewards(self, trajectory: Trajectory) -> np.ndarray:
        """Style reward of every transition, (N, T - 1), between 0 and 1.

        0 is nothing like the reference, 1 cannot be told from it: max(0, 1 - (D - 1)^2 / 4).
        """
        count, steps = trajectory.alive.shape
        joints = torch.from_numpy(trajectory.joint_positions).reshape(-1, 12)
        velocities = torch.from_numpy(trajectory.joint_velocities).reshape(-1, 12)
        state = self._normalizer(style_state(joints, self._legs.positions(joints)[1], velocities))
        state = state.reshape(count, steps, STYLE_STATE_SIZE)
        command = torch.from_numpy(trajectory.command)
        told = self._condition(gait_speed(command))[:, None, None].expand(count, steps - 1, 1)
        score = self._discriminator(torch.cat([state[:, :-1], state[:, 1:], told], -1))
        return np.asarray(score_to_reward(score))
