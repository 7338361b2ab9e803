"""Write a policy as one self-describing ONNX file.

The graph is built node by node from the weight matrices, so that it depends neither on the version
of torch nor on how a network was written: the same weights give the same file. Its metadata carry
everything that a runtime needs to build the observation and to use the action.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any, Optional, Sequence, Tuple, Union

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from aliengo_description import robot
from aliengo_training.contract import (
    OBSERVATION_TERMS,
    ExportError,
    ObservationTerm,
    PolicySpec,
)

__all__ = [
    "ACTIVATIONS",
    "OBSERVATION_TERMS",
    "ExportError",
    "MlpWeights",
    "ObservationTerm",
    "PolicySpec",
    "build_model",
    "export_policy",
    "weights_sha256",
]

METADATA_KEY = "aliengo_policy"
OPSET = 17  # with IR version 8: read by onnxruntime 1.13 and newer
IR_VERSION = 8

#: Activation name -> ONNX operator; Elu and LeakyRelu with torch's default slopes.
ACTIVATIONS = {
    "elu": ("Elu", {"alpha": 1.0}),
    "leaky_relu": ("LeakyRelu", {"alpha": 0.01}),
    "relu": ("Relu", {}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
}


@dataclasses.dataclass(frozen=True)
class MlpWeights:
    """A multilayer perceptron as matrices.

    Attributes:
        layers: Per layer the weight ``(out, in)`` and the bias ``(out,)``, as torch stores them.
        activation: Name in :data:`ACTIVATIONS`, after every layer but the last.
    """

    layers: Sequence[Tuple[np.ndarray, np.ndarray]]
    activation: str = "elu"

    @property
    def shape(self) -> list[int]:
        """Widths from the input to the output."""
        return [int(self.layers[0][0].shape[1])] + [int(w.shape[0]) for w, _ in self.layers]

    def check(self, name: str, inputs: int, outputs: int) -> None:
        """Refuse weights that do not fit together or hold something else than finite numbers."""
        if self.activation not in ACTIVATIONS:
            raise ExportError(
                f"{name}: activation is {self.activation!r}, allowed are {sorted(ACTIVATIONS)}"
            )
        width = inputs
        for index, (weight, bias) in enumerate(self.layers):
            shapes = f"weight {tuple(weight.shape)} and bias {tuple(bias.shape)}"
            if weight.ndim != 2 or weight.shape[1] != width or bias.shape != weight.shape[:1]:
                raise ExportError(
                    f"{name}: layer {index} has {shapes}, expected (n, {width}), (n,)"
                )
            if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
                raise ExportError(f"{name}: layer {index} holds NaN or infinite weights")
            width = weight.shape[0]
        if width != outputs:
            raise ExportError(f"{name}: gives {width} numbers, expected {outputs}")


def weights_sha256(model: onnx.ModelProto) -> str:
    """Hash the initializers of a model, in the order of their names.

    Each enters as its name, the ONNX data type and the dimensions in ASCII, each closed by a zero
    byte, and its values as raw little-endian bytes.
    """
    digest = hashlib.sha256()
    for tensor in sorted(model.graph.initializer, key=lambda t: t.name):
        dims = ",".join(str(d) for d in tensor.dims)
        header = f"{tensor.name}\0{tensor.data_type}\0{dims}\0"
        digest.update(header.encode("utf-8") + numpy_helper.to_array(tensor).tobytes())
    return digest.hexdigest()


def build_model(
    spec: PolicySpec, base: MlpWeights, residual: Optional[MlpWeights] = None
) -> onnx.ModelProto:
    """Build the checked ONNX model with its metadata.

    Raises:
        ExportError: If the weights do not fit the observation, the 12 joints or the kind.
    """
    if (spec.kind == "residual") != (residual is not None):
        found = "no residual weights" if residual is None else "residual weights"
        raise ExportError(f"kind is {spec.kind!r} with {found}")
    graph = _Graph()
    size, joints = spec.observation_size, len(robot.JOINT_NAMES)
    base.check("base", size, joints)
    graph.mlp("base", base, "base_raw")
    graph.step_bounds(spec)
    graph.stepped("base_raw", "base_action", spec)
    if residual is None:
        graph.node("Identity", ["base_action"], "action")
        graph.node("Shape", ["base_action"], "action_shape")
        graph.node("ConstantOfShape", ["action_shape"], "residual_action")
    else:
        residual.check("residual", size, joints)
        graph.mlp("residual", residual, "residual_raw")
        graph.bounded("residual_raw", spec, "residual_bounded")
        graph.opening(spec, "gate")
        graph.node("Mul", ["gate", "residual_bounded"], "residual_gated")
        graph.node("Add", ["base_raw", "residual_gated"], "action_raw")
        graph.stepped("action_raw", "action", spec)
        # What it changes: never more than the gated residual, and exactly 0 while the gate is closed.
        graph.node("Sub", ["action", "base_action"], "residual_action")
    model = graph.model(size, joints)
    metadata = json.dumps(spec.to_metadata(weights_sha256(model)), allow_nan=False)
    helper.set_model_props(model, {METADATA_KEY: metadata})
    onnx.checker.check_model(model, full_check=True)
    return model


def export_policy(
    spec: PolicySpec,
    base: MlpWeights,
    path: Union[str, Path],
    residual: Optional[MlpWeights] = None,
) -> str:
    """Write a policy file and return the SHA-256 of its weights.

    Outputs of the graph: ``base_action``, ``residual_action`` (what is added to it: bounded and
    gated; zero without a residual) and their sum ``action``, each ``(batch, 12)`` float32.
    """
    model = build_model(spec, base, residual)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(path.suffix + ".part")
    temporary.write_bytes(model.SerializeToString())
    temporary.replace(path)
    return weights_sha256(model)


class _Graph:
    """Nodes and constants of the graph as they are added; every tensor is float32."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def constant(self, name: str, values: Any, dtype: Any = np.float32) -> str:
        """Add an initializer and return its name."""
        array = np.ascontiguousarray(np.asarray(values), dtype=dtype)
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def node(self, operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node and return its output's name."""
        self.nodes.append(helper.make_node(operator, list(inputs), [output], output, **attributes))
        return output

    def mlp(self, name: str, weights: MlpWeights, output: str) -> None:
        """Add a perceptron from ``observation`` to ``output``."""
        operator, attributes = ACTIVATIONS[weights.activation]
        value, last = "observation", len(weights.layers) - 1
        for index, (weight, bias) in enumerate(weights.layers):
            inputs = [
                value,
                self.constant(f"{name}.{index}.weight", weight),
                self.constant(f"{name}.{index}.bias", bias),
            ]
            linear = output if index == last else f"{name}.{index}.linear"
            value = self.node("Gemm", inputs, linear, transB=1)
            if index != last:
                value = self.node(operator, [value], f"{name}.{index}.active", **attributes)

    def bounded(self, value: str, spec: PolicySpec, output: str) -> None:
        """Add ``bound * tanh(value / bound)``."""
        assert spec.residual_bound is not None
        limit = self.constant("residual_bound", [spec.residual_bound])
        self.node("Div", [value, limit], "residual_ratio")
        self.node("Tanh", ["residual_ratio"], "residual_tanh")
        self.node("Mul", ["residual_tanh", limit], output)

    def step_bounds(self, spec: PolicySpec) -> None:
        """Add the lowest and highest action that the last one allows, where steps are limited."""
        if spec.max_target_step is None:
            return
        start, scale = _term_slice(spec, "last_action")
        self.slice("last_action", start, len(scale))
        self.node("Div", ["last_action_scaled", self.constant("last_action_scale", scale)], "last")
        limit = self.constant("max_step", spec.max_target_step / np.asarray(spec.action_scale))
        self.node("Sub", ["last", limit], "lowest")
        self.node("Add", ["last", limit], "highest")

    def stepped(self, value: str, output: str, spec: PolicySpec) -> None:
        """Add ``value`` held between the bounds of the step, or ``value`` itself without a limit."""
        if spec.max_target_step is None:
            self.node("Identity", [value], output)
            return
        self.node("Max", [value, "lowest"], f"{output}_above")
        self.node("Min", [f"{output}_above", "highest"], output)

    def slice(self, name: str, start: int, size: int) -> str:
        """Add the columns of an observation term as ``<name>_scaled``."""
        ends = [
            self.constant(f"{name}_{what}", [number], np.int64)
            for what, number in (("start", start), ("end", start + size), ("axis", 1))
        ]
        return self.node("Slice", ["observation", *ends], f"{name}_scaled")

    def opening(self, spec: PolicySpec, output: str) -> None:
        """Add the gate: the smooth step over how far the command lies outside the base's box."""
        assert spec.gate is not None
        start, scale = _term_slice(spec, "velocity_command")
        self.slice("command", start, len(scale))
        self.node("Div", ["command_scaled", self.constant("command_scale", scale)], "command")
        self.node("Sub", [self.constant("gate.lower", spec.gate.lower), "command"], "below")
        self.node("Sub", ["command", self.constant("gate.upper", spec.gate.upper)], "above")
        self.node("Max", ["below", "above"], "outside_signed")
        self.node("Relu", ["outside_signed"], "outside")
        arms = self.constant("gate.axis_scale", spec.gate.axis_scale)
        self.node("Mul", ["outside", arms], "outside_speed")
        self.node("ReduceL2", ["outside_speed"], "excess", axes=[1], keepdims=1)
        self.node("Sub", ["excess", self.constant("gate.speed", [spec.gate.speed])], "beyond")
        self.node("Div", ["beyond", self.constant("gate.width", [spec.gate.width])], "ratio")
        limits = [self.constant("zero", 0.0), self.constant("one", 1.0)]
        self.node("Clip", ["ratio", *limits], "t")
        self.node("Mul", ["t", "t"], "t_squared")
        self.node("Mul", ["t", self.constant("two", [2.0])], "t_twice")
        self.node("Sub", [self.constant("three", [3.0]), "t_twice"], "three_minus_two_t")
        self.node("Mul", ["t_squared", "three_minus_two_t"], output)

    def model(self, observations: int, joints: int) -> onnx.ModelProto:
        """Return the model with the contract's input and outputs."""

        def tensor(name: str, width: int) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width])

        outputs = [tensor(name, joints) for name in ("action", "base_action", "residual_action")]
        graph = helper.make_graph(
            self.nodes,
            METADATA_KEY,
            [tensor("observation", observations)],
            outputs,
            self.initializers,
        )
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(
            graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="aliengo_training"
        )


def _term_slice(spec: PolicySpec, name: str) -> tuple[int, Sequence[float]]:
    """Return where a term stands in the observation, and its scale."""
    start = 0
    for term in spec.observation_terms:
        if term.name == name:
            return start, term.scale
        start += term.size
    names = [term.name for term in spec.observation_terms]
    needs = {"velocity_command": "a gated residual", "last_action": "a limit on the target's step"}
    raise ExportError(f"{needs[name]} needs the term {name!r}; found {names}")
