"""Actor and critic networks."""

from __future__ import annotations

from typing import Sequence, Tuple

import torch
from torch import Tensor, nn

ACTIVATIONS = {
    "elu": nn.ELU,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}


def mlp(sizes: Sequence[int], activation: str) -> nn.Sequential:
    """A multi-layer perceptron without activation after its last layer.

    Args:
        sizes: Widths, input and output included.
        activation: One of `ACTIVATIONS`.

    Raises:
        ValueError: On an unknown activation.
    """
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"unknown activation {activation!r}, allowed are {', '.join(sorted(ACTIVATIONS))}"
        )
    layers = []
    for index, (fan_in, fan_out) in enumerate(zip(sizes[:-1], sizes[1:])):
        if index:
            layers.append(ACTIVATIONS[activation]())
        layers.append(nn.Linear(fan_in, fan_out))
    return nn.Sequential(*layers)


class ActorCritic(nn.Module):
    """Gaussian policy with a state-independent standard deviation, and a value function.

    Args:
        observation_size: Of the actor.
        critic_observation_size: Of the critic.
        action_size: Of the action.
        hidden: Hidden widths of both networks.
        activation: Of the hidden layers.
        initial_std: Of the action noise, in action units.
        minimum_std: It is never smaller.

    Attributes:
        minimum_log_std: Logarithm of `minimum_std`.
    """

    def __init__(
        self,
        observation_size: int,
        critic_observation_size: int,
        action_size: int,
        hidden: Sequence[int] = (512, 256, 128),
        activation: str = "elu",
        initial_std: float = 0.7,
        minimum_std: float = 0.05,
    ) -> None:
        super().__init__()
        self.actor = mlp((observation_size, *hidden, action_size), activation)
        self.critic = mlp((critic_observation_size, *hidden, 1), activation)
        self.log_std = nn.Parameter(torch.full((action_size,), float(initial_std)).log())
        self.minimum_log_std = float(torch.tensor(minimum_std).log())
        with torch.no_grad():
            output = self.actor[-1]
            assert isinstance(output, nn.Linear)
            output.weight.mul_(0.1)
            output.bias.zero_()

    def mean(self, observation: Tensor) -> Tensor:
        """Mean action (B, 12) of observations (B, 45)."""
        return self.actor(observation)

    def policy(self, observation: Tensor) -> Tuple[Tensor, Tensor]:
        """Mean (B, 12) and standard deviation (B, 12) of the action."""
        mean = self.mean(observation)
        return mean, self.std().expand_as(mean)

    def std(self) -> Tensor:
        """Standard deviation of the action noise, (12,)."""
        return self.log_std.clamp(min=self.minimum_log_std).exp()

    def value(self, critic_observation: Tensor) -> Tensor:
        """Expected return (B,) of critic observations."""
        return self.critic(critic_observation).squeeze(-1)


def gaussian_log_prob(action: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Log density of actions under independent Gaussians, summed over the last axis."""
    scaled = (action - mean) / std
    return (-0.5 * scaled.square() - std.log() - 0.9189385332046727).sum(-1)


def gaussian_entropy(std: Tensor) -> Tensor:
    """Entropy of independent Gaussians, summed over the last axis."""
    return (std.log() + 1.4189385332046727).sum(-1)


def gaussian_kl(mean_p: Tensor, std_p: Tensor, mean_q: Tensor, std_q: Tensor) -> Tensor:
    """KL(p || q) of independent Gaussians, summed over the last axis.

    With p the base policy and q the current one this is the sum of log(sigma_q / sigma_p)
    + (sigma_p^2 + (mu_p - mu_q)^2) / (2 sigma_q^2) - 1/2.
    """
    ratio = (std_p.square() + (mean_p - mean_q).square()) / (2.0 * std_q.square())
    return (std_q.log() - std_p.log() + ratio - 0.5).sum(-1)


def masked_mean(value: Tensor, mask: Tensor) -> Tensor:
    """Mean of `value` where `mask` is 1; 0 if it is nowhere 1."""
    return (value * mask).sum() / mask.sum().clamp(min=1.0)
