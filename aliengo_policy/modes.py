"""Modes of the controller and the transitions between them, as data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Mode(str, Enum):
    """What the robot is doing; the value is the name used on topics."""

    DAMPING = "damping"
    STAND_UP = "stand_up"
    STAND = "stand"
    WALK = "walk"
    SIT_DOWN = "sit_down"


@dataclass(frozen=True)
class Transition:
    """A change of mode that may be requested, and the guards that must agree to it."""

    sources: frozenset[Mode]
    target: Mode
    guards: tuple[str, ...] = ()


# Guards of every mode but DAMPING, checked at each step; the first that refuses ends in DAMPING.
ACTIVE = ("state_fresh", "state_finite", "bridge_ready", "not_fallen")

_READY = ("state_fresh", "state_finite", "bridge_ready", "upright")

REQUESTS: tuple[Transition, ...] = (
    Transition(frozenset(Mode), Mode.DAMPING),
    Transition(
        frozenset({Mode.DAMPING, Mode.SIT_DOWN}), Mode.STAND_UP, (*_READY, "bridge_free", "still")
    ),
    Transition(
        frozenset({Mode.STAND}),
        Mode.WALK,
        (*_READY, "stand_reached", "still", "on_stand_pose", "command_fresh"),
    ),
    # From WALK the robot first stops, then takes up the stand, then sits down if asked to.
    Transition(frozenset({Mode.WALK, Mode.STAND}), Mode.STAND),
    Transition(frozenset({Mode.STAND_UP, Mode.STAND, Mode.WALK}), Mode.SIT_DOWN),
)


def find_transition(source: Mode, target: Mode) -> Transition | str:
    """The transition for a request, or the reason why there is none."""
    candidates = [transition for transition in REQUESTS if transition.target is target]
    for transition in candidates:
        if source in transition.sources:
            return transition
    allowed = sorted(mode.value for transition in candidates for mode in transition.sources)
    return f"{target.value} refused: not possible from {source.value}, only from {allowed}"
