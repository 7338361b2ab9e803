"""Counts messages that were sent and never arrived, from the numbers that the middleware gives them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

__all__ = ["LossCounter"]


class LossCounter:
    """Follows the numbers of every publisher; a gap is a loss on the way, before the recorder.

    Attributes:
        lost: Number of messages by topic; topics without a loss are missing.
        counted: Whether the middleware numbers messages at all.
    """

    def __init__(self) -> None:
        self.lost: Counter[str] = Counter()
        self.counted = False
        self._last: dict[tuple[str, bytes], int] = {}

    def note(self, topic: str, info: Mapping[str, Any]) -> None:
        """Takes what the middleware says about a message that has arrived.

        Args:
            topic: Of the message.
            info: As `take_message` of rclpy returns it; older releases number nothing.
        """
        number, publisher = info.get("publication_sequence_number"), info.get("publisher_gid")
        if number is None or publisher is None:
            return
        self.counted = True
        key = (topic, publisher["data"])
        # What came before the first one was sent before there was a subscription.
        missing = number - self._last.get(key, number - 1) - 1
        if missing > 0:
            self.lost[topic] += missing
        self._last[key] = number
