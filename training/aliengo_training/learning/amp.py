"""Adversarial motion priors (Peng et al. 2021): a discriminator that rewards moving like the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Tuple

import torch
from torch import Tensor, nn

from aliengo_training.checks import require
from aliengo_training.learning.capture import Replayed
from aliengo_training.learning.distributed import World
from aliengo_training.learning.networks import masked_mean, mlp
from aliengo_training.learning.optimizer import FlatAdam
from aliengo_training.tasks.style import STYLE_STATE_SIZE, StyleConfig, StyleReference

_WIDTH = 2 * STYLE_STATE_SIZE + 1
_METRICS = ("expert_score", "policy_score", "discriminator_loss", "gradient_penalty")


@dataclass(frozen=True)
class AmpConfig:
    """Hyper-parameters of the motion prior.

    Attributes:
        style_weight: Share of the style reward; the task reward has the rest.
        style_scale: Factor on the style reward, whose range is 0 to 1.
        hidden: Widths of the discriminator.
        learning_rate: Of the discriminator.
        updates: Gradient steps per iteration.
        batch_size: Expert transitions and policy transitions per step.
        replay_size: Policy transitions that are remembered.
        replay_inserts: Of a rollout's transitions, how many are remembered.
        gradient_penalty: Weight of the gradient penalty at expert transitions.
        trunk_decay: Weight decay of the hidden layers.
        head_decay: Weight decay of the last layer.
        normalizer_clip: Bound of the normalised features.
        max_condition_speed: Commands beyond it are told to the discriminator as this speed [m/s].
    """

    style_weight: float = 0.7
    style_scale: float = 2.0
    hidden: Tuple[int, ...] = (512, 256)
    learning_rate: float = 2e-4
    updates: int = 8
    batch_size: int = 8192
    replay_size: int = 200_000
    replay_inserts: int = 20_000
    gradient_penalty: float = 10.0
    trunk_decay: float = 1e-3
    head_decay: float = 1e-1
    normalizer_clip: float = 5.0
    max_condition_speed: float = 1.5

    def __post_init__(self) -> None:
        """Refuses a share that is none and counts of nothing."""
        share = self.style_weight
        require("amp.style_weight", share, 0.0 <= share <= 1.0, "0 to 1")
        for name in ("updates", "batch_size", "replay_size", "replay_inserts"):
            count = getattr(self, name)
            require(f"amp.{name}", count, count >= 1, "at least 1")


class SpeedCondition:
    """What the discriminator is told of a commanded speed.

    Args:
        style: Gives the speeds that the reference is scaled to.
        amp: Gives the largest speed that is told apart.
    """

    def __init__(self, style: StyleConfig, amp: AmpConfig) -> None:
        self._low, self._high = style.speed_range
        self._top = min(self._high, amp.max_condition_speed)

    def clamp(self, gait_speed: Tensor) -> Tensor:
        """The speed [m/s] whose reference a commanded speed is judged by."""
        return gait_speed.clamp(self._low, self._top)

    def __call__(self, gait_speed: Tensor) -> Tensor:
        """Map commanded speeds [m/s] to -1 ... 1."""
        return 2.0 * (self.clamp(gait_speed) - self._low) / (self._high - self._low) - 1.0


class RunningNormalizer(nn.Module):
    """Normalises by mean and variance of all that it has seen (Chan et al.'s parallel update)."""

    mean: Tensor
    variance: Tensor
    count: Tensor

    def __init__(self, size: int, clip: float) -> None:
        super().__init__()
        self._clip = clip
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("variance", torch.ones(size))
        self.register_buffer("count", torch.tensor(1e-4))

    def forward(self, value: Tensor) -> Tensor:
        """Normalise and clip (..., size)."""
        return ((value - self.mean) / (self.variance + 1e-4).sqrt()).clamp(-self._clip, self._clip)

    def update(self, batch: Tensor, world: World) -> None:
        """Take a batch (B, size) into the statistics; with peers, the mean of their batches' moments."""
        mean, square = batch.mean(0), batch.square().mean(0)
        world.average_(mean)
        world.average_(square)
        variance = (square - mean.square()).clamp(min=0.0)
        number = float(batch.shape[0])
        total = self.count + number
        delta = mean - self.mean
        spread = delta.square() * self.count * number / total
        self.variance.copy_((self.variance * self.count + variance * number + spread) / total)
        self.mean.add_(delta * number / total)
        self.count.copy_(total.clamp(max=1e8))


class Discriminator(nn.Module):
    """Scores transitions: +1 like the reference, -1 like the policy (least squares)."""

    def __init__(self, hidden: Tuple[int, ...]) -> None:
        super().__init__()
        self.trunk = mlp((2 * STYLE_STATE_SIZE + 1, *hidden), "relu")
        self.head = nn.Linear(hidden[-1], 1)

    def forward(self, transition: Tensor) -> Tensor:
        """Scores (B,) of normalised transitions (B, 73): first state, second state, speed."""
        return self.head(torch.relu(self.trunk(transition))).squeeze(-1)


def score_to_reward(score: Tensor) -> Tensor:
    """Style reward max(0, 1 - (D - 1)^2 / 4) of discriminator scores, between 0 and 1."""
    return (1.0 - 0.25 * (score - 1.0).square()).clamp(min=0.0)


class MotionPrior:
    """Discriminator, normaliser and replay, and their updates.

    Every transition of the policy is set against an expert's of the same speed and under the same
    speed label, so that the label says nothing of where a transition comes from. The reference only
    walks: transitions under the command to stand (speed 0) are neither learned from nor remembered.

    Args:
        reference: Expert transitions.
        config: Hyper-parameters.
        world: Peers.
        device: Where everything lives.
        capture: Replay the updates as CUDA graphs.
    """

    def __init__(
        self,
        reference: StyleReference,
        config: AmpConfig,
        world: World,
        device: torch.device,
        capture: bool = True,
    ) -> None:
        self.config, self._reference, self._world = config, reference, world
        self.discriminator = Discriminator(config.hidden).to(device)
        self.normalizer = RunningNormalizer(STYLE_STATE_SIZE, config.normalizer_clip).to(device)
        self.normalizer.update(reference.first, world)
        self.optimizer = FlatAdam(
            [
                {
                    "params": list(self.discriminator.trunk.parameters()),
                    "weight_decay": config.trunk_decay,
                },
                {
                    "params": list(self.discriminator.head.parameters()),
                    "weight_decay": config.head_decay,
                },
            ],
            config.learning_rate,
            device,
            max_norm=float("inf"),
        )
        self.condition = SpeedCondition(reference.config, config)
        self.replay = torch.zeros(config.replay_size, _WIDTH, device=device)
        self._filled = torch.zeros((), device=device)
        self._cursor = 0
        self._policy_batch = torch.zeros(config.batch_size, _WIDTH, device=device)
        self._sums = torch.zeros(len(_METRICS), device=device)
        self._compute = Replayed(self._compute_gradients, device, capture)
        self._apply = Replayed(self.optimizer.step, device, capture)
        self._device = device

    def _features(self, transition: Tensor) -> Tensor:
        """Normalise raw transitions (B, 73) whose last column is the commanded speed."""
        first, second = transition[:, :STYLE_STATE_SIZE], transition[:, STYLE_STATE_SIZE:-1]
        return torch.cat(
            [self.normalizer(first), self.normalizer(second), self.condition(transition[:, -1:])],
            dim=-1,
        )

    @torch.no_grad()
    def style_reward(self, transitions: Tensor) -> Tensor:
        """max(0, 1 - (D - 1)^2 / 4) of raw transitions (B, 73), between 0 and 1."""
        score = self.discriminator(self._features(transitions))
        return score_to_reward(score)

    def update(self, transitions: Tensor) -> Dict[str, float]:
        """Learn to tell the reference from the policy.

        Args:
            transitions: (B, 73) raw transitions of the last rollout.
        """
        config = self.config
        moving = (transitions[:, -1] > 0.0).cumsum(0)
        chosen = transitions[self._draw_moving(moving, config.replay_inserts)]
        self._remember(chosen)
        expert, _ = self._reference.sample_transitions(self.condition.clamp(chosen[:, -1]))
        self.normalizer.update(torch.cat([chosen[:, :STYLE_STATE_SIZE], expert]), self._world)
        self._sums.zero_()
        half = config.batch_size // 2
        for _ in range(config.updates):
            fresh = self._draw_moving(moving, config.batch_size - half)
            old = (torch.rand(half, device=self._device) * self._filled).long()
            self._policy_batch.copy_(torch.cat([transitions[fresh], self.replay[old]]))
            self._compute()
            self._world.average_(self.optimizer.gradient)
            self._apply()
        return dict(zip(_METRICS, (self._sums / config.updates).tolist()))

    def _draw_moving(self, moving: Tensor, count: int) -> Tensor:
        """Random rows (count,) among those that move; any row, which then weighs nothing, where none does.

        Args:
            moving: (B,) how many rows up to each one move, itself included.
            count: Rows to draw.
        """
        draw = torch.rand(count, device=self._device, dtype=torch.float64) * moving[-1]
        return torch.searchsorted(moving, draw.long() + 1).clamp(max=moving.shape[0] - 1)

    def _remember(self, transitions: Tensor) -> None:
        count = min(len(transitions), len(self.replay))
        rows = (torch.arange(count, device=self._device) + self._cursor) % len(self.replay)
        self.replay[rows] = transitions[:count]
        self._cursor = (self._cursor + count) % len(self.replay)
        self._filled.add_(count).clamp_(max=len(self.replay))

    def _compute_gradients(self) -> None:
        config = self.config
        told = self._policy_batch[:, -1:]
        moves = (told[:, 0] > 0.0).float()
        pair = self._reference.sample_transitions(self.condition.clamp(told[:, 0]))
        expert = self._features(torch.cat([*pair, told], -1)).requires_grad_(True)
        policy = self._features(self._policy_batch)
        self.optimizer.zero_grad()
        expert_score = self.discriminator(expert)
        policy_score = self.discriminator(policy)
        errors = (expert_score - 1.0).square() + (policy_score + 1.0).square()
        loss = 0.5 * masked_mean(errors, moves)
        gradient = torch.autograd.grad(expert_score.sum(), expert, create_graph=True)[0]
        penalty = masked_mean(gradient.square().sum(-1), moves)
        (loss + config.gradient_penalty * penalty).backward()
        scores = [masked_mean(score, moves) for score in (expert_score, policy_score)]
        rows = [*scores, loss, penalty]
        self._sums.add_(torch.stack([row.detach() for row in rows]))

    def state_dict(self) -> Dict[str, Any]:
        """Networks, optimiser and statistics; the replay is saved apart because of its size."""
        return {
            "discriminator": self.discriminator.state_dict(),
            "normalizer": self.normalizer.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Restore what `state_dict` gave."""
        self.discriminator.load_state_dict(state["discriminator"])
        self.normalizer.load_state_dict(state["normalizer"])
        self.optimizer.load_state_dict(state["optimizer"])

    def replay_state(self) -> Dict[str, Tensor]:
        """The remembered transitions in half precision."""
        return {
            "transitions": self.replay[: int(self._filled)].half(),
            "cursor": torch.tensor(self._cursor),
        }

    def load_replay_state(self, state: Dict[str, Tensor]) -> None:
        """Restore what `replay_state` gave, as far as it fits."""
        rows = state["transitions"][: len(self.replay)].float().to(self._device)
        self.replay[: len(rows)] = rows
        self._filled.fill_(float(len(rows)))
        self._cursor = int(state["cursor"]) % len(self.replay)
