"""Trace files of Triton's format, read back."""

import json
import pathlib
from dataclasses import dataclass, field


@dataclass
class Trace:
    """One traced request to one model."""

    id: int
    model: str
    version: int
    request_id: str
    parent_id: int | None
    moments: list[tuple[str, int]] = field(default_factory=list)
    tensors: list[tuple[str, dict]] = field(default_factory=list)
    # Attributes of a plugin's own steps, by the step's name.
    steps: dict[str, dict] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.moments]

    def at(self, name: str) -> int:
        return dict(self.moments)[name]


def read_traces(path: pathlib.Path) -> list[Trace]:
    """Every trace of a file in its order; objects of a trace follow the one that names its model."""
    traces = {}
    for entry in json.loads(path.read_text()):
        if "model_name" in entry:
            names = (entry["model_name"], entry["model_version"], entry.get("request_id", ""), entry.get("parent_id"))
            traces[entry["id"]] = Trace(entry["id"], *names)
        elif "timestamps" in entry:
            traces[entry["id"]].moments += [(moment["name"], moment["ns"]) for moment in entry["timestamps"]]
        elif "span" in entry:
            traces[entry["id"]].steps[entry["span"]] = entry["attributes"]
        else:
            traces[entry["id"]].tensors.append((entry["activity"], entry["tensor"]))
    return list(traces.values())
