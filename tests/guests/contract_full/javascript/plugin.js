// The contract test's plugin with the whole life of a model in JavaScript. `tests/guests/contract_full/README.md` has the list that all
// languages share.

import { DEFERRED, PluginError, Tensor, fullModel, setting, state } from "nereid";

class Contract {
  constructor() {
    this.health = "well";
    this.kept = [];
  }

  static completeConfig(draft) {
    if (setting("unknown") !== null) {
      throw new PluginError("invalid-argument", "nothing is known");
    }
    for (const input of draft.inputs.filter((written) => written.dataType === undefined)) {
      Object.assign(input, { dataType: "INT64", dims: [2, 3] });
    }
    draft.input("X", "FP32", [-1]);
    draft.input("W", "BYTES", [1], true);
    draft.output("X", "FP32", [-1]);
    draft.maxBatchSize = 8;
    draft.dynamicBatching = true;
    draft.decoupled = false;
  }

  answer(request) {
    const x = request.inputs.get("X");
    const mode = request.parameters.mode;
    if (mode === "keep") {
      this.kept.push([request.sender(), x.elements(), x.shape]);
      return DEFERRED;
    }
    if (["sick", "well", "hang"].includes(mode)) {
      this.health = mode;
    }
    return { X: x };
  }

  isReady() {
    while (this.health === "hang") {}
    if (this.health === "sick") {
      throw new PluginError("unavailable", "out of order");
    }
    return true;
  }

  drain() {
    for (const [sender, values, shape] of this.kept) {
      sender.respond({ X: Tensor.from("FP32", shape, values.map((value) => value + 100)) });
    }
    this.kept = [];
    state.add("drained", 1);
  }
}

export const { model, completion, readiness, draining } = fullModel(Contract);
