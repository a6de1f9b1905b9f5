"""Findings of `maskrt doctor`, and their wording."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass

TOOL_S = 20.0  # what a tool of the system may take to answer


@dataclass(frozen=True)
class Finding:
    """Line of the report: what was looked for, whether it is usable, what was found, and what follows.

    meaning: of what was found, for the user. remedy: where it is not usable.
    """

    subject: str
    usable: bool
    found: str
    remedy: str = ""
    meaning: str = ""


def ask(tool: str, *arguments: str) -> str | None:
    """Run a tool of the system; returns what it prints, or None where it is missing or fails."""
    path = shutil.which(tool)
    if path is None:
        return None
    try:
        done = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=TOOL_S, check=True)
    except (subprocess.SubprocessError, OSError):
        return None
    return done.stdout.strip()
