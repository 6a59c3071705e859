"""Raw records in, the features of a trained model out: dates, categories and numbers, any of which may be missing.

Inputs are those of `config.pbtxt`: BYTES `[n, 1]` are texts, "" where one is missing; FP64 `[n, m]` are numbers, NaN where one is
missing. Output `features`: FP32 `[n, width]`. What becomes of what stands in `/data/features.json`, a file of the model's version
directory that the training script writes: `features.py` beside this file describes it. A model that was trained anew is a new
version with a file of its own; the plugin stays the same.
"""

import json

import features
import nereid

SPECIFICATION = "/data/features.json"


class RecordFeatures(nereid.Transform):
    def __init__(self):
        with open(SPECIFICATION) as file:
            self.features = features.Features(json.load(file))
        configured = {tensor.name for tensor in nereid.model().inputs}
        if missing := self.features.inputs - configured:
            names = ", ".join(sorted(missing))
            raise nereid.Error("internal", f"{SPECIFICATION} reads inputs that config.pbtxt does not have: {names}")

    def run(self, request, inputs):
        count = next(iter(inputs.values())).shape[0]
        read = {name: _read(name, inputs[name]) for name in self.features.inputs}
        try:
            rows = self.features.rows(read, count)
        except features.Refused as refused:
            raise nereid.Error("invalid-argument", str(refused)) from None
        return {"features": nereid.Tensor.from_list("FP32", [count, self.features.width], rows)}


def _read(name: str, tensor) -> list:
    """Texts, or rows of numbers."""
    if tensor.data_type != "BYTES":
        values, width = tensor.tolist(), tensor.shape[1]
        return [values[start : start + width] for start in range(0, len(values), width)]
    try:
        return [text.strip() for text in tensor.texts()]
    except UnicodeDecodeError:
        raise nereid.Error("invalid-argument", f"input '{name}' has a text that is not UTF-8") from None
