"""What `maskrt parity` and `maskrt parity check` are told about their report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from maskrt.runtime.files.guard import Writes
from maskrt.runtime.files.kinds import PAGE, PARITY_REPORT


@dataclass(frozen=True)
class ReportFiles:
    """Where the report goes; the fields are parameters of `conclude`."""

    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the report (JSON)"), Writes(PARITY_REPORT)
    ] = None
    html: Annotated[Path | None, typer.Option(help="Write the report as a page (.html)"), Writes(PAGE)] = None
    as_json: Annotated[bool, typer.Option("--json", help="Print the report on stdout")] = False
