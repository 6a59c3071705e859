"""Ranks the lines of a file by how near they are to a question, with a running server.

    .nereid/venv/bin/python examples/embedding/search.py --url 127.0.0.1:8000 "how can I fill in missing data"
    .nereid/venv/bin/python examples/embedding/search.py --passages README.md --best 5 "which models are served"

Passages are embedded `--together` at a time. Embeddings have length one, so that the scalar product of two is the cosine of their
angle: 1 for texts that say the same, about 0 for texts that have nothing to do with each other. Needs tritonclient[http] and numpy,
which `cargo xtask setup python` installs into .nereid/venv.
"""

import argparse
import pathlib

import numpy as np
import tritonclient.http

PASSAGES = pathlib.Path(__file__).resolve().parent / "passages.txt"


def embed(client, model: str, texts: list[str]) -> np.ndarray:
    """A row for each text."""
    given = tritonclient.http.InferInput("text", [len(texts), 1], "BYTES")
    given.set_data_from_numpy(np.array([[text.encode()] for text in texts], np.object_))
    return client.infer(model, [given]).as_numpy("embedding")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="127.0.0.1:8000", metavar="HOST:PORT", help="the server's HTTP service")
    parser.add_argument("--model", default="text_embedding", metavar="NAME")
    parser.add_argument("--passages", type=pathlib.Path, default=PASSAGES, metavar="FILE", help="a text per line (passages.txt)")
    parser.add_argument("--together", type=int, default=32, metavar="COUNT", help="texts per request (32)")
    parser.add_argument("--best", type=int, default=3, metavar="COUNT", help="passages that are shown (3)")
    parser.add_argument("questions", nargs="+", metavar="QUESTION")
    arguments = parser.parse_args()
    passages = [line.strip() for line in arguments.passages.read_text().splitlines() if line.strip()]
    client = tritonclient.http.InferenceServerClient(arguments.url)
    starts = range(0, len(passages), arguments.together)
    embeddings = [embed(client, arguments.model, passages[start : start + arguments.together]) for start in starts]
    scores = embed(client, arguments.model, arguments.questions) @ np.concatenate(embeddings).T
    for question, row in zip(arguments.questions, scores):
        print(question)
        for place in np.argsort(-row, kind="stable")[: arguments.best]:
            print(f"    {row[place]:5.2f}  {passages[place]}")
    client.close()


if __name__ == "__main__":
    main()
