"""The contract test's plugin in Python: does what the request's parameter `mode` says. `tests/guests/contract/README.md` has the
list that all languages share."""

import nereid
from nereid import control, files, http, metrics, operations, state, tokenizers, trace


class Contract(nereid.Transform):
    def __init__(self):
        self.scale = nereid.setting("scale", 1.0)
        self.bias = nereid.setting("bias", 0.0)

    def run(self, request, inputs):
        mode = request.parameters.get("mode")
        act = getattr(self, f"mode_{mode}", None)
        if act is None:
            raise nereid.Error("not-found", f"there is no mode {mode!r}")
        return act(request, inputs["X"])

    def mode_pass(self, request, x):
        return {"X": x}

    def mode_identity(self, request, x):
        if x.data_type == "BYTES":
            return {"X": nereid.Tensor.from_blobs(x.shape, x.blobs())}
        return {"X": nereid.Tensor.from_list(x.data_type, x.shape, x.tolist())}

    def mode_bytes(self, request, x):
        return {"X": nereid.Tensor.from_bytes(x.data_type, x.shape, x.memoryview())}

    def mode_transform(self, request, x):
        scaled = [value * self.scale + self.bias for value in x.tolist()]
        return {"X": nereid.Tensor.from_list("FP32", x.shape, scaled)}

    def mode_write(self, request, x):
        y = nereid.Tensor.zeros("FP32", [4])
        y.write(1, [1.5, 2.5])
        return {"X": y.slice(1, [2]).reshape([2, 1]).reshape([2])}

    def mode_bls(self, request, x):
        calls = [nereid.submit(model, {"X": x}) for model in ("left", "right")]
        first = nereid.wait_any(calls)
        answers = [call.receive() for call in calls]
        total = [sum(values) for values in zip(*(answer["X"].tolist() for answer in answers))]
        return nereid.Response({"X": nereid.Tensor.from_list("FP32", x.shape, total)}, {"first": first})

    def mode_call(self, request, x):
        return nereid.infer("left", {"X": x}, outputs=["X"], parameters={"depth": 1}, timeout=5)

    def mode_responses(self, request, x):
        totals = [sum(answer["X"].tolist()) for answer in nereid.submit("many", {"X": x})]
        return {"X": nereid.Tensor.from_list("FP32", [len(totals)], totals)}

    def mode_refuse(self, request, x):
        raise nereid.Error("invalid-argument", "this request is refused")

    def mode_parameters(self, request, x):
        return nereid.Response({"X": x}, request.parameters)

    def mode_model(self, request, x):
        model = nereid.model()
        return nereid.Response({"X": x}, {"name": model.name, "version": model.version, "input": model.inputs[0].name})

    def mode_log(self, request, x):
        nereid.log.info("the contract says hello")
        print("the contract prints in python")
        return {"X": x}

    def mode_request(self, request, x):
        at = request.sequence
        facts = [request.id, request.rows, request.priority, request.tenant, at.id, at.start, at.end, request.wants("X")]
        return said(x, *facts, len(request.wanted_outputs), request.remaining > 1)

    def mode_operations(self, request, x):
        return said(x, "\n".join(all_operations(x)))

    def mode_tokenizers(self, request, x):
        return said(x, "\n".join(all_of_tokenizers()))

    def mode_state(self, request, x):
        first = state.set("a", b"one")
        entry = state.get("a")
        swapped = state.swap("a", b"two", first)
        late = state.swap("a", b"three", first)
        sums = [state.add("n", 2), state.add("n", -5)]
        keys, now = state.keys("", 10), state.get("a").value
        deleted = [state.delete("a"), state.delete("a")]
        fresh = state.swap("b", b"x", None, lifetime=60)
        found = [entry.value.decode(), entry.version == first, swapped is not None, late is not None, now.decode()]
        return said(x, *found, *sums, ",".join(keys), *deleted, state.get("a") is None, fresh is not None)

    def mode_metrics(self, request, x):
        counter = metrics.Counter("contract_things_total", "Things", kind="x")
        gauge = metrics.Gauge("contract_level", "Level")
        sizes = metrics.Histogram("contract_sizes", "Sizes", [1, 2])
        counter.add(2)
        gauge.set(3)
        gauge.add(-1)
        sizes.observe(1.5)
        return said(x, int(counter.value), int(gauge.value), refused(lambda: counter.add(-1)))

    def mode_files(self, request, x):
        files.write("/scratch/a.txt", b"hello")
        whole, part = files.read("/scratch/a.txt").decode(), files.read_range("/scratch/a.txt", 1, 3).decode()
        listed = [f"{entry.name}:{entry.size}:{yes(entry.is_folder)}" for entry in files.list_folder("/scratch")]
        files.remove("/scratch/a.txt")
        gone = refused(lambda: files.read("/scratch/a.txt"))
        return said(x, whole, part, *listed, gone, refused(lambda: files.read("/elsewhere/a.txt")))

    def mode_secrets(self, request, x):
        return said(x, nereid.secret("token").decode(), refused(lambda: nereid.secret("other")))

    def mode_http(self, request, x):
        server = nereid.setting("server")
        echo = ("POST", f"{server}/echo", {"headers": {"x-word": "hi"}, "body": b"ping"})
        echoed, missing = http.request_all([echo, ("GET", f"{server}/missing", {})])
        denied = refused(lambda: http.get("http://127.0.0.1:1/"))
        return said(x, echoed.status, echoed.headers["x-method"], echoed.headers["x-word"], echoed.text(), missing.status, denied)

    def mode_control(self, request, x):
        entries = [f"{entry.name}:{entry.version}:{entry.state}" for entry in control.index()]
        control.load("other")
        control.unload("other")
        return said(x, *entries, refused(lambda: control.load("denied")))

    def mode_spans(self, request, x):
        with trace.span("outer", number=3, word="x", sure=True) as outer:
            outer.event("half", rows=2)
            with outer.child("inner") as inner:
                inner.set("share", 0.5)
            recorded = outer.recorded
        request.span("of-request").end()
        trace.span("open")
        return said(x, recorded)

    def mode_trap(self, request, x):
        return fail_on_purpose(x)

    def mode_cancelled(self, request, x):
        while not request.cancelled:
            pass
        raise nereid.Error("cancelled", "noticed that the client left")


def fail_on_purpose(x):
    raise RuntimeError("out of luck")


def said(x, *words):
    """The input, and words as the parameter `said`."""
    return nereid.Response({"X": x}, {"said": " ".join(yes(word) for word in words)})


def yes(word):
    return str(word).lower() if isinstance(word, bool) else str(word)


def refused(action):
    """The kind of error that it ends in."""
    try:
        action()
    except nereid.Error as error:
        return error.code
    return "allowed"


def all_operations(x):
    """Each once; numbers as whole ones."""
    a = x.reshape([2, 3])
    image = x.reshape([2, 3, 1])
    yield shown("normalise", operations.normalise(a, [1], [0.5]))
    yield shown("affine", operations.affine(a, [10, 20, 30], 1))
    yield shown("round", operations.cast(operations.affine(a, 0.5), "INT32", round=True))
    yield shown("transpose", operations.transpose(a, [1, 0]))
    yield shown("concat", operations.concat([a, a]))
    yield shown("stack", operations.stack([a, a]))
    yield shown("split", operations.split(a, [1, 2], axis=1)[1])
    yield shown("pad", operations.pad(a, [1, 0], [0, 1], 9))
    yield shown("softmax", operations.affine(operations.softmax(nereid.Tensor.zeros("FP32", [2])), 100))
    yield shown("argmax", operations.argmax(a))
    for part in operations.top_k(a, 2):
        yield shown("top-k", part)
    boxes = nereid.Tensor.from_list("FP32", [3, 4], [0, 0, 10, 10, 0, 0, 10, 9, 20, 20, 30, 30])
    scores = nereid.Tensor.from_list("FP32", [3], [0.5, 0.875, 0.75])
    yield shown("suppress", operations.suppress(boxes, scores, 0.5))
    yield shown("suppress", operations.suppress(boxes, scores, 0.5, score_min=0, kept_max=1))
    yield shown("crop", operations.crop(image, 0, 1, 2, 2))
    yield shown("resize", operations.resize(image, 1, 6, "nearest"))
    yield shown("first", operations.to_channels_first(image))
    yield shown("last", operations.to_channels_last(operations.to_channels_first(image)))
    texts = operations.from_texts([2], ["cat", "dog"])
    encoded = operations.encode_base64(texts)
    yield " ".join(["base64", *operations.texts(encoded), *operations.texts(operations.decode_base64(encoded), 1, 1)])
    yield shown("blob", operations.blob_bytes(texts, 1))
    yield shown("decode", operations.decode_image(operations.decode_base64(operations.from_texts([1], [PNG])), channels=3))


def all_of_tokenizers():
    texts = operations.from_texts([2], ["cat dog", "dog bird"])
    tokenizer = tokenizers.Tokenizer("/scratch/tokenizer.json")
    known = tokenizer.token_id("bird") is not None
    yield f"size {tokenizer.vocabulary_size} {tokenizer.token_id('dog')} {yes(known)} {tokenizer.token(1)}"
    three = tokenizer.encode(texts, length=3)
    yield shown("ids", three.ids)
    yield shown("mask", three.mask)
    yield shown("types", tokenizer.encode(texts, texts, special_tokens=False).type_ids)
    yield "decoded " + "|".join(operations.texts(tokenizer.decode(tokenizer.encode(texts).ids)))
    definition = files.read("/scratch/tokenizer.json")
    yield shown("cut", tokenizers.Tokenizer(definition, max_length=1, cut_beginning=True).encode(texts).ids)
    yield "refused " + refused(lambda: tokenizers.Tokenizer("/scratch/other.json"))


def shown(name, tensor):
    whole = " ".join(str(value) for value in operations.cast(tensor, "INT64").tolist())
    return f"{name} {list(tensor.shape)} {whole}".replace(", ", ",")


# One grey pixel of 200.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGM4AQAAygDJmcpdfgAAAABJRU5ErkJggg=="
