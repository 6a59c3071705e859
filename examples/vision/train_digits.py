"""Trains the two digit models of the demo and writes everything that the end-to-end tests compare with.

    pip install numpy scikit-learn onnx onnxruntime pillow
    python3 examples/vision/train_digits.py

Data: the 1797 handwritten digits of 8 x 8 pixels that come with scikit-learn; one in five is held out, with a fixed
seed, and never trained on. Written, all of it committed:

* `model_repository/digits_cnn/1/model.onnx` and `model_repository/digits_cnn_large/1/model.onnx`;
* `images/heldout_NNN.png`: every held-out digit as a grey PNG of 32 x 32 pixels;
* `images/demo_D.jpg`: one held-out digit of each kind as a tinted JPEG of 256 x 256 pixels;
* `images/labels.csv`: file, label, set;
* `accuracy.json`: the accuracy measured through file -> `preprocess.py` -> ONNX Runtime on the PNG files.
"""

import csv
import json
import pathlib

import numpy as np
import onnx
import onnxruntime
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import preprocess
from convnet import ConvNet, softmax

SEED = 20
HELD_OUT_FRACTION = 0.2
PNG_SIZE, JPEG_SIZE, JPEG_QUALITY = 32, 256, 80
# Below this probability of its best label `vision_bls` asks the larger model.
CONFIDENCE_MIN = 0.8

HERE = pathlib.Path(__file__).resolve().parent
IMAGES = HERE / "images"
MODELS = HERE.parent.parent / "model_repository"

SHAPES = {
    "digits_cnn": {"channels": [6, 12, 16], "hidden": [], "epochs": 20},
    "digits_cnn_large": {"channels": [24, 40, 56], "hidden": [40], "epochs": 60},
}


def main():
    digits = load_digits()
    pictures = np.round(digits.images * 255 / 16).astype(np.uint8)
    parts = train_test_split(
        pictures, digits.target, test_size=HELD_OUT_FRACTION, random_state=SEED, stratify=digits.target
    )
    train_pictures, held_out_pictures, train_labels, held_out_labels = parts
    write_held_out(held_out_pictures, held_out_labels)
    sessions = {}
    for name, shape in SHAPES.items():
        net = train(train_pictures, train_labels, **shape)
        path = MODELS / name / "1" / "model.onnx"
        path.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(net.to_onnx(name, preprocess.SIZE), path)
        sessions[name] = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    write_accuracy(sessions)


def train(pictures, labels, channels, hidden, epochs, batch=64):
    """A network trained on distorted copies of the pictures, the learning rate falling along a half cosine."""
    generator = np.random.default_rng(SEED)
    images = np.stack([tensor_of(picture) for picture in pictures])
    net = ConvNet(channels, hidden, classes=10, size=preprocess.SIZE, seed=SEED)
    steps = epochs * (len(images) // batch)
    for epoch in range(epochs):
        order = generator.permutation(len(images))
        losses = []
        for start in range(0, len(images) - batch + 1, batch):
            chosen = order[start : start + batch]
            rate = 0.0015 * (1 + np.cos(np.pi * net.step / steps))
            losses.append(net.train_step(distort(images[chosen], generator), labels[chosen], rate))
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1}: loss {np.mean(losses):.4f}", flush=True)
    return net


def tensor_of(picture):
    """What the model sees of a picture that was written as a held-out PNG."""
    enlarged = np.asarray(enlarge(picture, PNG_SIZE))
    return preprocess.normalise(preprocess.resize_triangle(enlarged, preprocess.SIZE, preprocess.SIZE))


def distort(images, generator):
    """Each image turned by up to 12 degrees, scaled by up to 10 %, moved by up to 2 pixels, with a little noise."""
    count, _, height, width = images.shape
    angle = np.deg2rad(generator.uniform(-12, 12, count))[:, None, None]
    scale = generator.uniform(0.9, 1.1, count)[:, None, None]
    shift = generator.uniform(-2, 2, (2, count))[:, :, None, None]
    rows, columns = np.mgrid[:height, :width] - (height - 1) / 2
    y = (np.cos(angle) * rows - np.sin(angle) * columns) * scale + shift[0] + (height - 1) / 2
    x = (np.sin(angle) * rows + np.cos(angle) * columns) * scale + shift[1] + (width - 1) / 2
    y, x = np.clip(y, 0, height - 1.001), np.clip(x, 0, width - 1.001)
    top, left = y.astype(int), x.astype(int)
    down, right = y - top, x - left
    index = np.arange(count)[:, None, None]
    flat = images[:, 0]
    upper = flat[index, top, left] * (1 - right) + flat[index, top, left + 1] * right
    lower = flat[index, top + 1, left] * (1 - right) + flat[index, top + 1, left + 1] * right
    moved = upper * (1 - down) + lower * down
    return (moved + generator.normal(0, 0.03, moved.shape))[:, None].astype(np.float32)


def enlarge(picture, size):
    return Image.fromarray(picture).resize((size, size), Image.Resampling.BICUBIC)


def write_held_out(pictures, labels):
    """The held-out set as image files with their labels."""
    IMAGES.mkdir(exist_ok=True)
    for old in IMAGES.iterdir():
        old.unlink()
    rows = []
    for index, (picture, label) in enumerate(zip(pictures, labels)):
        rows.append((f"heldout_{index:03}.png", label, "heldout"))
        enlarge(picture, PNG_SIZE).save(IMAGES / rows[-1][0], optimize=True)
    for label in range(10):
        rows.append((f"demo_{label}.jpg", label, "demo"))
        grey = np.asarray(enlarge(pictures[np.flatnonzero(labels == label)[0]], JPEG_SIZE)).astype(np.float32) / 255
        ground, ink = np.array([16, 16, 32]), np.array([255, 255, 224])
        tinted = ground + grey[..., None] * (ink - ground)
        Image.fromarray(tinted.round().astype(np.uint8)).save(IMAGES / rows[-1][0], quality=JPEG_QUALITY)
    with open(IMAGES / "labels.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("file", "label", "set"))
        writer.writerows(rows)


def write_accuracy(sessions):
    """Measures on the files, as a client would send them, and keeps the numbers."""
    with open(IMAGES / "labels.csv") as file:
        rows = list(csv.DictReader(file))
    report = {"seed": SEED, "confidence_min": CONFIDENCE_MIN}
    for part in ("heldout", "demo"):
        chosen = [row for row in rows if row["set"] == part]
        labels = np.array([int(row["label"]) for row in chosen])
        images = np.stack([preprocess.image_to_tensor((IMAGES / row["file"]).read_bytes()) for row in chosen])
        report[part] = {"images": len(chosen)} | measure(sessions, images, labels)
    (HERE / "accuracy.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


def measure(sessions, images, labels):
    """Accuracy of each model, and of the smaller one with the larger one behind it."""
    results = {name: softmax(session.run(None, {"image": images})[0]) for name, session in sessions.items()}
    small, large = results["digits_cnn"], results["digits_cnn_large"]
    unsure = small.max(axis=1) < CONFIDENCE_MIN
    cascade = np.where(unsure, large.argmax(axis=1), small.argmax(axis=1))
    accuracy = {name: float((found.argmax(axis=1) == labels).mean()) for name, found in results.items()}
    correct = {f"{name}_correct": int((found.argmax(axis=1) == labels).sum()) for name, found in results.items()}
    return accuracy | correct | {
        "cascade": float((cascade == labels).mean()),
        "cascade_correct": int((cascade == labels).sum()),
        "asked_large": int(unsure.sum()),
    }


if __name__ == "__main__":
    main()
