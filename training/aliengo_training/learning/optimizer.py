"""Adam over one flat gradient: one all-reduce, one norm, and steps that a CUDA graph can replay."""

from __future__ import annotations

from typing import Any, Dict, List

import torch
from torch import nn

_OF_DEVICE = ("capturable", "fused", "foreach")


class FlatAdam:
    """Adam whose gradients are views of one tensor and whose learning rate is a tensor.

    Args:
        groups: Parameter groups as `torch.optim.Adam` takes them (`params`, `weight_decay`).
        learning_rate: Initial rate.
        device: Of the parameters.
        max_norm: Gradients are scaled down to this norm; infinity leaves them.
    """

    def __init__(
        self,
        groups: List[Dict[str, Any]],
        learning_rate: float,
        device: torch.device,
        max_norm: float,
    ) -> None:
        self.parameters: List[nn.Parameter] = [p for group in groups for p in group["params"]]
        self.gradient = torch.zeros(sum(p.numel() for p in self.parameters), device=device)
        start = 0
        for parameter in self.parameters:
            parameter.grad = self.gradient[start : start + parameter.numel()].view_as(parameter)
            start += parameter.numel()
        self.learning_rate = torch.tensor(float(learning_rate), device=device)
        self._max_norm = max_norm
        on_gpu = device.type == "cuda"
        self._adam = torch.optim.Adam(
            groups,
            lr=self.learning_rate,
            capturable=on_gpu,
            fused=on_gpu,
            foreach=False if not on_gpu else None,
        )

    def zero_grad(self) -> None:
        """Clear the gradients in place, so that they stay views of one tensor."""
        self.gradient.zero_()

    def step(self) -> None:
        """Clip the gradient's norm and step."""
        norm = self.gradient.norm()
        self.gradient.mul_((self._max_norm / (norm + 1e-6)).clamp(max=1.0))
        self._adam.step()

    def state_dict(self) -> Dict[str, Any]:
        """Moments, steps and the learning rate."""
        return {"adam": self._adam.state_dict(), "learning_rate": float(self.learning_rate)}

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Restore what `state_dict` gave; the learning rate stays the same tensor."""
        saved = dict(state["adam"])
        own = self._adam.state_dict()["param_groups"]
        if len(saved["param_groups"]) == len(own):  # else Adam says what does not fit
            # How it steps belongs to the device and not to the run: one begun on a CPU goes on on a GPU.
            device = [{name: group[name] for name in _OF_DEVICE} for group in own]
            groups = zip(saved["param_groups"], device)
            saved["param_groups"] = [{**group, **ours} for group, ours in groups]
        self._adam.load_state_dict(saved)
        self.learning_rate.fill_(float(state["learning_rate"]))
        for group in self._adam.param_groups:
            group["lr"] = self.learning_rate
