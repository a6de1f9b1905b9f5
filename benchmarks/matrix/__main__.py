"""`python -m benchmarks.matrix [MODEL …]`: run the rows, and write the table of docs/models.md.

Keeps out/matrix/<model>.json of each row, so that rows can be run one by one; the table holds all that were.
Exit code 1 where a cell fails.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.mask_rcnn import processor
from benchmarks.matrix.cells import COLUMNS, Cell, Files
from benchmarks.matrix.models import FULL, MODELS, SMALL, Size, make
from maskrt.runtime.commands.cli import say
from maskrt.runtime.files.atomic import write_text
from maskrt.runtime.files.kinds import OWN_NAME

FOLDER, PAGE = Path("out/matrix"), Path("docs/models.md")
BEGIN, END = "<!-- begin: benchmarks.matrix -->\n", "<!-- end: benchmarks.matrix -->\n"


def row(model: str, size: Size) -> dict[str, Cell]:
    """Every cell of one model."""
    with TemporaryDirectory() as folder:
        files = Files(Path(folder))
        make(MODELS[model], size, files.checkpoint)
        return {column: cell(files, size) for column, cell in COLUMNS.items()}


def table(rows: dict[str, dict[str, Cell]], size: Size) -> str:
    """Markdown, a row a model; a cell that fails says so."""
    headings = [f"{size.height_px}×{size.width_px} px", *COLUMNS]
    lines = [f"| {' | '.join(headings)} |", "|---" * len(headings) + "|"]
    for model, cells in rows.items():
        shown = [f"{cell.figure}{f' **{cell.failure}**' if cell.failure else ''}" for cell in cells.values()]
        lines.append(f"| {model} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the rows that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.matrix", description=__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(MODELS)}; default: all")
    parser.add_argument("--small", action="store_true", help="small pictures and few proposals")
    arguments = parser.parse_args()
    chosen, size = arguments.models or list(MODELS), SMALL if arguments.small else FULL
    if unknown := sorted(set(chosen) - set(MODELS)):
        parser.error(f"no model named {', '.join(unknown)}; there are {', '.join(MODELS)}")
    kept = {model: FOLDER / f"{size.height_px}" / f"{model}.json" for model in MODELS}
    for model in chosen:
        cells = row(model, size)
        facts = {"machine": processor(), "cells": {column: asdict(cell) for column, cell in cells.items()}}
        write_text(kept[model], json.dumps(facts, indent=1), OWN_NAME)
        say(f"{model}: {', '.join(cell.figure for cell in cells.values())}")
    read = {model: json.loads(path.read_text()) for model, path in kept.items() if path.is_file()}
    rows = {
        model: {column: Cell(**cell) for column, cell in facts["cells"].items()}
        for model, facts in read.items()
    }
    machines = ", ".join(sorted({facts["machine"] for facts in read.values()}))
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    write_text(PAGE, f"{before}{BEGIN}{table(rows, size)}\nOn: {machines}.\n{END}{after}", OWN_NAME)
    print(table(rows, size), end="")
    sys.exit(any(cell.failure for model in chosen for cell in rows[model].values()))


if __name__ == "__main__":
    main()
