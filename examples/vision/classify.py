"""Classifies image files with a running server, through Triton's own client, over HTTP and gRPC.

    .nereid/venv/bin/python examples/vision/classify.py --http-url 127.0.0.1:8000 --model vision_pipeline photo.jpg

The whole file goes to the model as it is: decoding, resizing and normalising happen in the server, in a sandboxed
plugin. Needs tritonclient[http,grpc] and numpy, which `cargo xtask setup python` installs into .nereid/venv.
"""

import argparse
import dataclasses
import pathlib
import sys
import time

import numpy as np
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a model says about one image, the likeliest label first."""

    labels: list[str]
    probabilities: list[float]
    milliseconds: float


class Classifier:
    """One connection over one protocol, for any model that takes `image` and gives `label` and `probability`."""

    def __init__(self, protocol: str, url: str):
        self.protocol = protocol
        self._triton = {"http": tritonclient.http, "grpc": tritonclient.grpc}[protocol]
        self._client = self._triton.InferenceServerClient(url)
        self._input_ranks: dict[str, int] = {}

    def classify(self, model: str, image: bytes) -> Answer:
        elements = np.array([image], dtype=np.object_).reshape([1] * self._rank(model))
        image_input = self._triton.InferInput("image", elements.shape, "BYTES")
        image_input.set_data_from_numpy(elements)
        started = time.perf_counter()
        result = self._client.infer(model, [image_input])
        milliseconds = (time.perf_counter() - started) * 1000
        labels = [label.decode() for label in result.as_numpy("label").reshape(-1)]
        probabilities = [float(value) for value in result.as_numpy("probability").reshape(-1)]
        return Answer(labels, probabilities, milliseconds)

    def _rank(self, model: str) -> int:
        """A model that batches has one dimension more than one that takes a single image."""
        if model not in self._input_ranks:
            metadata = self._client.get_model_metadata(model)
            if self.protocol == "grpc":
                shapes = {tensor.name: list(tensor.shape) for tensor in metadata.inputs}
            else:
                shapes = {tensor["name"]: tensor["shape"] for tensor in metadata["inputs"]}
            if "image" not in shapes:
                raise SystemExit(f"model '{model}' has no input 'image', it has {', '.join(shapes)}")
            self._input_ranks[model] = len(shapes["image"])
        return self._input_ranks[model]

    def close(self):
        self._client.close()


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--http-url", "--url", metavar="HOST:PORT", help="the server's HTTP service")
    parser.add_argument("--grpc-url", metavar="HOST:PORT", help="the server's gRPC service")
    parser.add_argument("--model", action="append", metavar="NAME", help="may be given several times (vision_pipeline)")
    parser.add_argument("files", nargs="+", type=pathlib.Path, metavar="FILE", help="JPEG or PNG images")
    arguments = parser.parse_args()
    if not arguments.http_url and not arguments.grpc_url:
        arguments.http_url = "127.0.0.1:8000"
    arguments.model = arguments.model or ["vision_pipeline"]
    return arguments


def main() -> int:
    arguments = parse_arguments()
    urls = {"http": arguments.http_url, "grpc": arguments.grpc_url}
    classifiers = [Classifier(protocol, url) for protocol, url in urls.items() if url]
    width = max(len(path.name) for path in arguments.files)
    model_width = max(len(model) for model in arguments.model)
    print(f"\n    {'file':{width}}  protocol  {'model':{model_width}}  label     probability       ms")
    failures = 0
    for path in arguments.files:
        image = path.read_bytes()
        for classifier in classifiers:
            for model in arguments.model:
                begin = f"    {path.name:{width}}  {classifier.protocol:8}  {model:{model_width}}"
                try:
                    answer = classifier.classify(model, image)
                    print(f"{begin}  {answer.labels[0]:8}  {answer.probabilities[0]:11.4f}  {answer.milliseconds:7.1f}")
                except (InferenceServerException, OSError) as error:
                    failures += 1
                    print(f"{begin}  failed: {error}")
    for classifier in classifiers:
        classifier.close()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
