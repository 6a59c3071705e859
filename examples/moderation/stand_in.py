"""A moderation service to try the example with: flags texts that say what one does not say.

    MODERATION_KEY=secret python examples/moderation/stand_in.py 9100

Answers `POST /v1/moderations` as OpenAI's endpoint does, to whoever knows the key. Standard library alone.
"""

import http.server
import json
import os
import sys

WORDS = {"hate": {"hate", "despise"}, "violence": {"kill", "punch"}}


def verdict(text: str) -> dict:
    said = set(text.lower().split())
    scores = {category: min(1.0, 0.01 + 0.9 * len(words & said)) for category, words in WORDS.items()}
    return {"flagged": max(scores.values()) > 0.5, "category_scores": scores}


class Service(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path != "/v1/moderations":
            return self.answer(404, {"error": "no such path"})
        if self.headers.get("authorization") != f"Bearer {os.environ['MODERATION_KEY']}":
            return self.answer(401, {"error": "wrong key"})
        return self.answer(200, {"results": [verdict(text) for text in json.loads(body)["input"]]})

    def answer(self, status: int, content: dict):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Service).serve_forever()
