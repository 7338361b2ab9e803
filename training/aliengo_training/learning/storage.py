"""One rollout of experience, on the device, written step by step inside captured graphs."""

from __future__ import annotations

from typing import Dict, Tuple

import torch
from torch import Tensor


class RolloutStorage:
    """Named tensors (T, N, ...) and a write cursor that lives on the device.

    Args:
        steps: Control steps per rollout, T.
        num_envs: Environments, N.
        fields: Name to trailing shape; () for a scalar per environment.
        device: Where the tensors live.
    """

    def __init__(
        self, steps: int, num_envs: int, fields: Dict[str, Tuple[int, ...]], device: torch.device
    ) -> None:
        self.steps, self.num_envs = steps, num_envs
        self._data = {
            name: torch.zeros((steps, num_envs, *shape), device=device)
            for name, shape in fields.items()
        }
        self._cursor = torch.zeros(1, dtype=torch.int64, device=device)

    @property
    def fields(self) -> Tuple[str, ...]:
        """Names of the tensors."""
        return tuple(self._data)

    def __getitem__(self, name: str) -> Tensor:
        """The (T, N, ...) tensor of a field.

        Raises:
            KeyError: Lists the fields that exist.
        """
        if name not in self._data:
            raise KeyError(
                f"no field {name!r} in the rollout, there are {', '.join(sorted(self._data))}"
            )
        return self._data[name]

    def flat(self, name: str) -> Tensor:
        """The field with time and environment merged, (T * N, ...)."""
        return self[name].flatten(0, 1)

    def write(self, **values: Tensor) -> None:
        """Write the current step's rows (N, ...) of some fields."""
        for name, value in values.items():
            row = value.to(self._data[name].dtype).unsqueeze(0)
            self._data[name].index_copy_(0, self._cursor, row)

    def advance(self) -> None:
        """Move on to the next step, after the last one back to the first."""
        self._cursor.add_(1).remainder_(self.steps)


def generalized_advantages(
    rewards: Tensor, values: Tensor, last_value: Tensor, dones: Tensor, gamma: float, lam: float
) -> Tuple[Tensor, Tensor]:
    """Generalised advantage estimation (Schulman et al. 2016, eq. 16).

    Args:
        rewards: (T, N).
        values: (T, N) value of each step's state.
        last_value: (N,) value of the state after the last step.
        dones: (T, N), 1 where the episode ended with the step.
        gamma: Discount.
        lam: Trade-off between bias and variance.

    Returns:
        returns (T, N) and unnormalised advantages (T, N).
    """
    advantages = torch.zeros_like(rewards)
    running = torch.zeros_like(last_value)
    following = last_value
    for step in range(rewards.shape[0] - 1, -1, -1):
        alive = 1.0 - dones[step]
        delta = rewards[step] + gamma * alive * following - values[step]
        running = delta + gamma * lam * alive * running
        advantages[step] = running
        following = values[step]
    return advantages + values, advantages
