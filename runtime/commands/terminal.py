"""Output to the terminal: escapes control characters, and reports where standard output cannot be written.

The name of a file or a class may hold an escape sequence, which a terminal obeys: it could hide lines or
rename the window. The commands print such characters as text, \\x1b.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.segment import Segment

LONGEST_CHARACTERS = 4000  # of a message; it may quote a file, and must not print the whole of it
# C0 without tab and line feed, DEL and C1; and those that change the direction of the text (Unicode's
# "Bidirectional controls"), which can make a name look like another.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Escapes control characters and what UTF-8 cannot encode."""
    spelled = _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
    return spelled.encode("utf-8", "backslashreplace").decode()


def shortened(text: str) -> str:
    """Leaves out the middle of a text longer than LONGEST_CHARACTERS: its end says what to do."""
    if len(text) <= LONGEST_CHARACTERS:
        return text
    return f"{text[: LONGEST_CHARACTERS // 2]} … {text[-LONGEST_CHARACTERS // 2 :]}"


class SafeConsole(Console):
    """rich's console; escapes control characters other than rich's own."""

    def render(self, *args: Any, **options: Any) -> Iterable[Segment]:
        """As rich's."""
        for segment in super().render(*args, **options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


def console(*, stderr: bool = False) -> Console:
    """The console that tables and verdicts are printed on."""
    return SafeConsole(stderr=stderr)


def flush_stdout() -> str:
    """Flush standard output. Returns why that failed, as on a full disk, or an empty text."""
    if sys.stdout is None:  # closed before Python began; print writes nothing then
        return ""
    try:
        sys.stdout.flush()
    except OSError as error:
        # Python would try again when it ends, and print a message of its own.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return error.strerror or str(error)
    return ""
