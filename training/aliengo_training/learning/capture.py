"""Replaying torch work as a CUDA graph, so that Python launches one graph instead of hundreds of small kernels."""

from __future__ import annotations

from typing import Any, Callable, Optional

import torch

WARMUP_CALLS = 3


class Replayed:
    """A function without arguments that works on fixed tensors, captured after a few eager calls.

    The first calls run eagerly and for real: they load kernels and let optimisers and allocators settle, and nothing is
    executed twice. Then the function is recorded once and replayed. On a CPU it is simply called.

    Args:
        function: Reads and writes tensors that live as long as this object, without host synchronisation.
        device: Where it runs.
        enabled: Off calls the function eagerly for ever (for debugging).
    """

    def __init__(
        self, function: Callable[[], None], device: torch.device, enabled: bool = True
    ) -> None:
        self._function = function
        self._enabled = enabled and device.type == "cuda"
        self._calls = 0
        self._graph: Optional[Any] = None

    def __call__(self) -> None:
        """Run the function once."""
        if self._graph is not None:
            self._graph.replay()
            return
        if not self._enabled or self._calls < WARMUP_CALLS:
            self._calls += 1
            self._function()
            return
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(
            graph, stream=torch.cuda.current_stream(), capture_error_mode="thread_local"
        ):
            self._function()
        self._graph = graph
        graph.replay()
