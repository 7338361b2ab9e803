"""The report as one HTML page that needs no other file."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["render_page"]

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1150px; margin: 2em auto; padding: 0 1em;
       color: #222; background: #fff; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; border-bottom: 1px solid #ccc; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .7em 0; }
th, td { padding: .15em .8em .15em 0; text-align: left; vertical-align: top; }
td.n { text-align: right; } th { border-bottom: 1px solid #999; font-weight: 600; }
img { width: 100%; height: auto; } .problem { color: #a40000; } .good { color: #1a6b1a; }
"""

CAPTIONS = {
    "velocity": "Commanded and measured velocity; grey lines are mode changes, red ones faults.",
    "joints": "Joint positions and targets in the middle of the longest walk.",
    "torques": "Torques over all four legs; dashed: limits.",
    "gait": "Feet on the ground, from the joint torques.",
    "residual": "Share of the residual in the action.",
    "timing": "Intervals between messages, age of the state and inference time.",
    "temperatures": "Motor temperatures with modes and faults.",
}
_SECTIONS = ("stream", "timing", "joints", "gait", "residual", "temperature")


def render_page(metrics: Sequence[Mapping[str, Any]], figures: Mapping[str, bytes]) -> str:
    """Writes the page.

    Args:
        metrics: Result of `run_metrics` for each run; one column of figures each.
        figures: PNG files by name, in order.
    """
    names = [str(m["name"]) for m in metrics]
    parts = [
        "<!doctype html><html lang=en><head><meta charset=utf-8>",
        f"<title>{html.escape(' and '.join(names))}</title><style>{STYLE}</style></head><body>",
        f"<h1>{html.escape(' compared with '.join(names))}</h1>",
        _problems(metrics),
        "<h2>Summary</h2>",
        _table(["", *names], _summary(metrics)),
    ]
    for metric in metrics:
        parts.append(_tracking(metric, heading=len(metrics) > 1))
    for name, png in figures.items():
        data = base64.b64encode(png).decode()
        caption = html.escape(CAPTIONS.get(name, ""))
        parts.append(
            f'<h2 id="{name}">{html.escape(name.capitalize())}</h2><p>{caption}</p>'
            f'<img alt="{name}" src="data:image/png;base64,{data}">'
        )
    for section in _SECTIONS:
        rows = _flat_rows([m.get(section, {}) for m in metrics])
        if rows:
            title = section.capitalize()
            parts.append(f"<h2>{title} in figures</h2>" + _table(["", *names], rows))
    for metric in metrics:
        parts.append(_events(metric, heading=len(metrics) > 1))
    parts.append("<h2>Topics</h2>" + _table(["", *names], _topics(metrics)))
    parts.append("</body></html>")
    return "\n".join(part for part in parts if part)


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = ["<table><tr>" + "".join(f"<th>{html.escape(cell)}</th>" for cell in head) + "</tr>"]
    for row in rows:
        cells = []
        for cell in row:
            number = isinstance(cell, (int, float)) and not isinstance(cell, bool)
            kind = ' class="n"' if number else ""
            cells.append(f"<td{kind}>{html.escape(_text(cell))}</td>")
        lines.append("<tr>" + "".join(cells) + "</tr>")
    return "".join(lines) + "</table>"


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def _problems(metrics: Sequence[Mapping[str, Any]]) -> str:
    items = [
        f'<li class="problem">{html.escape(str(m["name"]))}: {html.escape(problem)}</li>'
        for m in metrics
        for problem in m["problems"]
    ]
    return "<ul>" + "".join(items) + "</ul>" if items else ""


def _summary(metrics: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    rows: list[tuple[str, tuple[str, ...]]] = [
        ("duration [s]", ("duration_s",)),
        ("complete", ("complete",)),
        ("states lost", ("stream", "lost")),
        ("restarts of the robot", ("stream", "robot_restarts")),
        ("faults and e-stops", ("faults",)),
        ("velocity measured by", ("tracking", "source")),
        ("rms error of vx while walking [m/s]", ("tracking", "rmse_while_walking", "vx")),
        ("rms error of vy while walking [m/s]", ("tracking", "rmse_while_walking", "vy")),
        ("rms error of wz while walking [rad/s]", ("tracking", "rmse_while_walking", "wz")),
        ("peak torque, share of limit", ("joints", "peak_torque_share_of_limit")),
        ("mean power while walking [W]", ("joints", "mean_absolute_power_while_walking_w")),
        ("mean share of the residual", ("residual", "mean_share")),
        ("age of the state at a step, p99 [ms]", ("timing", "state_age", "p99_ms")),
        ("hottest motor [°C]", ("temperature", "hottest_c")),
    ]
    return [[title, *(_get(m, path) for m in metrics)] for title, path in rows]


def _get(metrics: Mapping[str, Any], path: Sequence[str]) -> Any:
    value: Any = metrics
    for name in path:
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value


def _tracking(metric: Mapping[str, Any], heading: bool) -> str:
    found = _get(metric, ("tracking", "segments"))
    if not found:
        return ""
    rows = []
    for part in found:
        row: list[Any] = [f"{part['start_s']:.1f} to {part['end_s']:.1f}"]
        for axis in ("vx", "vy", "wz"):
            row += [part["command"][axis], part["measured"].get(axis), part["rmse"].get(axis)]
        rows.append(row)
    head = ["time [s]"]
    for axis, unit in (("vx", "m/s"), ("vy", "m/s"), ("wz", "rad/s")):
        head += [f"{axis} [{unit}]", "measured", "rms error"]
    name = f": {html.escape(str(metric['name']))}" if heading else ""
    return f"<h2>Stretches of constant command{name}</h2>" + _table(head, rows)


def _flat_rows(sections: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    flattened = [dict(_flatten(section)) for section in sections]
    keys = list(dict.fromkeys(key for flat in flattened for key in flat))
    return [[key, *(flat.get(key) for flat in flattened)] for key in keys]


def _flatten(section: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in section.items():
        if isinstance(value, Mapping):
            found += _flatten(value, f"{prefix}{name} ")
        else:
            found.append((prefix + name.replace("_", " "), value))
    return found


def _events(metric: Mapping[str, Any], heading: bool) -> str:
    if not metric["events"]:
        return ""
    rows = [[f"{e['time_s']:.2f} s", e["kind"], e["text"]] for e in metric["events"]]
    name = f": {html.escape(str(metric['name']))}" if heading else ""
    return f"<h2>Events{name}</h2>" + _table(["time", "kind", ""], rows)


def _topics(metrics: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    names = sorted({name for m in metrics for name in m["topics"]})
    return [[name, *(m["topics"].get(name) for m in metrics)] for name in names]
