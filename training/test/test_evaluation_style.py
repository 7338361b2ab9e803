"""The judge gives the rewards that the motion prior of the run would give."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from aliengo_training.checkpoints import CheckpointError, config_dict, save_checkpoint
from aliengo_training.evaluation.style import StyleJudge
from aliengo_training.evaluation.testing import clip_trajectory, gait_clip
from aliengo_training.learning.amp import AmpConfig, MotionPrior
from aliengo_training.learning.config import ExperimentConfig
from aliengo_training.learning.distributed import World
from aliengo_training.motion.synthesis import limp
from aliengo_training.tasks.geometry import LegGeometry
from aliengo_training.tasks.style import StyleConfig, StyleReference, style_state

CPU = torch.device("cpu")
CONFIG = ExperimentConfig(
    amp=AmpConfig(hidden=(32, 16), replay_size=10), style=StyleConfig(table_size=2000)
)


def test_rewards_are_those_of_the_motion_prior(tmp_path: Path) -> None:
    clip = gait_clip(limp("FR"), 0.6, 3.0)
    torch.manual_seed(0)
    reference = StyleReference([clip], CONFIG.style, 0.02, CPU)
    prior = MotionPrior(reference, CONFIG.amp, World(), CPU)
    save_checkpoint(tmp_path / "model_1.pt", {"prior": prior.state_dict()})
    (tmp_path / "params.json").write_text(json.dumps({"config": config_dict(CONFIG)}))
    command = (0.6, 0.0, 0.4)
    trajectory = clip_trajectory(clip, command, rollouts=2, seconds=1.0)
    rewards = StyleJudge(tmp_path / "model_1.pt").rewards(trajectory)

    joints = torch.from_numpy(trajectory.joint_positions[0])
    velocities = torch.from_numpy(trajectory.joint_velocities[0])
    state = style_state(joints, LegGeometry(CPU).positions(joints)[1], velocities)
    # The task conditions the style on the planar speed and a quarter of the yaw rate.
    speed = torch.full((len(state) - 1, 1), 0.6 + 0.25 * 0.4)
    expected = prior.style_reward(torch.cat([state[:-1], state[1:], speed], -1))
    assert rewards.shape == (2, 49)
    np.testing.assert_allclose(rewards[0], expected.numpy(), atol=1e-5)


def test_a_run_without_discriminator_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "model_1.pt", {"model": {}})
    with pytest.raises(CheckpointError, match=r"model_1\.pt has no discriminator"):
        StyleJudge(tmp_path / "model_1.pt")
