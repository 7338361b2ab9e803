"""What a policy file says about itself: the training side of the policy file contract."""

from __future__ import annotations

import dataclasses
from typing import Any, Dict, Optional, Sequence, Tuple

import numpy as np

from aliengo_description import robot
from aliengo_training.gate import ResidualGate

__all__ = ["KINDS", "OBSERVATION_TERMS", "ExportError", "ObservationTerm", "PolicySpec"]

SCHEMA_VERSION = 2
KINDS = ("base", "residual", "finetune")


class ExportError(ValueError):
    """A policy that cannot be exported; the message names what is wrong with it."""


@dataclasses.dataclass(frozen=True)
class ObservationTerm:
    """A part of the observation: ``clamp(value * scale, *clip)``.

    Attributes:
        name: What it is.
        size: How many numbers.
        scale: One factor per number.
        clip: Lowest and highest value after scaling.
    """

    name: str
    size: int
    scale: Tuple[float, ...]
    clip: Tuple[float, float] = (-100.0, 100.0)


#: The 45 numbers that the actor sees.
OBSERVATION_TERMS = (
    ObservationTerm("base_angular_velocity", 3, (0.25,) * 3),
    ObservationTerm("projected_gravity", 3, (1.0,) * 3),
    ObservationTerm("velocity_command", 3, (2.0, 2.0, 0.25)),
    ObservationTerm("joint_position_error", 12, (1.0,) * 12),
    ObservationTerm("joint_velocity", 12, (0.05,) * 12),
    ObservationTerm("last_action", 12, (1.0,) * 12),
)


@dataclasses.dataclass(frozen=True)
class PolicySpec:
    """What a policy file says about itself; the robot's figures are the defaults.

    Attributes:
        kind: "base", "residual" or "finetune".
        command_ranges: Lowest and highest vx, vy [m/s] and wz [rad/s] that it accepts.
        training: ``run``, ``task``, ``iteration`` and ``git_commit`` that it came from.
        kp: Joint stiffness that it was trained with [N m/rad], ``(12,)``.
        kd: Joint damping that it was trained with [N m s/rad], ``(12,)``.
        action_scale: Joint target [rad] per unit of action, ``(12,)``.
        action_clip: Largest magnitude of an action.
        default_joint_positions: Joint targets of action 0 [rad], ``(12,)``.
        torque_limits: [N m], ``(12,)``.
        control_period_s: Time between policy steps [s].
        observation_terms: The observation, in order.
        gate: Where the residual is let in; for kind "residual" only.
        residual_bound: Largest magnitude of the residual in units of action; for kind "residual" only.
        max_target_step: Largest change of a joint target between policy steps [rad], None if unlimited.
    """

    kind: str
    command_ranges: Dict[str, Tuple[float, float]]
    training: Dict[str, Any]
    kp: Sequence[float] = tuple(robot.KP)
    kd: Sequence[float] = tuple(robot.KD)
    action_scale: Sequence[float] = tuple(robot.ACTION_SCALE)
    action_clip: float = 100.0
    default_joint_positions: Sequence[float] = tuple(robot.DEFAULT_JOINT_POSITIONS)
    torque_limits: Sequence[float] = tuple(robot.TORQUE_LIMITS)
    control_period_s: float = robot.CONTROL_PERIOD_S
    observation_terms: Sequence[ObservationTerm] = OBSERVATION_TERMS
    gate: Optional[ResidualGate] = None
    residual_bound: Optional[float] = None
    max_target_step: Optional[float] = None

    def __post_init__(self) -> None:
        """Refuse contradictions; ExportError names the field, its value and what is allowed."""
        if self.kind not in KINDS:
            raise ExportError(f"kind is {self.kind!r}: allowed are {list(KINDS)}")
        if (self.kind == "residual") != (self.gate is not None):
            raise ExportError(
                f"kind is {self.kind!r} and gate is {self.gate}: a residual policy needs a gate, "
                "another one must not have any"
            )
        bounded = self.residual_bound is not None and self.residual_bound > 0.0
        if (self.kind == "residual") != bounded:
            raise ExportError(
                f"residual_bound is {self.residual_bound} for kind {self.kind!r}: it must be "
                "positive for a residual policy, and None for another one"
            )
        if self.max_target_step is not None and not self.max_target_step > 0.0:
            raise ExportError(
                f"max_target_step is {self.max_target_step}: it must be positive, or None for no limit"
            )
        for name in ("kp", "kd", "action_scale", "default_joint_positions", "torque_limits"):
            values = np.asarray(getattr(self, name), dtype=np.float64)
            if values.shape != (12,) or not np.isfinite(values).all():
                raise ExportError(f"{name} is {values.tolist()}: expected 12 finite numbers")
        for name, most in (("kp", robot.KP_MAX), ("kd", robot.KD_MAX)):
            largest = max(getattr(self, name))
            if largest > most:
                raise ExportError(f"{name} is up to {largest:g}: the bridge takes up to {most:g}")
        for field, keys in (
            ("command_ranges", {"vx", "vy", "wz"}),
            ("training", {"run", "task", "iteration", "git_commit"}),
        ):
            if set(getattr(self, field)) != keys:
                raise ExportError(
                    f"{field} has the keys {sorted(getattr(self, field))}: expected {sorted(keys)}"
                )
        for term in self.observation_terms:
            if len(term.scale) != term.size:
                raise ExportError(
                    f"observation term {term.name!r} has {len(term.scale)} scales for "
                    f"{term.size} numbers"
                )

    @property
    def observation_size(self) -> int:
        """How many numbers the observation has."""
        return sum(term.size for term in self.observation_terms)

    def to_metadata(self, sha256: str) -> dict[str, Any]:
        """Return the JSON document of the file, numbers in full precision."""
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": self.kind,
            "robot": "aliengo",
            "joint_names": list(robot.JOINT_NAMES),
            "default_joint_positions": [float(v) for v in self.default_joint_positions],
            "action_scale": [float(v) for v in self.action_scale],
            "action_clip": float(self.action_clip),
            "kp": [float(v) for v in self.kp],
            "kd": [float(v) for v in self.kd],
            "torque_limits": [float(v) for v in self.torque_limits],
            "control_period_s": float(self.control_period_s),
            "history_length": 1,
            "observation_terms": [
                {
                    "name": term.name,
                    "size": term.size,
                    "scale": [float(v) for v in term.scale],
                    "clip": [float(v) for v in term.clip],
                }
                for term in self.observation_terms
            ],
            "command_ranges": {
                axis: [float(v) for v in limits] for axis, limits in self.command_ranges.items()
            },
            "residual_gate": None if self.gate is None else self.gate.to_metadata(),
            "residual_bound": None if self.residual_bound is None else float(self.residual_bound),
            "max_target_step": None
            if self.max_target_step is None
            else float(self.max_target_step),
            "training": dict(self.training),
            "weights_sha256": sha256,
        }
