"""How did it walk? `python -m aliengo_policy.bags.report BAG [BAG]` answers in pictures.

Writes a folder with PNG figures, `report.json` and one self-contained `report.html`. Two bags
are compared.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from aliengo_policy.bags.figures import draw
from aliengo_policy.bags.metrics import run_metrics
from aliengo_policy.bags.page import render_page
from aliengo_policy.bags.read import BagError
from aliengo_policy.bags.run import load_run

__all__ = ["main", "write_report"]


def write_report(bags: Sequence[Path], output: Path, namespace: str | None = None) -> Path:
    """Writes the report on one recording, or on several to compare.

    Args:
        bags: The recordings.
        output: Folder to write to; it is created.
        namespace: Of the robot, where a recording holds several.

    Returns:
        The HTML page.

    Raises:
        BagError: If a recording cannot be read.
    """
    runs = [load_run(path, namespace) for path in bags]
    metrics = [run_metrics(run) for run in runs]
    output.mkdir(parents=True, exist_ok=True)
    figures = {}
    for name, figure in draw(runs).items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        figures[name] = buffer.getvalue()
        (output / f"{name}.png").write_bytes(figures[name])
    text = json.dumps(metrics[0] if len(metrics) == 1 else metrics, indent=2)
    (output / "report.json").write_text(text + "\n", encoding="utf-8")
    page = output / "report.html"
    page.write_text(render_page(metrics, figures), encoding="utf-8")
    return page


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="report", description=__doc__)
    parser.add_argument("bag", nargs="+", type=Path, help="recording; a second one is compared")
    parser.add_argument("-o", "--output", type=Path, help="folder; default: BAG/report")
    parser.add_argument("--namespace", help="of the robot, if several were recorded")
    options = parser.parse_args(arguments)
    first: Path = options.bag[0]
    default = first / "report" if first.is_dir() else first.with_suffix("").parent / "report"
    try:
        page = write_report(options.bag, options.output or default, options.namespace)
    except BagError as error:
        print(f"report: {error}", file=sys.stderr)
        return 1
    print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
