"""The age of the last news, judged fairly by one who may himself have slept."""

from __future__ import annotations

__all__ = ["StallAwareAge"]


class StallAwareAge:
    """Counts the time since the last news in the ticks of the counting loop.

    On a busy machine the loop that watches a deadline can itself stand still for longer than that
    deadline. The time of such a stall says nothing about the one who is watched: his message may
    have been waiting all along. So of a gap between two ticks only `STALL_S` counts, and the rest
    is forgiven, up to a credit that is renewed by the next news. Without a stall the age is exact,
    and with stalls a dead partner is still noticed after at most the time-out plus the credit.
    """

    STALL_S = 0.01
    """A longer gap between two ticks is a stall of the loop: five periods at 500 Hz."""

    def __init__(self, credit_s: float) -> None:
        """Start at age zero.

        Args:
            credit_s: Most time that stalls may hide between two pieces of news.
        """
        self._credit_s = credit_s
        self.reset()

    @property
    def age_s(self) -> float:
        """Time since the last news [s], less the stalls that were forgiven."""
        return self._age_s

    def reset(self) -> None:
        """Note that news came."""
        self._age_s = 0.0
        self._left_s = self._credit_s

    def advance(self, elapsed_s: float) -> None:
        """Note that one tick of the loop took this long [s]."""
        forgiven = min(max(0.0, elapsed_s - self.STALL_S), self._left_s)
        self._left_s -= forgiven
        self._age_s += elapsed_s - forgiven
