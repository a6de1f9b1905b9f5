"""Runs images on a Ray cluster: each worker has a pipeline of its own, and results return here, in order.

Ray Data distributes images in blocks; where a worker dies, another one gets its block. The results of a block
arrive whole or not at all, and only this process writes. So nothing is lost or written twice.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
import socket
import tempfile
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from maskrt.runtime.backends.open import open_session
from maskrt.runtime.errors import MaskrtError, MissingDependencyError
from maskrt.runtime.inputs.frames import Inferred, Skipped, Source
from maskrt.runtime.packages import install
from maskrt.runtime.pipeline.run import Painter, Pipeline
from maskrt.runtime.pipeline.stopwatch import Spent, Stopwatch
from maskrt.runtime.tasks.keep import LIKELY, Keep

PORTION = 16  # images that a worker takes at a time, and that are done again if it dies
CONNECT_S = 5.0
NO_PIXELS = np.empty((0, 0, 3), np.uint8)


@dataclass(frozen=True)
class RayOptions:
    """address: "local" for a cluster of this machine alone, "auto" for the one it is in, or a head's address.

    workers: at most; by default as many as the cluster has room for. threads: CPU threads of each worker. The
    rest is as in `open_session` and `Pipeline`.
    """

    address: str
    workers: int | None = None
    threads: int = 1
    device: str = "cpu"
    backend: str = "onnxruntime"
    batch: int | None = None
    keep: Keep = LIKELY
    painters: dict[str, Painter] = field(default_factory=dict)


class Worker:
    """Process of the cluster, with the model loaded."""

    def __init__(self, options: RayOptions, name: str, model: list[Any], folder: str) -> None:
        """model: Ray's reference to the file's content, since the worker's machine may not have the file.

        name: of the model file. folder: the one that the inputs' names are relative to, where the machine has
        it.
        """
        import ray

        self._options = options
        self._failure: MaskrtError | None = None
        home = folder if Path(folder).is_dir() else os.getcwd()
        with tempfile.TemporaryDirectory() as own:
            os.chdir(own)  # so that messages give the model's file its own name
            try:
                Path(name).write_bytes(ray.get(model[0]))
                self._session = open_session(
                    name, device=options.device, backend=options.backend, threads=options.threads
                )
            except MaskrtError as error:
                self._failure = error  # raised here, Ray would try again, and hand on its words alone
            finally:
                os.chdir(home)

    def __call__(self, portion: dict[str, Any]) -> dict[str, list[bytes]]:
        """Run the sources of a block; returns results without the pictures themselves, and the time spent.

        Where the model fails it returns the MaskrtError.
        """
        if self._failure is not None:
            return {"item": [pickle.dumps(self._failure)]}
        pipeline = Pipeline(
            self._session,
            batch=self._options.batch,
            keep=self._options.keep,
            painters=self._options.painters,
        )
        sources = [pickle.loads(source) for source in portion["source"]]
        with closing(pipeline.run(sources)) as items:
            found = [_light(item) for item in items]
        return {"item": [pickle.dumps(each) for each in (pipeline.stopwatch.spent, *found)]}


def _light(item: Inferred | Skipped) -> Inferred | Skipped:
    if isinstance(item, Skipped):
        return item
    return replace(item, frame=replace(item.frame, image=NO_PIXELS))


class RayPipeline:
    """Pipeline of images on the workers of a cluster; its interface is that of `Pipeline`."""

    dropped = 0

    def __init__(self, model: Path, options: RayOptions, stopwatch: Stopwatch) -> None:
        """Raises MissingDependencyError without ray, MaskrtError for a model file that cannot be read."""
        try:
            import ray.data  # noqa: F401
        except ImportError as error:
            raise MissingDependencyError(
                f"--ray needs the package ray, here and on the workers. Install it: {install('ray')}"
            ) from error
        try:
            self._model = model.read_bytes()
        except OSError as error:
            raise MaskrtError(f"{model}: cannot be read ({error.strerror}). Name a model file.") from error
        self._name, self._options, self.stopwatch = model.name, options, stopwatch

    def run(self, sources: list[Source]) -> Generator[Inferred | Skipped, None, None]:
        """Yields results in the images' order. Raises MaskrtError for videos, and what a worker raises."""
        import ray

        streams = [source.name for source in sources if not source.still]
        if streams:
            raise MaskrtError(f"{streams[0]}: --ray takes images alone. Run videos without it.")
        _check_reachable(self._options.address)
        own: dict[str, Any] = {"include_dashboard": False} if self._options.address == "local" else {}
        try:
            ray.init(self._options.address, log_to_driver=False, logging_level=logging.ERROR, **own)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise _no_cluster(self._options.address, error) from error
        try:
            # Without prefetching, which would hold a portion back until the next is there.
            for portion in self._dataset(sources).iter_batches(batch_size=None, prefetch_batches=0):
                for item in map(pickle.loads, portion["item"]):
                    if isinstance(item, MaskrtError):
                        raise item
                    if isinstance(item, Spent):
                        self.stopwatch.add(item)
                    else:
                        yield item
        except ray.exceptions.RayError as error:
            raise _cause(error) from error
        finally:
            ray.shutdown()

    def _dataset(self, sources: list[Source]) -> Any:
        import ray

        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_options.preserve_order = True
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        on_gpu = self._options.device == "cuda" or self._name.endswith(".engine")
        needs: dict[str, Any] = {"num_gpus": 1} if on_gpu else {"num_cpus": self._options.threads}
        room = ray.cluster_resources().get("GPU" if on_gpu else "CPU", 0) // max(needs.values())
        portions = math.ceil(len(sources) / PORTION)
        # In a list, and kept by us: what Ray puts away by itself may be gone when a worker is started again.
        self._kept = [ray.put(self._model)]
        rows = [{"source": pickle.dumps(source)} for source in sources]
        return ray.data.from_items(rows, override_num_blocks=portions).map_batches(
            Worker,
            fn_constructor_args=(self._options, self._name, self._kept, os.getcwd()),
            batch_size=None,  # a block
            compute=ray.data.ActorPoolStrategy(
                size=max(1, min(self._options.workers or int(room), portions))
            ),
            **needs,
        )


def _check_reachable(address: str) -> None:
    """Raise MaskrtError where nobody listens at HOST:PORT: Ray itself would retry for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host:
        try:
            socket.create_connection((host, int(port)), CONNECT_S).close()
        except (OSError, ValueError) as error:
            raise _no_cluster(address, error) from error


def _no_cluster(address: str, error: Exception) -> MaskrtError:
    return MaskrtError(
        f"--ray {address}: no cluster there ({error}). Start one: ray start --head; or run on this machine "
        "alone: --ray local"
    )


def _cause(error: Exception) -> Exception:
    """Error that a worker raised, or a description of how it ended."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MaskrtError):
            return cause
        cause = getattr(cause, "cause", None) or cause.__cause__
    return MaskrtError(
        f"--ray: {str(error).strip().splitlines()[-1]}. What workers said: /tmp/ray/session_latest/logs"
    )
