"""The C4 model is that of the paper, its last layer one for boxes and masks, and it learns."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN

from maskrt.models.rcnn.config import C4, MOBILENET, MaskRcnnConfig
from maskrt.models.rcnn.network import build_mask_rcnn
from maskrt.runtime.errors import CheckpointError

IMAGE = torch.rand(3, 96, 128, generator=torch.Generator().manual_seed(0))
SMALL: dict[str, Any] = {"min_size_px": 96, "max_size_px": 128, "num_classes": 3, "norm": "bn"}


def c4(**settings: Any) -> FasterRCNN:
    torch.manual_seed(0)
    known = {key: getattr(C4, key) for key in C4.to_dict()}
    return build_mask_rcnn(MaskRcnnConfig(**known | SMALL | settings))


def shapes_seen(model: FasterRCNN, *names: str) -> dict[str, tuple[int, ...]]:
    """Shapes, without the batch, of what leaves modules while the model looks at an image."""
    seen: dict[str, tuple[int, ...]] = {}

    def note(name: str) -> Any:
        def hook(module: nn.Module, given: Any, output: Any) -> None:
            value = output
            while not isinstance(value, Tensor):
                value = next(iter(value.values())) if isinstance(value, dict) else value[0]
            seen[name] = tuple(value.shape[1:])

        return hook

    modules = dict(model.named_modules())
    for name in names:
        modules[name].register_forward_hook(note(name))
    with torch.no_grad():
        model.eval()([IMAGE])
    return seen


def test_the_shapes_are_those_of_the_paper() -> None:
    """arXiv:1703.06870, figure 4, left: 7×7×1024 after the RoI, 7×7×2048 after res5, 14×14×256, 14×14 masks;
    the RoI itself is pooled to 14×14 (section 3) and halved by res5's stride."""
    model = c4(score_threshold=0.0, rpn_post_nms_test=10)
    model.roi_heads.box_predictor.cls_score.bias.data[1:] += 1  # so that there are masks
    names = ("backbone", "rpn.head", "roi_heads.box_roi_pool", "roi_heads.box_head.res5")
    heads = ("roi_heads.box_head", "roi_heads.mask_predictor.conv5_mask", "roi_heads.mask_predictor")

    seen = shapes_seen(model, *names, *heads)

    assert list(seen.values()) == [
        (1024, 96 // 16, 128 // 16),
        (15, 96 // 16, 128 // 16),
        (1024, 14, 14),
        (2048, 7, 7),
        (2048,),
        (256, 14, 14),
        (3, 14, 14),
    ]
    assert C4.mask_size == 14


def test_its_weights_stand_once_and_learn_from_boxes_and_masks() -> None:
    model = c4(backbone="resnet18", rpn_post_nms_train=50, box_samples=32).train()
    assert not [key for key in model.state_dict() if "mask_head" in key or "layer4" in key]
    target = {
        "boxes": torch.tensor([[10.0, 10.0, 60.0, 70.0]]),
        "labels": torch.tensor([1]),
        "masks": torch.ones(1, 96, 128, dtype=torch.uint8),
    }
    losses = model([IMAGE], [target])
    assert set(losses) == {
        "loss_classifier",
        "loss_box_reg",
        "loss_mask",
        "loss_objectness",
        "loss_rpn_box_reg",
    }
    res5 = model.roi_heads.box_head.res5[0].conv1.weight
    for name in ("loss_classifier", "loss_box_reg", "loss_mask"):
        (gradient,) = torch.autograd.grad(losses[name], res5, retain_graph=True)
        assert torch.isfinite(gradient).all()
        assert gradient.abs().sum() > 0, name


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"neck": "c4"}, "of 5 levels, but the RPN of resnet50 with neck c4 reads C4.*--preset c4"),
        ({"backbone": "mobilenet_v3_large"}, "of 5 levels, but the RPN of mobilenet.* reads P5a, P5b, P6"),
        ({"backbone": "mobilenet_v3_large", "neck": "c4"}, "neck is 'c4' with mobilenet_v3_large"),
    ],
)
def test_settings_that_belong_to_another_model_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        MaskRcnnConfig(**settings)


def test_group_norm_does_not_go_into_narrow_layers() -> None:
    known = {key: getattr(MOBILENET, key) for key in MOBILENET.to_dict()}
    with pytest.raises(CheckpointError, match=r"norm is 'gn' with mobilenet_v3_large.*fewer channels"):
        build_mask_rcnn(MaskRcnnConfig(**known | {"norm": "gn"}))
