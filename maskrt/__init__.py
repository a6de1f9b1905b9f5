"""Instance segmentation from a PyTorch checkpoint to NVIDIA hardware, and proof that nothing was lost.

The folders beside this file are links to those of the repository's top level: programs keep their paths
(`python runtime/infer.py`), and every module has one name (`maskrt.runtime.infer`). Importing it
costs nothing: `load` brings the runtime when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "load"]

if TYPE_CHECKING:
    from maskrt.runtime.predictor import load
else:  # a type checker would take any name for one that this function knows

    def __getattr__(name: str) -> Any:
        if name == "load":
            from maskrt.runtime.predictor import load

            return load
        raise AttributeError(f"module 'maskrt' has no attribute {name!r}")
