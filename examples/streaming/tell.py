"""Has a running server tell a story, and prints it as it comes: over gRPC's stream or as server-sent events.

    .nereid/venv/bin/python examples/streaming/tell.py "Alice was"
    .nereid/venv/bin/python examples/streaming/tell.py --http --seed 3 --tokens 200 "Down went Alice"

Ctrl-C cancels the stream; the server's log and `streamer_cancelled_total` on the metrics page know. Needs tritonclient[grpc],
which `cargo xtask setup python` installs into .nereid/venv.
"""

import argparse
import http.client
import json
import queue

import numpy as np
import tritonclient.grpc

MODEL = "storyteller"


def over_grpc(url: str, prompt: str, wishes: dict):
    """The pieces of the text, from `ModelStreamInfer`."""
    answers = queue.Queue()
    client = tritonclient.grpc.InferenceServerClient(url)
    client.start_stream(lambda result, error: answers.put((result, error)))
    given = tritonclient.grpc.InferInput("text_input", [1], "BYTES")
    given.set_data_from_numpy(np.array([prompt.encode()], np.object_))
    client.async_stream_infer(MODEL, [given], parameters=wishes)
    finished = False
    try:
        while not finished:
            result, error = answers.get()
            if error:
                raise error
            finished = "finish_reason" in result.get_response().parameters
            yield result.as_numpy("text_output")[0].decode()
    finally:
        client.stop_stream(cancel_requests=not finished)
        client.close()


def over_http(url: str, prompt: str, wishes: dict):
    """The pieces of the text, from `generate_stream`."""
    connection = http.client.HTTPConnection(url)
    connection.request("POST", f"/v2/models/{MODEL}/generate_stream", json.dumps({"text_input": prompt, **wishes}))
    response = connection.getresponse()
    if response.status != 200:
        raise SystemExit(response.read().decode())
    for line in response:
        if line.startswith(b"data: "):
            yield json.loads(line.removeprefix(b"data: "))["text_output"]
    connection.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", metavar="HOST:PORT", help="127.0.0.1:8001, or 127.0.0.1:8000 with --http")
    parser.add_argument("--http", action="store_true", help="server-sent events instead of gRPC")
    parser.add_argument("--tokens", type=int, default=64, metavar="COUNT")
    parser.add_argument("--temperature", type=float, default=0.8, metavar="0..10")
    parser.add_argument("--seed", type=int, default=0, metavar="NUMBER")
    parser.add_argument("prompt")
    arguments = parser.parse_args()
    tell = over_http if arguments.http else over_grpc
    url = arguments.url or ("127.0.0.1:8000" if arguments.http else "127.0.0.1:8001")
    wishes = {"max_tokens": arguments.tokens, "temperature": arguments.temperature, "seed": arguments.seed}
    print(arguments.prompt, end="")
    try:
        for piece in tell(url, arguments.prompt, wishes):
            print(piece, end="", flush=True)
    except KeyboardInterrupt:
        pass
    print()


if __name__ == "__main__":
    main()
