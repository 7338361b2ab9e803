"""Proximal policy optimisation (Schulman et al. 2017) with an adaptive learning rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, Optional, Tuple

import torch
from torch import Tensor

from aliengo_training.checks import require
from aliengo_training.learning.capture import Replayed
from aliengo_training.learning.distributed import World
from aliengo_training.learning.networks import (
    ActorCritic,
    gaussian_entropy,
    gaussian_kl,
    gaussian_log_prob,
)
from aliengo_training.learning.optimizer import FlatAdam
from aliengo_training.learning.storage import RolloutStorage, generalized_advantages


@dataclass(frozen=True)
class PpoConfig:
    """Hyper-parameters of PPO.

    Attributes:
        rollout_steps: Control steps per environment and iteration.
        epochs: Passes over a rollout.
        minibatches: Parts that each pass is split into.
        learning_rate: At the start.
        target_kl: The learning rate follows it: less above twice, more below half of it; 0 keeps the rate.
        learning_rate_range: Bounds of the adaptation.
        gamma: Discount.
        lam: GAE's lambda.
        clip: Of the probability ratio and of the value change.
        entropy: Weight of the entropy bonus.
        value: Weight of the value loss.
        max_gradient_norm: Gradient clip.
    """

    rollout_steps: int = 16
    epochs: int = 4
    minibatches: int = 4
    learning_rate: float = 1e-3
    target_kl: float = 0.015
    learning_rate_range: Tuple[float, float] = (1e-5, 3e-3)
    gamma: float = 0.99
    lam: float = 0.95
    clip: float = 0.2
    entropy: float = 0.002
    value: float = 1.0
    max_gradient_norm: float = 1.0

    def __post_init__(self) -> None:
        """Refuses counts of nothing and discounts that are none."""
        for name in ("rollout_steps", "epochs", "minibatches"):
            count = getattr(self, name)
            require(f"ppo.{name}", count, count >= 1, "at least 1")
        for name in ("gamma", "lam"):
            share = getattr(self, name)
            require(f"ppo.{name}", share, 0.0 <= share <= 1.0, "0 to 1")


ExtraLoss = Callable[[Tensor, Tensor, Tensor], Tuple[Tensor, Dict[str, Tensor]]]

_METRICS = ("surrogate", "value_loss", "kl", "entropy")


class Ppo:
    """Updates an actor-critic from a rollout.

    Args:
        model: The networks.
        storage: With the fields of `rollout_fields`.
        config: Hyper-parameters.
        world: Peers to average gradients with.
        device: Where everything lives.
        extra_loss: Adds (loss, metrics) computed from indices into the rollout, mean and std of the policy.
        extra_metrics: Names of the metrics that it returns.
        capture: Replay the updates as CUDA graphs.
    """

    def __init__(
        self,
        model: ActorCritic,
        storage: RolloutStorage,
        config: PpoConfig,
        world: World,
        device: torch.device,
        extra_loss: Optional[ExtraLoss] = None,
        extra_metrics: Tuple[str, ...] = (),
        capture: bool = True,
    ) -> None:
        self.model, self.storage, self.config = model, storage, config
        self._world, self._extra_loss = world, extra_loss
        trainable = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = FlatAdam(
            [{"params": trainable}], config.learning_rate, device, config.max_gradient_norm
        )
        samples = storage.steps * storage.num_envs
        if samples % config.minibatches:
            raise ValueError(
                f"{samples} samples per rollout cannot be split into {config.minibatches} equal mini-batches"
            )
        self._size = samples // config.minibatches
        self._samples = samples
        self._index = torch.zeros(self._size, dtype=torch.int64, device=device)
        self._old_std = torch.ones(model.log_std.shape[0], device=device)
        self._returns = torch.zeros(samples, device=device)
        self._advantages = torch.zeros(samples, device=device)
        self._names = _METRICS + extra_metrics
        self._sums = torch.zeros(len(self._names), device=device)
        self._kl = torch.zeros((), device=device)
        self._compute = Replayed(self._compute_gradients, device, capture)
        self._apply = Replayed(self._apply_gradients, device, capture)
        self._device = device

    @staticmethod
    def rollout_fields(observation: int, critic: int, action: int) -> Dict[str, Tuple[int, ...]]:
        """Fields that PPO needs in a `RolloutStorage`."""
        return {
            "observation": (observation,),
            "critic_observation": (critic,),
            "action": (action,),
            "mean": (action,),
            "log_prob": (),
            "value": (),
            "reward": (),
            "done": (),
        }

    def update(self, last_value: Tensor) -> Dict[str, float]:
        """Learn from the rollout in storage.

        Args:
            last_value: (N,) value of the states after the rollout.

        Returns:
            Means of the losses and the learning rate.
        """
        config, storage = self.config, self.storage
        self._old_std.copy_(self.model.std().detach())
        returns, advantages = generalized_advantages(
            storage["reward"],
            storage["value"],
            last_value,
            storage["done"],
            config.gamma,
            config.lam,
        )
        self._returns.copy_(returns.flatten())
        self._advantages.copy_(self._normalize(advantages.flatten()))
        self._sums.zero_()
        for _ in range(config.epochs):
            order = torch.randperm(self._samples, device=self._device).view(config.minibatches, -1)
            for minibatch in order:
                self._index.copy_(minibatch)
                self._compute()
                self._world.average_(self.optimizer.gradient)
                self._world.average_(self._kl)
                self._apply()
        values = (self._sums / (config.epochs * config.minibatches)).tolist()
        metrics = dict(zip(self._names, values))
        metrics["learning_rate"] = float(self.optimizer.learning_rate)
        metrics["action_std"] = float(self._old_std.mean())
        return metrics

    def _normalize(self, advantages: Tensor) -> Tensor:
        mean = advantages.mean()
        self._world.average_(mean)
        variance = (advantages - mean).square().mean()
        self._world.average_(variance)
        return (advantages - mean) / (variance.sqrt() + 1e-8)

    def _compute_gradients(self) -> None:
        config, storage, index = self.config, self.storage, self._index
        self.optimizer.zero_grad()
        mean, std = self.model.policy(storage.flat("observation")[index])
        value = self.model.value(storage.flat("critic_observation")[index])
        log_prob = gaussian_log_prob(storage.flat("action")[index], mean, std)
        ratio = torch.exp(log_prob - storage.flat("log_prob")[index])
        advantage = self._advantages[index]
        surrogate = -torch.min(
            ratio * advantage, ratio.clamp(1.0 - config.clip, 1.0 + config.clip) * advantage
        ).mean()
        value_loss = self._value_loss(value, storage.flat("value")[index], self._returns[index])
        entropy = gaussian_entropy(std).mean()
        loss = surrogate + config.value * value_loss - config.entropy * entropy
        metrics = [surrogate, value_loss]
        extra: Dict[str, Tensor] = {}
        if self._extra_loss is not None:
            added, extra = self._extra_loss(index, mean, std)
            loss = loss + added
        loss.backward()
        with torch.no_grad():
            old_mean = storage.flat("mean")[index]
            kl = gaussian_kl(old_mean, self._old_std.expand_as(old_mean), mean, std).mean()
            self._kl.copy_(kl)
            rows = metrics + [kl, entropy] + [extra[name] for name in self._names[len(_METRICS) :]]
            self._sums.add_(torch.stack([row.detach() for row in rows]))

    def _value_loss(self, value: Tensor, old_value: Tensor, returns: Tensor) -> Tensor:
        clipped = old_value + (value - old_value).clamp(-self.config.clip, self.config.clip)
        return torch.max((value - returns).square(), (clipped - returns).square()).mean()

    def _apply_gradients(self) -> None:
        config = self.config
        if config.target_kl > 0.0:
            factor = torch.where(self._kl > 2.0 * config.target_kl, 1.0 / 1.5, 1.0)
            factor = torch.where(self._kl < 0.5 * config.target_kl, 1.5, factor)
            rate = self.optimizer.learning_rate
            rate.copy_((rate * factor).clamp(*config.learning_rate_range))
        self.optimizer.step()
        # Below its bound the noise would have no gradient and could never grow again.
        with torch.no_grad():
            self.model.log_std.clamp_(min=self.model.minimum_log_std)
