"""Shows TensorRT's progress while it builds, and stops the build on Ctrl-C.

TensorRT calls back from its own threads. It prints an exception of a callback and continues. So exceptions
are kept, the build is stopped, and they are raised when TensorRT has returned.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from maskrt.runtime.commands import terminal
from maskrt.runtime.errors import MaskrtError

T = TypeVar("T")
POLL_S = 0.2


class InterruptedBuildError(MaskrtError):
    """The build was stopped by the user; nothing was written."""

    exit_code = 130  # as a shell says of a program ended by Ctrl-C


class BuildProgress:
    """Shows a bar with ETA on stderr for each phase that runs; silent where stderr is no terminal."""

    def __init__(self, console: Any = None) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = console or terminal.console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bars = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
        self._depth: dict[str, int] = {}
        self._tasks: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self.error: BaseException | None = None

    def __enter__(self) -> BuildProgress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def cancel(self) -> None:
        """Ask TensorRT to stop at its next step."""
        self._cancelled.set()

    def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
        """A phase of `steps` begins, within `parent` or at the top."""
        with self._lock:
            self._depth[phase] = self._depth[parent] + 1 if parent in self._depth else 0
            self._tasks[phase] = self._bars.add_task("  " * self._depth[phase] + phase, total=steps)

    def step_complete(self, phase: str, step: int) -> bool:
        """Step number `step`, from 0, is done. Returns whether to go on."""
        with self._lock:
            self._bars.update(self._tasks[phase], completed=step + 1)
        return not self._cancelled.is_set()

    def phase_finish(self, phase: str) -> None:
        """A phase is over, at its end or before it."""
        with self._lock:
            self._bars.remove_task(self._tasks.pop(phase))
            del self._depth[phase]

    def keep(self, callback: Callable[..., T], *arguments: Any) -> T | bool:
        """Call a function; keep its exception for `raise_kept`, and stop the build."""
        try:
            return callback(*arguments)
        except BaseException as error:
            self.error = self.error or error
            self.cancel()
            return False

    def raise_kept(self) -> None:
        """Raise the first error of a callback, if there was one."""
        if self.error is not None:
            raise self.error


def monitor(trt: Any, progress: BuildProgress) -> Any:
    """`progress` as TensorRT's IProgressMonitor (10.0 and later)."""

    class Monitor(trt.IProgressMonitor):
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            progress.keep(progress.phase_start, phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return bool(progress.keep(progress.step_complete, phase_name, step))

        def phase_finish(self, phase_name: str) -> None:
            progress.keep(progress.phase_finish, phase_name)

    return Monitor()


def run_cancellable(work: Callable[[], T], progress: BuildProgress) -> T:
    """Run `work` in a thread, so that Ctrl-C arrives while TensorRT works, and stops it at its next step.

    Raises InterruptedBuildError after Ctrl-C, what a callback raised, or what `work` raised.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="TensorRT build")
    interrupted = False
    thread.start()
    while thread.is_alive():
        try:
            thread.join(POLL_S)
        except KeyboardInterrupt:
            interrupted = True
            progress.cancel()
    if interrupted:
        raise InterruptedBuildError("stopped by Ctrl-C; nothing was written.")
    progress.raise_kept()
    if errors:
        raise errors[0]
    return results[0]


def run_until_killed(work: Callable[[], T]) -> T:
    """Run `work` where Ctrl-C ends the process at once: TensorRT 8.6 cannot be asked to stop.

    No file is open then; nothing is left half-written.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        return work()
    finally:
        signal.signal(signal.SIGINT, before)
