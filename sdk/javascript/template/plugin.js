// Its input, times a factor. README.md has the commands that build, test and serve it.

import { Tensor, plugin, setting } from "nereid";

class Double {
  constructor() {
    // The `parameters` of config.pbtxt, read once per instance.
    this.factor = setting("factor", 2);
  }

  run(request, inputs) {
    const x = inputs.get("X");
    return { Y: Tensor.from("FP32", x.shape, x.elements().map((value) => value * this.factor)) };
  }
}

export const transform = plugin(Double);
