"""Sends requests of these lengths at once, and shows the batches in which they went."""

import json
import sys
import urllib.request

import numpy as np
import tritonclient.http as http

MODEL = "lengths"
DECISIONS = f"/v2/debug/models/{MODEL}/decisions"


def decisions(server: str) -> list[dict]:
    with urllib.request.urlopen(f"http://{server}{DECISIONS}") as answer:
        return json.load(answer)["models"][0]["decisions"]


def send(server: str, lengths: list[int]):
    with http.InferenceServerClient(server, concurrency=len(lengths)) as client:
        pending = []
        for length in lengths:
            tokens = http.InferInput("TOKENS", [1, length], "INT64")
            tokens.set_data_from_numpy(np.arange(length, dtype=np.int64)[None])
            pending.append(client.async_infer(MODEL, [tokens]))
        for length, one in zip(lengths, pending):
            assert one.get_result().as_numpy("ECHO").shape == (1, length)


def main():
    lengths = [int(length) for length in sys.argv[1:]] or [8, 8, 8, 8, 200, 8, 8, 8, 8, 8]
    server = "127.0.0.1:8000"
    before = len(decisions(server))
    send(server, lengths)
    for batch in decisions(server)[before:]:
        print(f"{batch['requests']} requests: {batch['reason']}")


if __name__ == "__main__":
    main()
