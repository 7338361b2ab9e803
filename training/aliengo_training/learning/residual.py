"""Residual policy on a frozen base: a = mu_base(s) + gate(v_cmd) mu_res(s) + eps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, Sequence, Tuple

import torch
from torch import Tensor, nn

from aliengo_training.checks import require
from aliengo_training.gate import ResidualGate
from aliengo_training.learning.base_weights import base_parts
from aliengo_training.learning.networks import ActorCritic, gaussian_kl, masked_mean, mlp
from aliengo_training.learning.storage import RolloutStorage
from aliengo_training.tasks.observations import COMMAND_SCALE, COMMAND_SLICE


@dataclass(frozen=True)
class Schedule:
    """A value that moves linearly from `start` to `end` over `duration` iterations and stays there."""

    start: float
    end: float
    duration: int

    def at(self, iteration: int) -> float:
        """Value at an iteration."""
        if self.duration <= 0:
            return self.end
        share = min(1.0, max(0.0, iteration / self.duration))
        return self.start + (self.end - self.start) * share


@dataclass(frozen=True)
class ResidualConfig:
    """Hyper-parameters of residual learning.

    Attributes:
        hidden: Widths of the residual network.
        bound: Largest |mu_res| in action units, held by a tanh.
        gate: Where the residual acts.
        lambda_kl: Weight of the KL divergence from the base.
        lambda_l2: Weight of E||mu_res||^2.
        noise_scale: Factor on the action noise.
        kl_speed_threshold: The KL counts where the commanded planar speed exceeds it [m/s].
        initial_std: Of the action noise, in action units; in fine-tuning the least at the start.
    """

    hidden: Tuple[int, ...] = (512, 256, 128)
    bound: float = 4.0
    gate: ResidualGate = field(default_factory=ResidualGate)
    lambda_kl: Schedule = Schedule(0.0, 2e-4, 100)
    lambda_l2: Schedule = Schedule(0.0, 2e-3, 100)
    noise_scale: Schedule = Schedule(1.5, 1.0, 100)
    kl_speed_threshold: float = 1.1
    initial_std: float = 0.4

    def __post_init__(self) -> None:
        """Refuses what no policy file could hold."""
        require("residual.bound", self.bound, self.bound > 0.0, "a positive number")
        require(
            "residual.initial_std", self.initial_std, self.initial_std > 0.0, "a positive number"
        )


class CommandGate:
    """Opening (B, 1) of the residual for observations (B, 45), `ResidualGate` with its constants on the device.

    Args:
        gate: Where the residual may act.
        device: Where observations live; a captured CUDA graph must not copy constants from the host.
    """

    def __init__(self, gate: ResidualGate, device: torch.device) -> None:
        self._gate = gate
        self._constants = gate.constants(device)
        self._scale = torch.tensor(COMMAND_SCALE, device=device)

    def __call__(self, observation: Tensor) -> Tensor:
        """Opening of the gate, 0 to 1."""
        return self._gate.opening(observation[:, COMMAND_SLICE] / self._scale, self._constants)


class ActorCriticResidual(ActorCritic):
    """Actor-critic whose actor is a trainable correction of a frozen base actor.

    `actor` is the residual network; its last layer starts at zero, so that iteration 0 acts exactly as the base.

    Args:
        observation_size: Of the actor.
        critic_observation_size: Of the critic.
        action_size: Of the action.
        base_hidden: Widths of the base actor.
        activation: Of both actors and the critic.
        config: Residual hyper-parameters.
        critic_hidden: Widths of the critic.
        device: For the gate's constants.
    """

    base_std: Tensor
    noise_scale: Tensor

    def __init__(
        self,
        observation_size: int,
        critic_observation_size: int,
        action_size: int,
        base_hidden: Sequence[int],
        activation: str,
        config: ResidualConfig,
        critic_hidden: Sequence[int],
        device: torch.device,
    ) -> None:
        super().__init__(
            observation_size,
            critic_observation_size,
            action_size,
            critic_hidden,
            activation,
            initial_std=config.initial_std,
        )
        self.actor = mlp((observation_size, *config.hidden, action_size), activation)
        with torch.no_grad():
            output = self.actor[-1]
            assert isinstance(output, nn.Linear)
            output.weight.zero_()
            output.bias.zero_()
        self.base_actor = mlp((observation_size, *base_hidden, action_size), activation)
        self.base_actor.requires_grad_(False)
        self.register_buffer("base_std", torch.ones(action_size))
        self.register_buffer("noise_scale", torch.ones(()))
        self._bound = config.bound
        self._gate = CommandGate(config.gate, device)

    def load_base(self, base: Dict[str, Tensor]) -> None:
        """Take actor, noise and critic from a base (`load_base_weights`).

        Without the base's noise, `initial_std` stands in for it in the KL divergence; without its
        critic the critic starts anew.

        Raises:
            ValueError: If the base's networks have other sizes; names the parameters.
        """
        base_parts(base, {"actor": self.base_actor, "critic": self.critic})
        log_std = base.get("log_std")
        self.base_std.copy_(self.log_std.detach().exp() if log_std is None else log_std.exp())

    def residual(self, observation: Tensor) -> Tensor:
        """mu_res (B, 12) before the gate, within +-bound."""
        return self._bound * torch.tanh(self.actor(observation) / self._bound)

    def base_mean(self, observation: Tensor) -> Tensor:
        """mu_base (B, 12)."""
        with torch.no_grad():
            return self.base_actor(observation)

    def mean(self, observation: Tensor) -> Tensor:
        """Mean action (B, 12): base plus gated residual."""
        return self.base_mean(observation) + self._gate(observation) * self.residual(observation)

    def std(self) -> Tensor:
        """Standard deviation of the action noise, (12,), with its warm-up."""
        return super().std() * self.noise_scale


class ResidualRegularizer:
    """lambda_KL L_KL + lambda_L2 L_L2 for `Ppo`, with warm-up schedules.

    Args:
        model: The residual actor-critic.
        storage: Rollout with the field `base_mean`.
        config: Weights and schedules.
        device: Where everything lives.
    """

    metrics = ("kl_to_base", "residual_l2")

    def __init__(
        self,
        model: ActorCriticResidual,
        storage: RolloutStorage,
        config: ResidualConfig,
        device: torch.device,
    ) -> None:
        self._model, self._storage, self._config = model, storage, config
        self._lambda_kl = torch.zeros((), device=device)
        self._lambda_l2 = torch.zeros((), device=device)
        self._scale = torch.tensor(COMMAND_SCALE[:2], device=device)

    def set_iteration(self, iteration: int) -> Dict[str, float]:
        """Move the schedules; returns their values for the log."""
        config = self._config
        values = {
            "lambda_kl": config.lambda_kl.at(iteration),
            "lambda_l2": config.lambda_l2.at(iteration),
            "noise_scale": config.noise_scale.at(iteration),
        }
        self._lambda_kl.fill_(values["lambda_kl"])
        self._lambda_l2.fill_(values["lambda_l2"])
        self._model.noise_scale.fill_(values["noise_scale"])
        return values

    def __call__(
        self, index: Tensor, mean: Tensor, std: Tensor
    ) -> Tuple[Tensor, Dict[str, Tensor]]:
        """Loss and metrics of a mini-batch."""
        base_mean = self._storage.flat("base_mean")[index]
        command = self._storage.flat("observation")[index][:, COMMAND_SLICE][:, :2] / self._scale
        fast = (command.norm(dim=-1) > self._config.kl_speed_threshold).float()
        kl = masked_mean(
            gaussian_kl(base_mean, self._model.base_std.expand_as(base_mean), mean, std), fast
        )
        l2 = (mean - base_mean).square().sum(-1).mean()
        return self._lambda_kl * kl + self._lambda_l2 * l2, {"kl_to_base": kl, "residual_l2": l2}
