"""The page: the robot, its velocity and state, buttons, and a stick behind a dead man.

Holding the drive button is the dead man: the browser sends while it is held, so that a closed
tab, a lost connection and a released button all look the same to the robot: silence.
"""

from __future__ import annotations

import html
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from aliengo_policy.web.guard import own_names, start_guarded
from aliengo_policy.web.model import Link, Shape, joint_rotation

__all__ = ["Controls", "Status", "WebView"]

Array = npt.NDArray[np.float64]

DRIVE_RATE_HZ = 20.0
PLOT_POINTS = 200
CELL_M = 0.5
MODES = (
    ("Stand up", "stand_up"),
    ("Stand", "stand"),
    ("Walk", "walk"),
    ("Sit down", "sit_down"),
    ("Damping", "damping"),
)
COLOURS = ("#1f77b4", "#d62728")


@dataclass(frozen=True)
class Controls:
    """What the page calls when somebody uses it; called from threads of the server.

    Attributes:
        request_mode: With the name of a mode.
        request_policy: With the name of a policy.
        drive: With vx, vy [m/s] and wz [rad/s], repeatedly while the dead man is held.
        estop: E-stop.
        reset: Reset of the fault.
    """

    request_mode: Callable[[str], None]
    request_policy: Callable[[str], None]
    drive: Callable[[float, float, float], None]
    estop: Callable[[], None]
    reset: Callable[[], None]


@dataclass
class Status:
    """What the page shows; any thread may replace the fields.

    Attributes:
        joint_positions: By joint name [rad].
        wxyz: Orientation of the base.
        position: Of the base in the world [m].
        command: vx, vy [m/s], wz [rad/s].
        measured: Likewise; None before the first measurement.
        mode: Of the policy node.
        policy: Its policy.
        policies: Policies to choose from.
        source: Who drives.
        bridge: State of the bridge.
        fault: Fault with its detail; empty if there is none.
        reset: What became of the last reset; empty if none was asked for.
        alive: Whether states arrive.
    """

    joint_positions: dict[str, float] = field(default_factory=dict)
    wxyz: Array = field(default_factory=lambda: np.array([1.0, 0.0, 0.0, 0.0]))
    position: Array = field(default_factory=lambda: np.array([0.0, 0.0, 0.4]))
    command: Sequence[float] = (0.0, 0.0, 0.0)
    measured: Sequence[float] | None = None
    mode: str = "unknown"
    policy: str = ""
    policies: Sequence[str] = ()
    source: str = "none"
    bridge: str = "unknown"
    fault: str = ""
    reset: str = ""
    alive: bool = False


class WebView:
    """Serves the page until `close`."""

    def __init__(
        self,
        links: Sequence[Link],
        controls: Controls,
        host: str = "127.0.0.1",
        port: int = 8080,
        speed_limits: tuple[float, float, float] = (1.0, 0.5, 1.0),
        allowed_hosts: Sequence[str] = (),
    ) -> None:
        """Starts the server.

        Args:
            links: The robot.
            controls: Called when somebody uses the page.
            host: Address to listen on; only this machine by default.
            port: TCP port; another one is taken if it is in use.
            speed_limits: Ends of the sliders for vx, vy [m/s] and wz [rad/s].
            allowed_hosts: Further names by which browsers may call the server; see `guard`.

        Raises:
            RuntimeError: If other sites' pages cannot be kept out with this version of viser.
            ValueError: If nobody can listen on `host` here.
        """
        self._links = links
        self._controls = controls
        self._server = start_guarded(
            own_names(host, allowed_hosts), host=host, port=port, label="Aliengo", verbose=False
        )
        self._frames: dict[str, Any] = {}
        self._history: deque[tuple[float, float, float]] = deque(maxlen=PLOT_POINTS)
        self._lock = threading.Lock()
        self._build_scene()
        self._build_panel(speed_limits)

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://{self._server.get_host()}:{self._server.get_port()}"

    def close(self) -> None:
        """Stops the server."""
        self._server.stop()

    def update(self, status: Status, time_s: float) -> None:
        """Shows a new state at time `time_s` [s]."""
        with self._lock, self._server.atomic():
            base = self._frames["base_link"]
            # The floor slides by below the robot, which so never walks out of the picture.
            x, y, z = status.position
            base.wxyz, base.position = status.wxyz, (0.0, 0.0, z)
            self._floor.position = (-(x % CELL_M), -(y % CELL_M), 0.0)
            for link in self._links:
                if link.joint in status.joint_positions:
                    angle = status.joint_positions[link.joint]
                    self._frames[link.name].wxyz = joint_rotation(link, angle)
        self._text.content = _describe(status)
        if status.policies and list(self._policy.options) != list(status.policies):
            self._policy.options = tuple(status.policies)
        measured = status.measured[0] if status.measured is not None else float("nan")
        self._history.append((time_s, float(status.command[0]), measured))
        if len(self._history) > 1:
            columns = np.array(self._history).T
            self._plot.data = tuple(columns)

    def _build_scene(self) -> None:
        scene = self._server.scene
        scene.set_up_direction("+z")
        self._floor = scene.add_grid("/floor", width=20.0, height=20.0, cell_size=CELL_M)
        self._server.initial_camera.position = (1.1, -1.3, 0.8)
        self._server.initial_camera.look_at = (0.0, 0.0, 0.2)
        for link in self._links:
            # Links nest: a joint that turns moves all below it.
            frame = scene.add_frame(
                link.path, show_axes=False, wxyz=link.wxyz, position=link.position
            )
            self._frames[link.name] = frame
            for index, shape in enumerate(link.shapes):
                _add_shape(scene, f"{link.path}/shape{index}", shape)
        if "base_link" not in self._frames:
            raise ValueError(f"the robot has no base_link; links are {sorted(self._frames)}")

    def _build_panel(self, speed_limits: tuple[float, float, float]) -> None:
        gui, controls = self._server.gui, self._controls
        estop = gui.add_button("E-STOP", color="red")
        estop.on_click(lambda event: controls.estop())
        self._text = gui.add_markdown("")
        with gui.add_folder("Mode"):
            for label, mode in MODES:
                button = gui.add_button(label)
                button.on_click(self._mode_button(mode))
            reset = gui.add_button("Reset the fault", color="gray")
            reset.on_click(lambda event: controls.reset())
            self._policy = gui.add_dropdown("Policy", options=("",))
            switch = gui.add_button("Switch policy", color="gray")
            switch.on_click(lambda event: self._switch_policy())
        with gui.add_folder("Drive"):
            sliders = [
                gui.add_slider(label, min=-limit, max=limit, step=limit / 50, initial_value=0.0)
                for label, limit in zip(
                    ("forward [m/s]", "left [m/s]", "turn left [rad/s]"), speed_limits, strict=True
                )
            ]
            drive = gui.add_button("HOLD TO DRIVE", color="green")
            drive.on_hold(
                lambda event: controls.drive(*(slider.value for slider in sliders)),
                callback_hz=DRIVE_RATE_HZ,
            )
            centre = gui.add_button("Centre the stick", color="gray")
            centre.on_click(lambda event: _centre(sliders))
        with gui.add_folder("Velocity"):
            empty = np.zeros(2)
            self._plot = gui.add_uplot(
                data=(empty, empty, empty),
                series=(
                    {"label": "time [s]"},
                    {"label": "commanded vx", "stroke": COLOURS[0]},
                    {"label": "measured vx", "stroke": COLOURS[1]},
                ),
                scales={"x": {"time": False}},
                aspect=1.6,
            )

    def _mode_button(self, mode: str) -> Callable[[Any], None]:
        return lambda event: self._controls.request_mode(mode)

    def _switch_policy(self) -> None:
        if self._policy.value:
            self._controls.request_policy(self._policy.value)


def _centre(sliders: Sequence[Any]) -> None:
    for slider in sliders:
        slider.value = 0.0


def _describe(status: Status) -> str:
    def velocity(values: Sequence[float] | None) -> str:
        return "-" if values is None else ", ".join(f"{value:+.2f}" for value in values)

    fault = f"**FAULT: {html.escape(status.fault)}**" if status.fault else "no fault"
    link = html.escape(status.bridge) if status.alive else "**no state from the robot**"
    rows = (
        ("mode", f"**{html.escape(status.mode)}** ({html.escape(status.policy) or 'no policy'})"),
        ("robot", link),
        ("fault", fault),
        *([("reset", html.escape(status.reset))] if status.reset else []),
        ("driven by", html.escape(status.source)),
        ("commanded", velocity(status.command)),
        ("measured", velocity(status.measured)),
    )
    lines = ["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows)]
    return "\n".join(lines)


def _add_shape(scene: Any, name: str, shape: Shape) -> None:
    pose = {"wxyz": shape.wxyz, "position": shape.position, "color": shape.colour}
    if shape.kind == "box":
        scene.add_box(name, dimensions=shape.size, **pose)
    elif shape.kind == "cylinder":
        scene.add_cylinder(name, radius=shape.size[0], height=shape.size[1], **pose)
    else:
        scene.add_icosphere(name, radius=shape.size[0], **pose)
