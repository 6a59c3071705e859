// Its input, times a factor: a batch at a time. README.md has the three commands that build, test and serve it.
// With `fullModel` it could complete config.pbtxt, and say when it is not ready.

import { batches, operations, setting } from "nereid";

class Double {
  constructor() {
    // The `parameters` of config.pbtxt, read once per instance; what is thrown here fails the load.
    this.factor = setting("factor", 2);
  }

  // One request of the batch; what it throws does not touch the others.
  answer(request) {
    return { Y: operations.affine(request.inputs.get("X"), this.factor) };
  }
}

export const model = batches(Double);
