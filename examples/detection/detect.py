"""Finds discs in image files with a running server, through Triton's own client.

    .nereid/venv/bin/python examples/detection/detect.py --url 127.0.0.1:8000 examples/detection/scene.png

Prints class, score and box of each object, in pixels of the image. `--score-min` asks for another threshold than the
configuration's. Needs tritonclient[http] and numpy, which `cargo xtask setup python` installs into .nereid/venv.
"""

import argparse
import pathlib

import numpy as np
import tritonclient.http

NAMES = ("red", "green", "blue")


def detect(client, model: str, image: bytes, **parameters):
    """Boxes `[k, 4]` (left, top, right, bottom), scores and classes of one encoded image, the best first."""
    given = tritonclient.http.InferInput("image", [1, 1], "BYTES")
    given.set_data_from_numpy(np.array([[image]], np.object_))
    result = client.infer(model, [given], parameters=parameters or None)
    return tuple(result.as_numpy(name)[0] for name in ("boxes", "scores", "classes"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="127.0.0.1:8000", metavar="HOST:PORT", help="the server's HTTP service")
    parser.add_argument("--model", default="disc_pipeline", metavar="NAME")
    parser.add_argument("--score-min", type=float, metavar="0..1")
    parser.add_argument("files", nargs="+", type=pathlib.Path, metavar="FILE", help="JPEG, PNG or WebP images")
    arguments = parser.parse_args()
    parameters = {} if arguments.score_min is None else {"score_min": arguments.score_min}
    client = tritonclient.http.InferenceServerClient(arguments.url)
    for path in arguments.files:
        print(path)
        for box, score, class_number in zip(*detect(client, arguments.model, path.read_bytes(), **parameters)):
            corners = "  ".join(f"{number:6.1f}" for number in box)
            print(f"    {NAMES[class_number]:6} {score:.2f}   {corners}")
    client.close()


if __name__ == "__main__":
    main()
