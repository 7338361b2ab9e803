"""Runs one policy file: robot state and command in, joint targets out. No ROS."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError

from aliengo_policy.contract import (
    ACTION_SIZE,
    INPUT_NAME,
    OUTPUT_NAMES,
    ContractError,
    PolicyContract,
    read_contract,
)
from aliengo_policy.observation import ObservationBuilder, ObservationSources, RobotState

# A residual that the graph itself clamps sits on its bound up to float32 rounding.
_BOUND_TOLERANCE = 1e-5
_STEP_TOLERANCE = 1e-4
#: Random observations that a model's limit on the step is tried with when it is loaded.
_STEP_PROBES = 16


class PolicyFaultError(RuntimeError):
    """The policy has no usable action: its observation or its base action is not finite."""


@dataclass(frozen=True, slots=True)
class PolicyOutput:
    """One policy step.

    Attributes:
        observation: (observation_size,) float32, what the network saw.
        action: (12,) raw action in use, after the clip.
        base_action: (12,) raw action of the base.
        residual_action: (12,) what the residual adds, gate included; zero after a residual fault.
        joint_targets: (12,) [rad].
        gate: how far the residual's gate is open, 0 to 1.
        inference_time_s: time for observation and network [s].
    """

    observation: np.ndarray
    action: np.ndarray
    base_action: np.ndarray
    residual_action: np.ndarray
    joint_targets: np.ndarray
    gate: float
    inference_time_s: float


class PolicyRuntime:
    """A loaded policy and its memory of the last action.

    A residual that is not finite or exceeds the contract's bound is switched off in the very step
    in which it shows, and stays off until :meth:`clear_residual_fault`; the base's action is used.

    Args:
        path: the ONNX file.

    Raises:
        ContractError: when the file is absent, no ONNX model, or breaks the contract.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.name = self.path.stem
        model = _load_model(self.path)
        self.contract: PolicyContract = read_contract(model)
        self._builder = ObservationBuilder(self.contract)
        self._session = _make_session(self.path, model)
        self._input = np.zeros((1, self.contract.observation_size), dtype=np.float32)
        self._default = np.array(self.contract.default_joint_positions)
        self._scale = np.array(self.contract.action_scale)
        self._last_action = np.zeros(ACTION_SIZE)
        self.residual_fault = ""
        self._check_outputs()

    @property
    def residual_active(self) -> bool:
        """Whether the residual may act: the policy has one and it has shown no fault."""
        return self.contract.kind == "residual" and not self.residual_fault

    def reset(self) -> None:
        """Forget the last action, as at the start of a training episode."""
        self._last_action[:] = 0.0

    def clear_residual_fault(self) -> None:
        """Allow the residual again."""
        self.residual_fault = ""

    def step(self, state: RobotState, command: np.ndarray) -> PolicyOutput:
        """Evaluate the policy once.

        Args:
            state: the newest measurement.
            command: (3,) vx, vy [m/s], wz [rad/s].

        Raises:
            PolicyFaultError: when there is no finite observation or no finite base action.
        """
        start = time.perf_counter()
        sources = ObservationSources(state, command, self._last_action, self._default)
        self._builder.build(sources, self._input[0])
        if not np.isfinite(self._input).all():
            raise PolicyFaultError(
                f"policy {self.name}: observation {_first_bad(self._input[0])} is not finite"
            )
        outputs = self._session.run(OUTPUT_NAMES, {INPUT_NAME: self._input})
        raw_action, raw_base, raw_residual = (output[0].astype(np.float64) for output in outputs)
        if not np.isfinite(raw_base).all():
            raise PolicyFaultError(
                f"policy {self.name}: base action {_first_bad(raw_base)} is not finite"
            )
        self._watch_residual(raw_action, raw_residual)
        clip = self.contract.action_clip
        base = np.clip(raw_base, -clip, clip)
        if self.residual_fault:
            action, residual = base.copy(), np.zeros(ACTION_SIZE)
        else:
            action, residual = np.clip(raw_action, -clip, clip), raw_residual
        self._last_action[:] = action
        gate = self.contract.residual_gate
        opening = gate.opening(command) if gate and self.residual_active else 0.0
        return PolicyOutput(
            observation=self._input[0].copy(),
            action=action,
            base_action=base,
            residual_action=residual,
            joint_targets=self._default + self._scale * action,
            gate=opening,
            inference_time_s=time.perf_counter() - start,
        )

    def _watch_residual(self, action: np.ndarray, residual: np.ndarray) -> None:
        if self.residual_fault:
            return
        if not (np.isfinite(residual).all() and np.isfinite(action).all()):
            culprit = residual if not np.isfinite(residual).all() else action
            self.residual_fault = f"residual action {_first_bad(culprit)} is not finite"
            return
        bound = self.contract.residual_bound
        largest = float(np.abs(residual).max())
        if bound is not None and largest > bound * (1.0 + _BOUND_TOLERANCE):
            self.residual_fault = (
                f"residual action {largest:.3f} exceeds the contract's bound {bound:.3f}"
            )

    def _check_outputs(self) -> None:
        """Refuse a model whose real outputs differ from the declared ones."""
        for name, value in zip(
            OUTPUT_NAMES, self._session.run(OUTPUT_NAMES, {INPUT_NAME: self._input}), strict=True
        ):
            if value.shape != (1, ACTION_SIZE):
                raise ContractError(
                    f"shape of {name} as computed", f"(1, {ACTION_SIZE})", value.shape
                )
            if not np.isfinite(value).all():
                raise ContractError(
                    f"{name} for an all-zero observation", "finite numbers", value[0].tolist()
                )
        self._check_target_step()

    def _check_target_step(self) -> None:
        """Refuse a model that does not hold its targets to the step that it declares."""
        limit = self.contract.max_target_step
        if limit is None:
            return
        rng = np.random.default_rng(0)
        scale = np.array(self.contract.action_scale)
        names = [term.name for term in self.contract.observation_terms]
        if "last_action" not in names:
            raise ContractError("observation_terms", "'last_action' for max_target_step", names)
        index = names.index("last_action")
        start = sum(term.size for term in self.contract.observation_terms[:index])
        last_scale = np.array(self.contract.observation_terms[index].scale)
        shape = (_STEP_PROBES, self.contract.observation_size)
        probes = rng.normal(scale=3.0, size=shape).astype(np.float32)
        last = probes[:, start : start + ACTION_SIZE] / last_scale
        held = OUTPUT_NAMES[:2]
        # One by one, as on the robot: the file need not take several at once.
        rows = [self._session.run(held, {INPUT_NAME: probe[None]}) for probe in probes]
        for name, value in zip(held, zip(*rows, strict=True), strict=True):
            step = float(np.abs(scale * (np.concatenate(value) - last)).max())
            if not step <= limit * (1.0 + _STEP_TOLERANCE):
                raise ContractError(
                    f"step of {name} from the last action",
                    f"at most max_target_step, {limit} rad",
                    f"{step:.4f} rad",
                )


def _load_model(path: Path) -> onnx.ModelProto:
    if not path.is_file():
        beside = sorted(item.name for item in path.parent.glob("*.onnx"))
        raise ContractError("file", "an ONNX policy", f"no file {path}; its folder holds {beside}")
    try:
        model = onnx.load(path)
    except DecodeError as error:
        raise ContractError(
            "file", "an ONNX policy", f"{path}, which is no ONNX file ({error})"
        ) from None
    except (OSError, ValueError, onnx.checker.ValidationError) as error:  # e.g. weights beside it
        raise ContractError("file", "an ONNX policy in one file", f"{path}: {error}") from None
    return model


def _make_session(path: Path, model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # One small network at 50 Hz: more threads only add wake-up jitter to the control loop.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's own exception types are not a public API
        raise ContractError(
            "graph", "a model that onnxruntime can run", f"{path}: {error}"
        ) from None


def _first_bad(values: np.ndarray) -> str:
    index = int(np.flatnonzero(~np.isfinite(values))[0])
    return f"[{index}] = {values[index]}"
