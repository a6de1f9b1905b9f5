"""`python -m benchmarks.matrix [MODEL …]`: run the rows, and write the table of all that were run.

Writes out/matrix/<model>.json for each, and out/matrix/table.md. Exit code 1 where a cell fails.
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
from benchmarks.matrix.models import FULL, MODELS, Size, make
from runtime.cli import say
from runtime.files import write_text

FOLDER = Path("out/matrix")


def row(model: str, size: Size) -> dict[str, Cell]:
    """Every cell of one model."""
    with TemporaryDirectory() as folder:
        files = Files(Path(folder))
        make(MODELS[model], size, files.checkpoint)
        return {column: cell(files, size) for column, cell in COLUMNS.items()}


def table(rows: dict[str, dict[str, Cell]]) -> str:
    """Markdown, a row a model; a cell that fails says so."""
    lines = [f"| model | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for model, cells in rows.items():
        shown = [f"{cell.figure}{f' **{cell.failure}**' if cell.failure else ''}" for cell in cells.values()]
        lines.append(f"| {model} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the rows that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.matrix", description=__doc__)
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(MODELS)}; default: all")
    chosen = parser.parse_args().models or list(MODELS)
    if unknown := sorted(set(chosen) - set(MODELS)):
        parser.error(f"no model named {', '.join(unknown)}; there are {', '.join(MODELS)}")
    for model in chosen:
        cells = row(model, FULL)
        facts = {"machine": processor(), "cells": {column: asdict(cell) for column, cell in cells.items()}}
        write_text(FOLDER / f"{model}.json", json.dumps(facts, indent=1))
        say(f"{model}: {', '.join(cell.figure for cell in cells.values())}")
    kept = {model: FOLDER / f"{model}.json" for model in MODELS}
    read = {model: json.loads(path.read_text())["cells"] for model, path in kept.items() if path.is_file()}
    rows = {model: {column: Cell(**cell) for column, cell in cells.items()} for model, cells in read.items()}
    write_text(FOLDER / "table.md", table(rows))
    print(table(rows), end="")
    sys.exit(any(cell.failure for model in chosen for cell in rows[model].values()))


if __name__ == "__main__":
    main()
