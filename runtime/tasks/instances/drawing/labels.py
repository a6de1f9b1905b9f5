"""The labels of an overlay: class and score beside each object, on a ground of its colour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from maskrt.runtime.tasks.colours import Colour
from maskrt.runtime.tasks.instances.drawing.label_places import Map
from maskrt.runtime.tasks.instances.instances import Instances
from maskrt.runtime.tasks.lettering import Lettering


def draw_labels(
    canvas: NDArray[np.uint8], instances: Instances, colours: Sequence[Colour], scale: float
) -> None:
    """Write name and score of each object into a picture (H, W, 3) RGB.

    Of one class in a crowd the score alone: to name it fifty times says nothing more. Where a label has no
    place off the others, that of the surer object stands.
    """
    lettering = Lettering(scale)
    scores = [f"{score:.0%}" for score in instances.scores]
    named = [f"{name} {score}" for name, score in zip(instances.names, scores, strict=True)]
    room = Map(instances)
    texts, (places, clear) = named, room.place([lettering.extent(text) for text in named])
    if not clear and len(instances.classes) == 1:
        texts, (places, _) = scores, room.place([lettering.extent(text) for text in scores])
    for text, place, colour in zip(texts, places, colours, strict=True):
        if place is not None:
            lettering.write(canvas, text, place, colour)
