"""Options: numbers that are none, texts of other alphabets, what is given twice or against another."""

from benchmarks.hostile.case import RIGHT, cases

INFER, BENCH = (
    ["infer", "tiny.onnx", "photo.png", "-o", "out"],
    ["bench", "tiny.onnx", "--image", "photo.png"],
)
PARITY, EXPORT = ["parity", "best.pt", "real.onnx", "photo.png"], ["export", "best.pt", "-o", "o.onnx"]
CALIBRATE, TRAIN = (
    ["calibrate", "real.onnx", "--data", "ann.json", "-o", "q.onnx"],
    ["train", "--data", "ann.json", "-o", "run"],
)
EVALUATE, TRITON = (
    ["evaluate", "tiny.onnx", "--data", "ann.json"],
    ["serve-triton", "tiny.onnx", "-o", "repo"],
)

BAD = {
    "infer": {
        "--min-score": ["nan", "-inf", "1.0000001", "", "½", "0,5"],
        "--alpha": ["nan", "-1", "2", "inf"],
        "--color-by": ["", "CLASS", "mood"],
        "--classes": ["", ",", "nobody", "cat,nobody", "\u202ecat"],
        "--batch": ["0", "-3", "1e3", "9999999999999999999999"],
        "--batch-wait-ms": ["nan", "-1", "inf"],
        "--max-megapixels": ["0", "nan", "-5", "inf"],
        "--backend": ["", "tpu", "onnxruntime\n"],
        "--device": ["cpu:1", "CUDA:99", "", "meta"],
        "--threads": ["0", "-1", "2.5", "nan"],
    },
    "bench": {
        "--rounds": ["2", "-1", "nan", "9" * 30],
        "--batch": ["0", "-1", "x"],
        "--device": ["tpu", ""],
        "--backend": ["auto!", ""],
        "--plot": ["t.exe", "t", "no/where\0.png"],
    },
    "export": {
        "--height": ["-32", "33", "nan", "16416", "1e2", "٦٤٠"[:2]],
        "--width": ["31", "0x40", "-0.0"],
        "--batch": ["0", "4097", "-1", "nan"],
        "--dtype": ["float16", "", "UINT8"],
        "--detections": ["some", ""],
        "--precision": ["bf16", "int8", ""],
        "--classes": ["", "a,b", "a,,b", "\x00"],
        "--set": ["", "=", "nms", "nms=", "nms=nan", "nms=2", "nms=-1", "score_threshold=inf", "unknown=1",
                  "max_detections=0", "max_detections=1e9", "anchor_ratios=[]", "anchor_ratios=0",
                  "mean=1", "mean=nan,nan,nan", "std=0,0,0", "min_size_px=0", "min_size_px=-1",
                  "max_size_px=1", "sampling_ratio=-7", "backbone=vgg", "backbone=../../x", "task=none",
                  "num_classes=1", "num_classes=500000", "rpn_post_nms_test=0", "fpn_channels=8",
                  "nms=0.5=0.5", "box_roi_size=0", "anchor_sizes_px=[[32]]"],
    },
    "calibrate": {
        "--method": ["", "magic", "minmax,entropy"],
        "--flavour": ["gpu", ""],
        "--max-images": ["0", "-1", "nan"],
        "--max-ap-drop": ["nan", "-inf", "-0.1"],
        "--min-mask-iou": ["nan", "1.5", "-1"],
        "--data": ["synthetic:0", "synthetic:-1", "synthetic:x", "synthetic:1:2:3", "", "*.nothing"],
    },
    "evaluate": {
        "--min-score": ["nan", "2", "-1"],
        "--format": ["coco2", ""],
        "--device": ["gpu", ""],
        "--backend": ["all", ""],
        "--data": ["synthetic:0", "synthetic:1e3", "synthetic:" + "9" * 40, ""],
    },
    "train": {
        "--epochs": ["0", "-1", "nan", "1.5"],
        "--batch": ["0", "-2", "many", "1.5", ""],
        "--lr": ["nan", "-1", "inf"],
        "--seed": ["-1", "nan", "9" * 40],
        "--preset": ["large", "", "../small"],
        "--set": ["x", "lr", "epochs=nan", "num_classes=9", "batch=0", "nms=[", "weights=1"],
        "--layers": ["", "heads", "heads:", "0+:1", "heads:-1,all", "4+:20,heads:40", "tails:2,all"],
        "--logger": ["", "carrier-pigeon", "tensorboard,,csv"],
        "--devices": ["0", "-1"],
        "--nodes": ["0", "1.5"],
        "--backbone": ["nothing.pth", "photo.png", ""],
        "--format": ["coco2"],
    },
    "serve-triton": {
        "--name": ["", "a/b", "..", ".", "a\nb", "x" * 300, "a b\x07"],
        "--max-batch": ["0", "-1", "nan"],
        "--batch-wait-ms": ["nan", "-1", "inf"],
        "--workers": ["0", "-1", "100000000"],
        "--min-score": ["nan", "5"],
        "--max-megapixels": ["nan", "0"],
        "--device": ["tpu", ""],
    },
    "parity": {"--device": ["tpu", ""], "--data": ["nothing.json", "photo.png", ""], "--html": ["t.exe"]},
    "inspect-data": {"--min-instances": ["-1", "nan"], "--overlays": ["-1", "1e1"], "--format": ["x", ""]},
    "demo": {"--epochs": ["0", "-1", "nan", "1.5"]},
    "build": {"--min": ["1x2", "axbxc", "-1x64x64"], "--workspace": ["0", "nan"], "--operators": ["x"],
                 "--optimization-level": ["6", "-1"]},
    "build-plugins": {"--arch": ["", "x", "87;rm", "-1", "99999"], "--tensorrt-root": ["nothing", "photo.png"]},
    "doctor": {"--json": ["extra"]},
    "engine": {"--json": ["extra"]},
}  # fmt: skip
LINES = {
    "infer": INFER, "bench": BENCH, "export": EXPORT, "calibrate": CALIBRATE, "evaluate": EVALUATE,
    "train": TRAIN, "serve-triton": TRITON, "parity": PARITY, "inspect-data": ["inspect-data", "ann.json"],
    "demo": ["demo", "-o", "out"], "build": ["build", "real.onnx"], "build-plugins": ["build-plugins"],
    "doctor": ["doctor"], "engine": ["engine", "inspect", "an.engine"],
}  # fmt: skip

CASES = cases(
    "options",
    [
        ([*LINES[verb], option, value], None)
        for verb, options in BAD.items()
        for option, values in options.items()
        for value in values
    ]
    + [
        ([*INFER, "--min-score", "0.2", "--min-score", "nan"], None),
        ([*INFER, "--min-score", "0.9", "--min-score", "0.1"], None, RIGHT),
        ([*INFER, "--no-overlays", "--overlays"], None, RIGHT),
        ([*EXPORT, "--dynamic", "--height", "64", "--width", "96"], None),
        ([*EXPORT, "--height", "64", "--set", "nms=0.5", "--set", "nms=0.6"], None),
        ([*EXPORT, "--height", "64"], None),
        ([*EXPORT, "--precision", "fp32", "--images", "photo.png"], None),
        ([*TRAIN, "--resume", "--from", "best.pt"], None),
        ([*TRAIN, "--qat", "best.pt", "--from", "best.pt"], None),
        ([*CALIBRATE, "--from-cache", "photo.png", "--to-cache", "c.cache"], None),
        (["infer"], None),
        (["infer", "tiny.onnx"], None),
        (["infer", "tiny.onnx", "--"], None),
        (["infer", "tiny.onnx", "", "-o", "out"], None),
        (["infer", "", "photo.png", "-o", "out"], None),
        (["infer", "tiny.onnx", "a\0b.png", "-o", "out"], None),
        (["infer", "ti\0ny.onnx", "photo.png", "-o", "out"], None),
        (["infer", "tiny.onnx", "photo.png", "-o", "o\0ut"], None),
        (["evaluate", "tiny.onnx", "--data", "a\0.json"], None),
        (["evaluate", "tiny.onnx", "--data", "ann.json", "-o", "m\0.json"], None),
        (["train", "--data", "ann.json", "-o", "r\0un"], None),
        (["train", "--data", "ann.json", "--images", "r\0un"], None),
        (["export", "b\0.pt"], None),
        (["export", "best.pt", "-o", "b\0.onnx", "--height", "64", "--width", "96"], None),
        (["engine", "inspect", "b\0"], None),
        (["engine", "unpack", "an.engine", "-o", "b\0"], None),
        (["engine", "remove", "an.engine"], None),
        (["engine"], None),
        (["parity", "check", "b\0.npz", "tiny.onnx"], None),
        (["parity", "record", "best.pt", "photo.png", "-o", "b\0.npz"], None),
        (["bench", "t\0.onnx", "--image", "photo.png"], None),
        (["serve-triton", "tiny.onnx", "-o", "re\0po"], None),
        (["calibrate", "real.onnx", "--data", "s\0ynthetic"], None),
        (["inspect-data", "a\0"], None),
        (["inspect-data", "ann.json", "-o", "a\0.html"], None),
        (["infer", "tiny.onnx", "\udcff\udcfe.png", "-o", "out"], None),
        (["infer", "tiny.onnx", "photo[.png", "-o", "out"], None),
        (["infer", "tiny.onnx", "**/**/**/*.tif", "-o", "out"], None),
        (["infer", "tiny.onnx", "http://", "-o", "out"], None),
        (["infer", "tiny.onnx", "rtsp://[::1", "-o", "out"], None),
        (["infer", "tiny.onnx", "csi://99999999", "-o", "out"], None),
        (["infer", "tiny.onnx", "s3://", "-o", "out"], None),
        (["infer", "tiny.onnx", "-1", "-o", "out"], None),
        (["infer", "tiny.onnx", "x" * 5000, "-o", "out"], None),
    ],
)
