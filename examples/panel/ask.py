"""Asks the panel about images of digits, and prints how many models answered.

    .nereid/venv/bin/python examples/panel/ask.py --url 127.0.0.1:8000 examples/vision/images/demo_*.jpg

Needs tritonclient[http], numpy and Pillow, which `cargo xtask setup python` installs into .nereid/venv.
"""

import argparse
import pathlib
import sys

import numpy as np
import tritonclient.http

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "vision"))
from preprocess import image_to_tensor  # noqa: E402 (lies in the other example)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="127.0.0.1:8000", metavar="HOST:PORT", help="the server's HTTP service")
    parser.add_argument("files", nargs="+", type=pathlib.Path, metavar="FILE", help="JPEG or PNG images")
    arguments = parser.parse_args()
    client = tritonclient.http.InferenceServerClient(arguments.url)
    for path in arguments.files:
        image = image_to_tensor(path.read_bytes())[None]
        given = tritonclient.http.InferInput("image", image.shape, "FP32")
        given.set_data_from_numpy(np.ascontiguousarray(image))
        result = client.infer("digits_panel", [given])
        said = result.get_response()["parameters"]
        digit = result.as_numpy("probability")[0].argmax()
        print(f"{path.name:16} {digit}   {said['answered']} of {said['asked']}")
    client.close()


if __name__ == "__main__":
    main()
