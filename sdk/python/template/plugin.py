"""Its input, times a factor. README.md has the commands that build, test and serve it."""

import nereid


class Double(nereid.Transform):
    def __init__(self):
        # The `parameters` of config.pbtxt, read once per instance.
        self.factor = nereid.setting("factor", 2.0)

    def run(self, request, inputs):
        x = inputs["X"]
        return {"Y": nereid.Tensor.from_list("FP32", x.shape, [value * self.factor for value in x.tolist()])}
