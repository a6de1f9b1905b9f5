"""Many classes of real data: R18-FPN learns twenty images of COCO-mini by heart; ids and AP are COCO's own."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections import defaultdict
from pathlib import Path

import pytest

from tests.full.conftest import CACHE, run, training_key

pytestmark = [pytest.mark.full, pytest.mark.timeout(3600)]

IMAGES, MOST_OBJECTS, LEAST_AREA_PX = 20, 8, 600  # an object's area where the short side is SHORT_SIDE_PX
SHORT_SIDE_PX = 384  # the preset's
ARGUMENTS = ["--preset", "small", "--set", "augment=flip", "--batch", "2", "--epochs", "30"]
MASK_AP50 = 0.7  # asked for by the issue
SAME_AP = 1e-6  # the same rows, through JSON


@pytest.fixture(scope="module")
def twenty(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COCO file beside its images: those with the most classes, of objects that 384 pixels still show."""
    folder, source = tmp_path_factory.mktemp("twenty"), data_dir / "coco-mini"
    document = json.loads((source / "annotations" / "instances_train2017.json").read_text())
    images, objects = {image["id"]: image for image in document["images"]}, defaultdict(list)
    for annotation in document["annotations"]:
        objects[annotation["image_id"]].append(annotation)

    def clear(image: int) -> bool:
        scale = SHORT_SIDE_PX / min(images[image]["height"], images[image]["width"])
        large = all(a["area"] * scale**2 >= LEAST_AREA_PX and not a["iscrowd"] for a in objects[image])
        return large and len(objects[image]) <= MOST_OBJECTS

    def rank(image: int) -> tuple[int, int]:
        return -len({a["category_id"] for a in objects[image]}), image

    chosen = sorted(filter(clear, objects), key=rank)[:IMAGES]
    assert len(chosen) == IMAGES
    for image in chosen:
        shutil.copy(source / "train2017" / images[image]["file_name"], folder)
    kept = {
        "images": [images[image] for image in chosen],
        "annotations": [annotation for image in chosen for annotation in objects[image]],
        "categories": document["categories"],
    }
    (folder / "twenty.json").write_text(json.dumps(kept))
    return folder / "twenty.json"


@pytest.fixture(scope="module")
def learned(twenty: Path, request: pytest.FixtureRequest) -> Path:
    """Trained on them, from the cache or into it; begun from the droplets' backbone."""
    folder = CACHE / f"twenty-{training_key(*ARGUMENTS)}"
    if not (folder / "metrics.json").exists():  # written last
        shutil.rmtree(folder, ignore_errors=True)
        start = request.getfixturevalue("droplets_checkpoint")
        places = ["--data", str(twenty), "-o", str(folder), "--from", str(start)]
        assert run("maskrt.training.train", *places, *ARGUMENTS) == 0
    return folder / "last.pt"


def mask_ap_by_hand(truth: Path, predictions: Path) -> tuple[float, float]:
    """AP and AP50 as pycocotools' documentation has it, with nothing of ours."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(truth))
        judged = COCOeval(coco, coco.loadRes(str(predictions)), "segm")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return float(judged.stats[0]), float(judged.stats[1])


def test_many_classes_are_learned_and_keep_coco_s_ids_and_ap(
    twenty: Path, learned: Path, tmp_path: Path
) -> None:
    model, out = tmp_path / "twenty.onnx", tmp_path / "out"
    assert (
        run("maskrt.export.to_onnx", str(learned), "-o", str(model), "--dynamic", "--detections", "dynamic")
        == 0
    )
    assert (
        run("maskrt.runtime.evaluate", str(model), "--data", str(twenty), "-o", str(tmp_path / "ap.json"))
        == 0
    )
    assert (
        run("maskrt.runtime.infer", str(model), str(twenty.parent), "-o", str(out), "--min-score", "0") == 0
    )

    metrics = json.loads((tmp_path / "ap.json").read_text())
    found = json.loads((out / "predictions.json").read_text())
    truth = json.loads(twenty.read_text())
    by_hand = mask_ap_by_hand(twenty, out / "predictions.json")
    print({"classes": len({a["category_id"] for a in truth["annotations"]}), "by hand": by_hand, **metrics})

    assert metrics["mask_ap50"] >= MASK_AP50
    assert by_hand == pytest.approx((metrics["mask_ap"], metrics["mask_ap50"]), abs=SAME_AP)
    assert {row["image_id"] for row in found} <= {image["id"] for image in truth["images"]}
    assert {row["category_id"] for row in found} <= {category["id"] for category in truth["categories"]}
    assert max(row["category_id"] for row in found) > len(truth["categories"]), "COCO's ids have gaps"
