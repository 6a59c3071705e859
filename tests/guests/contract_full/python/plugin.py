"""The contract test's plugin with the whole life of a model in Python. `tests/guests/contract_full/README.md` has the list that all
languages share."""

import nereid
from nereid import state


class Contract(nereid.FullModel):
    def __init__(self):
        self.health = "well"
        self.kept = []

    @classmethod
    def complete_config(cls, draft):
        if nereid.setting("unknown") is not None:
            raise nereid.Error("invalid-argument", "nothing is known")
        for given in draft.inputs:
            if given.data_type is None:
                given.data_type, given.dims = "INT64", [2, 3]
        draft.add_input("X", "FP32", [-1])
        draft.add_input("W", "BYTES", [1], optional=True)
        draft.add_output("X", "FP32", [-1])
        draft.max_batch_size = 8
        draft.dynamic_batching = True
        draft.decoupled = False

    def answer(self, request):
        x = request.inputs["X"]
        mode = request.parameters.get("mode")
        if mode == "keep":
            self.kept.append((request.sender(), x.tolist(), x.shape))
            return nereid.DEFERRED
        if mode in ("sick", "well", "hang"):
            self.health = mode
        return {"X": x}

    def is_ready(self):
        while self.health == "hang":
            pass
        if self.health == "sick":
            raise nereid.Error("unavailable", "out of order")
        return True

    def drain(self):
        for sender, values, shape in self.kept:
            sender.respond({"X": nereid.Tensor.from_list("FP32", shape, [value + 100 for value in values])})
        self.kept.clear()
        state.add("drained", 1)
