"""What can go wrong, as exceptions that a command turns into one sentence and an exit code.

Every message names the file or tensor, what was found there, what was expected, and what to do next.
"""

from __future__ import annotations

EXIT_FAILED_CHECK = 1  # the work was done and the answer is no: parity or accuracy outside its limits
EXIT_USER_ERROR = 2  # nothing was done: wrong arguments, unusable input (also typer's own usage errors)
EXIT_PARTIAL = 3  # a batch job finished, but some of its inputs were skipped
EXIT_UNDECIDED = 4  # the work was done and gives no answer: nothing to compare, or too few images to tell


class MaskrtError(Exception):
    """Base of every error that a user can mend; anything else is a bug in maskrt."""

    exit_code = EXIT_USER_ERROR


class ContractError(MaskrtError):
    """A model file without a contract, or with one that this version cannot honour."""


class ModelError(MaskrtError):
    """A model file that cannot be read, or was made for something else than what is asked of it."""


class CheckpointError(ModelError):
    """A training checkpoint that is truncated, not a checkpoint, or holds unusable weights."""


class ImageError(MaskrtError):
    """An image that cannot be decoded or used; a batch job reports it and goes on."""


class DataError(MaskrtError):
    """A dataset that cannot be found or whose annotations are malformed."""


class InterruptedTrainingError(MaskrtError):
    """Training was stopped by the user; its finished epochs are kept."""

    exit_code = 130  # as a shell says of a program ended by Ctrl-C


class InterruptedRunError(MaskrtError):
    """A run over images was stopped from outside; what it had found is kept."""

    def __init__(self, message: str, exit_code: int) -> None:
        """exit_code: 128 and the signal's number, as a shell says."""
        super().__init__(message)
        self.exit_code = exit_code


class ExportError(MaskrtError):
    """A model that cannot be expressed in ONNX as asked."""


class CalibrationError(MaskrtError):
    """Ranges or a plan that do not belong to the model, or a method that is not known."""


class AccuracyError(MaskrtError):
    """A model in lower precision loses more than is allowed."""

    exit_code = EXIT_FAILED_CHECK


class OptionError(MaskrtError, ValueError):
    """An argument of a command or a call that is outside what it may be."""


class MissingDependencyError(MaskrtError):
    """A stage needs a package that this installation lacks."""


class ParityError(MaskrtError):
    """Two models that were to agree do not."""

    exit_code = EXIT_FAILED_CHECK


def first_line(error: BaseException) -> str:
    """What an error of a library says, in a line: its text's first, or its class where it has no text."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
