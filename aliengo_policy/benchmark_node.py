"""ROS part of the control benchmark: drives the scenario and listens to what the nodes report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from aliengo_msgs.msg import PolicyStep
from diagnostic_msgs.msg import DiagnosticArray

from aliengo_policy.scenario_node import Scenario, ScenarioError, open_scenario


@dataclass
class Reports:
    """What the nodes said about themselves while the robot walked.

    Attributes:
        ticks: tick of the state behind every policy step.
        inference_s: time of the network in every step [s].
        diagnostics: values of every diagnostic status, by name, oldest first.
    """

    ticks: list[int] = field(default_factory=list)
    inference_s: list[float] = field(default_factory=list)
    diagnostics: dict[str, list[dict[str, str]]] = field(default_factory=dict)


def collect(
    seconds: float, interrupted: Callable[[], str | None], say: Callable[[str], None]
) -> Reports:
    """Bring the robot into WALK, then listen for a time.

    Raises:
        ScenarioError: when the robot does not get there, or does not stay.
    """
    reports = Reports()
    scenario: Scenario = open_scenario((), "", interrupted, say)
    try:
        scenario.start_walking()

        def on_step(message: PolicyStep) -> None:
            reports.ticks.append(message.tick)
            reports.inference_s.append(message.inference_time_s)

        def on_diagnostics(message: DiagnosticArray) -> None:
            for status in message.status:
                values = {item.key: item.value for item in status.values}
                reports.diagnostics.setdefault(status.name, []).append(values)

        say(f"measuring for {seconds:g} s")
        scenario.node.create_subscription(PolicyStep, "policy/step", on_step, 50)
        scenario.node.create_subscription(DiagnosticArray, "/diagnostics", on_diagnostics, 10)
        scenario.spin(seconds, lambda: scenario.mode != "walk")
        if scenario.mode != "walk":
            reason = scenario.state.reason if scenario.state else "unknown"
            raise ScenarioError(f"walking ended while measuring: {reason}")
    finally:
        scenario.close()
    return reports
