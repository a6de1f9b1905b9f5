"""What reaches the terminal: no control characters out of names, and no traceback where it cannot be written.

The name of a file or a class may hold an escape sequence, which a terminal would obey: it could hide lines,
rename the window, or more. Such characters are shown as text, \\x1b, in all that the commands print.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.segment import Segment

LONGEST_CHARACTERS = 4000  # of a sentence; a file's content must not follow its name onto the screen
# C0 but for tab and line feed, DEL and C1; and those that turn the direction of the text round (Unicode's
# "Bidirectional controls"), which can make a name look like another.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """The text with its control characters spelled out, and whatever cannot be encoded."""
    spelled = _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
    return spelled.encode("utf-8", "backslashreplace").decode()


def shortened(text: str) -> str:
    """A text without its middle, where nobody would read it whole; what to do stands at the end."""
    if len(text) <= LONGEST_CHARACTERS:
        return text
    return f"{text[: LONGEST_CHARACTERS // 2]} … {text[-LONGEST_CHARACTERS // 2 :]}"


class SafeConsole(Console):
    """rich's, through which no control character passes but rich's own."""

    def render(self, *args: Any, **options: Any) -> Iterable[Segment]:
        """As rich's."""
        for segment in super().render(*args, **options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


def console(*, stderr: bool = False) -> Console:
    """Where tables and verdicts are printed."""
    return SafeConsole(stderr=stderr)


def flush_stdout() -> str:
    """Write out what was printed; gives why that failed, as where the disk is full, else nothing."""
    if sys.stdout is None:  # closed before Python began: print says nothing then, and nothing is lost
        return ""
    try:
        sys.stdout.flush()
    except OSError as error:
        # Python would try again at its end, and complain in its own words.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return error.strerror or str(error)
    return ""
