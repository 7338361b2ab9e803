"""Where the package's data folders are, in the source tree and when installed."""

from __future__ import annotations

from pathlib import Path


def shared_folder(name: str) -> Path:
    """Folder such as ``config`` or ``models``: of the source tree, or of the package's share."""
    source = Path(__file__).resolve().parents[1] / name
    if source.is_dir():
        return source
    for root in Path(__file__).resolve().parents:
        installed = root / "share" / "aliengo_policy" / name
        if installed.is_dir():
            return installed
    return source
