"""The contract test's plugin in Python: does what the request's parameter `mode` says. `tests/guests/contract/README.md` has the
list that all languages share."""

import nereid


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

    def mode_refuse(self, request, x):
        raise nereid.Error("invalid-argument", "this request is refused")

    def mode_parameters(self, request, x):
        return nereid.Response({"X": x}, request.parameters)

    def mode_model(self, request, x):
        model = nereid.model()
        return nereid.Response({"X": x}, {"name": model.name, "version": model.version, "input": model.inputs[0].name})

    def mode_log(self, request, x):
        nereid.log.info("the contract says hello")
        print("the contract prints")
        return {"X": x}

    def mode_trap(self, request, x):
        return fail_on_purpose(x)

    def mode_cancelled(self, request, x):
        while not request.cancelled:
            pass
        raise nereid.Error("cancelled", "noticed that the client left")


def fail_on_purpose(x):
    raise RuntimeError("out of luck")
