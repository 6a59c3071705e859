"""The contract test's plugin of whole batches in Python: does what the request's parameter `mode` says.
`tests/guests/contract_model/README.md` has the list that all languages share."""

import nereid
from nereid import state


class Contract(nereid.Model):
    def __init__(self):
        if nereid.setting("refuse") is not None:
            raise nereid.Error("invalid-argument", "the setting 'refuse' is there")
        self.kept = []
        self.noticed = "nothing yet"

    def execute(self, batch):
        self.batched = len(batch)
        return super().execute(batch)

    def answer(self, request):
        act = getattr(self, f"mode_{request.parameters.get('mode')}", None)
        if act is None:
            raise nereid.Error("not-found", "there is no such mode")
        return act(request, request.inputs["X"])

    def finalise(self):
        state.add("finalised", 1)

    def mode_pass(self, request, x):
        return {"X": x}

    def mode_batch(self, request, x):
        return nereid.Response({"X": x}, {"batch": self.batched, "rows": request.rows})

    def mode_refuse(self, request, x):
        raise nereid.Error("invalid-argument", "this request is refused")

    def mode_stream(self, request, x):
        sender = request.sender()
        for number in range(request.parameters["count"]):
            sender.send(plus(x, number))
        sender.finish()
        return nereid.DEFERRED

    def mode_respond(self, request, x):
        request.sender().respond(plus(x, 7))
        return nereid.DEFERRED

    def mode_fail(self, request, x):
        request.sender().fail(nereid.Error("unavailable", "not today"))
        return nereid.DEFERRED

    def mode_keep(self, request, x):
        self.kept.append((request.sender(), x.tolist(), x.shape))
        return nereid.DEFERRED

    def mode_flush(self, request, x):
        for sender, values, shape in self.kept:
            sender.respond({"X": nereid.Tensor.from_list("FP32", shape, [value + 100 for value in values])})
        self.kept.clear()
        return {"X": x}

    def mode_again(self, request, x):
        return nereid.Reschedule(plus(x, 1))

    def mode_endless(self, request, x):
        sender = request.sender()
        try:
            while True:
                sender.send({"X": x})
        except nereid.Error as error:
            self.noticed = f"{error.code} {str(sender.cancelled).lower()}"
        return nereid.DEFERRED

    def mode_noticed(self, request, x):
        return nereid.Response({"X": x}, {"said": self.noticed})

    def mode_finalised(self, request, x):
        return nereid.Response({"X": x}, {"said": str(state.add("finalised", 0))})

    def mode_trap(self, request, x):
        return fail_on_purpose(x)


def plus(x, number):
    return {"X": nereid.Tensor.from_list("FP32", x.shape, [value + number for value in x.tolist()])}


def fail_on_purpose(x):
    raise RuntimeError("out of luck")
