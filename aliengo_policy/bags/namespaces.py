"""How a robot's namespace becomes the beginning of its topics' names."""

from __future__ import annotations

__all__ = ["namespace_prefix"]


def namespace_prefix(namespace: str) -> str:
    """What topics in a namespace begin with: `/robot1/` for `robot1`, with or without slashes."""
    stripped = namespace.strip("/")
    return f"/{stripped}/" if stripped else "/"
