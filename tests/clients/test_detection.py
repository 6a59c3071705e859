"""examples/detection: the raw output of a YOLO detector to boxes, scores and classes as a NumPy program finds them; and the whole
way from a picture to what is in it."""

import io
import subprocess
import sys

import numpy as np
import pytest
from clients import PROTOCOLS, Client
from PIL import Image, ImageDraw
from server import ROOT, Server
from tritonclient.utils import InferenceServerException

FOLDER = ROOT / "examples/detection"
COLOURS = ("red", "green", "blue")
CLASSES, ANCHORS, SIDE = 80, 8400, 640
# Height and width of images as cameras make them: wide, high, odd.
SIZES = np.array([[720, 1280], [1280, 720], [427, 641]], np.int32)
DEFAULT = {"score_min": 0.25, "overlap_max": 0.7, "boxes_max": 300, "per_class": True}


@pytest.fixture(scope="module")
def detection(binary, tmp_path_factory):
    log = tmp_path_factory.mktemp("detection") / "log"
    with Server(binary, log, [FOLDER / "model_repository"]) as running:
        yield running


@pytest.fixture(params=PROTOCOLS)
def client(request, detection):
    connected = Client(request.param, detection)
    yield connected
    connected.close()


def raw_output(objects_per_image=(12, 5, 0), seed: int = 5) -> np.ndarray:
    """What a detector gives: a crowd of anchors around each object, with the object's class in front, over a murmur."""
    random = np.random.default_rng(seed)
    raw = random.uniform(0, 0.2, (len(objects_per_image), 4 + CLASSES, ANCHORS)).astype(np.float32)
    raw[:, :4] *= 5 * SIDE
    for image, objects in zip(raw, objects_per_image):
        places = random.permutation(ANCHORS)
        for number in range(objects):
            crowd = places[number * 30 : number * 30 + 30]
            middle, size = random.uniform(100, 540, 2), random.uniform(20, 200, 2)
            image[:2, crowd] = middle[:, None] + random.normal(0, 6, (2, 30))
            image[2:4, crowd] = size[:, None] * random.uniform(0.8, 1.2, (2, 30))
            image[4 + random.integers(CLASSES), crowd] = random.uniform(0.1, 0.95, 30)
            # Some of the crowd take it for something else.
            image[4 + random.integers(CLASSES), crowd[:8]] = random.uniform(0.3, 0.9, 8)
    return raw


def overlap(box, boxes) -> np.ndarray:
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    return shared / (np.prod(box[2:] - box[:2]) + np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) - shared)


def reference(raw, size=None, **rules):
    """The same by NumPy: of one image's `[84, anchors]`, boxes, scores and classes."""
    rules = DEFAULT | rules
    classes, scores = raw[4:].argmax(axis=0), raw[4:].max(axis=0)
    corners = np.concatenate([raw[:2] - raw[2:4] / 2, raw[:2] + raw[2:4] / 2]).T
    order = [anchor for anchor in np.argsort(-scores, kind="stable") if scores[anchor] >= rules["score_min"]]
    kept = []
    for anchor in order:
        rivals = [other for other in kept if not rules["per_class"] or classes[other] == classes[anchor]]
        if not rivals or overlap(corners[anchor], corners[rivals]).max() <= rules["overlap_max"]:
            kept.append(anchor)
    kept = kept[: rules["boxes_max"]]
    boxes, (height, width) = corners[kept], size if size is not None else (SIDE, SIDE)
    if size is not None:
        scale = min(SIDE / width, SIDE / height)
        margins = [round((SIDE - round(side * scale)) / 2 - 0.1) for side in (width, height)]
        boxes = (boxes - np.array(margins * 2)) / scale
    return np.clip(boxes, 0, [width, height, width, height]), scores[kept], classes[kept]


def detect(client: Client, raw, sizes=None, **parameters) -> list[tuple]:
    """Boxes, scores and classes of each image; what stands behind the last box must be nothing."""
    inputs = [client.input("predictions", raw, "FP32")]
    inputs += [] if sizes is None else [client.input("image_size", sizes, "INT32")]
    result = client.infer("boxes", *inputs, parameters=parameters or None)
    counts = result.as_numpy("count")
    assert counts.shape == (len(raw), 1)
    outputs = [result.as_numpy(name) for name in ("boxes", "scores", "classes")]
    assert all(output.shape[:2] == (len(raw), counts.max()) for output in outputs)
    for output, padding in zip(outputs, (0, 0, -1)):
        assert all((row[count:] == padding).all() for row, count in zip(output, counts[:, 0]))
    return [tuple(output[row, :count] for output in outputs) for row, count in enumerate(counts[:, 0])]


def check(found, expected):
    boxes, scores, classes = found
    assert classes.tolist() == expected[2].tolist()
    np.testing.assert_array_equal(scores, expected[1])
    np.testing.assert_allclose(boxes, expected[0], atol=2e-3)


@pytest.mark.parametrize(
    "rules", [{}, {"score_min": 0.6}, {"overlap_max": 0.3}, {"per_class": False, "overlap_max": 0.45}, {"boxes_max": 4}], ids=str
)
def test_objects_are_those_that_numpy_finds(client, rules):
    raw = raw_output()
    found = detect(client, raw, SIZES, **rules)
    for image, size, answer in zip(raw, SIZES, found):
        check(answer, reference(image, size, **rules))
    assert len(found[0][1]) >= 4 and len(found[2][1]) == 0


def test_without_a_size_boxes_are_in_the_detectors_pixels(client):
    raw = raw_output()
    for image, answer in zip(raw, detect(client, raw)):
        check(answer, reference(image))


def test_an_image_without_objects_has_none(client):
    ((boxes, scores, classes),) = detect(client, raw_output((0,)), SIZES[:1])
    assert boxes.shape == (0, 4) and scores.shape == classes.shape == (0,)


def test_a_detector_of_few_classes_is_as_welcome(client):
    raw = np.zeros((1, 6, 3), np.float32)
    raw[0, :, 1] = [100, 100, 20, 40, 0.3, 0.9]
    ((boxes, scores, classes),) = detect(client, raw)
    assert boxes.tolist() == [[90, 80, 110, 120]] and classes.tolist() == [1]
    assert scores[0] == np.float32(0.9)


def test_a_score_that_is_no_number_is_no_object(client):
    raw = raw_output((1,))
    raw[0, 10, 77] = np.nan
    check(detect(client, raw)[0], reference(np.nan_to_num(raw[0])))


@pytest.mark.parametrize(
    "raw, sizes, parameters, text",
    [
        (np.zeros((1, 4, 9), np.float32), None, {}, "input 'predictions' has shape [1, 4, 9], expected [n, 4 + classes, anchors]"),
        (np.zeros((1, 6, 9), np.float32), [[0, 640]], {}, "row 0 of input 'image_size' is [0, 640], expected the image's height"),
        (np.zeros((1, 6, 9), np.float32), None, {"score_min": 25}, "parameter 'score_min' is 25, expected 0 to 1"),
        (np.zeros((1, 6, 9), np.float32), None, {"per_class": "yes"}, "expected true or false"),
    ],
)
def test_what_does_not_fit_is_told(client, raw, sizes, parameters, text):
    with pytest.raises(InferenceServerException) as refused:
        detect(client, raw, None if sizes is None else np.array(sizes, np.int32), **parameters)
    assert text in refused.value.message()
    assert refused.value.status() in ("400", "StatusCode.INVALID_ARGUMENT")


def scene(random) -> tuple[bytes, list[tuple]]:
    """A picture of some discs that do not touch, with class and box of each."""
    width, height = (int(side) for side in random.integers(320, 640, 2))
    largest = max(width, height) / 160
    picture = Image.new("RGB", (width, height), tuple(random.integers(150, 200, 3).tolist()))
    drawn = []
    while len(drawn) < 4:
        radius = random.uniform(6.5, 18) * largest
        x, y = random.uniform(radius, width - radius), random.uniform(radius, height - radius)
        box = np.array([x - radius, y - radius, x + radius, y + radius])
        if all(np.hypot(x - (b[0] + b[2]) / 2, y - (b[1] + b[3]) / 2) > 1.5 * (radius + (b[2] - b[0]) / 2) for _, b in drawn):
            drawn.append((int(random.integers(3)), box))
            ImageDraw.Draw(picture).ellipse(box.tolist(), fill=COLOURS[drawn[-1][0]])
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    return file.getvalue(), drawn


def test_discs_are_found_in_pictures_of_any_size(client):
    random = np.random.default_rng(3)
    scenes = [scene(random) for _ in range(12)]
    given = client.input("image", np.array([[encoded] for encoded, _ in scenes], np.object_), "BYTES")
    result = client.infer("disc_pipeline", given)
    boxes, classes, counts = (result.as_numpy(name) for name in ("boxes", "classes", "count"))
    assert counts[:, 0].tolist() == [len(drawn) for _, drawn in scenes]
    for row, (_, drawn) in enumerate(scenes):
        for kind, box in drawn:
            shared = overlap(box, boxes[row, : counts[row, 0]])
            assert shared.max() > 0.5, f"no disc at {box} in {boxes[row]}"
            assert classes[row, shared.argmax()] == kind


def test_what_is_no_image_is_told(client):
    with pytest.raises(InferenceServerException, match="element 0 of input 'image': decode-image: "):
        client.infer("disc_pipeline", client.input("image", np.array([[b"GIF89a"]], np.object_), "BYTES"))


def test_the_example_script_prints_what_it_finds(detection):
    command = [sys.executable, FOLDER / "detect.py", f"--url={detection.http_url}", FOLDER / "scene.png"]
    found = [line.split()[0] for line in run(command).splitlines() if line.startswith("    ")]
    assert sorted(found) == ["blue", "green", "red", "red"]
    assert len(run([*command, "--score-min=0.99"]).splitlines()) == 1


def run(command: list) -> str:
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout
