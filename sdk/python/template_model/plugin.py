"""Its input, times a factor: a batch at a time. README.md has the three commands that build, test and serve it."""

import nereid


class Double(nereid.Model):  # a nereid.FullModel could complete config.pbtxt, and say when it is not ready
    def __init__(self):
        # The `parameters` of config.pbtxt, read once per instance; an exception here fails the load.
        self.factor = nereid.setting("factor", 2.0)

    def answer(self, request):
        # One request of the batch; what it raises does not touch the others.
        x = request.inputs["X"]
        return {"Y": nereid.operations.affine(x, self.factor)}
