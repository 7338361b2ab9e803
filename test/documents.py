"""What the documentation tells people to type."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["ROOT", "commands"]

ROOT = Path(__file__).resolve().parents[1]
SHELL = ("", "sh", "bash", "console")
"""Languages of a code block that holds commands."""

_FENCED = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
_INDENTED = re.compile(r"^ {4,}(\S.*)$", re.MULTILINE)
_INLINE = re.compile(r"`([^`]+)`")


def commands(page: Path, inline: bool = True) -> list[str]:
    """Commands of a Markdown page: one line each, without comments, in the order of the page.

    Taken are the lines of code blocks (fenced or indented) and, with `inline`, code within the text
    that has a blank in it or begins with ``--``. What stands in <angle brackets> differs with the language of
    the page and becomes ``<>``.
    """
    text = page.read_text(encoding="utf-8")
    found = [
        (match.start(), line)
        for match in _FENCED.finditer(text)
        if match[1] in SHELL
        for line in match[2].replace("\\\n", " ").splitlines()
    ]
    # Blanked rather than cut, so that the places stay comparable.
    text = _FENCED.sub(lambda match: re.sub(r"\S", " ", match[0]), text)
    found += [(match.start(), match[1]) for match in _INDENTED.finditer(text)]
    text = _INDENTED.sub(lambda match: " " * len(match[0]), text)
    found += [
        (match.start(), match[1])
        for match in _INLINE.finditer(text)
        if inline and re.search(r"\s|^--", match[1].strip())
    ]
    found.sort(key=lambda item: item[0])
    lines = (re.sub(r"<[^>]*>", "<>", re.sub(r"(^|\s+)#.*", "", line)) for _, line in found)
    return [text for line in lines if (text := " ".join(line.split()))]
