// The contract test's plugin in JavaScript: does what the request's parameter `mode` says. `tests/guests/contract/README.md`
// has the list that all languages share.

import { PluginError, Tensor, infer, log, model, plugin, setting, submit, waitAny } from "nereid";

class Contract {
  constructor() {
    this.scale = setting("scale", 1);
    this.bias = setting("bias", 0);
  }

  run(request, inputs) {
    const mode = request.parameters.mode;
    const act = MODES[mode];
    if (act === undefined) {
      throw new PluginError("not-found", `there is no mode '${mode}'`);
    }
    return act.call(this, inputs.get("X"), request);
  }
}

const MODES = {
  pass: (x) => ({ X: x }),

  identity(x) {
    const made = x.dataType === "BYTES" ? Tensor.fromBlobs(x.shape, x.blobs()) : Tensor.from(x.dataType, x.shape, [...x.elements()]);
    return { X: made };
  },

  bytes: (x) => ({ X: Tensor.fromBytes(x.dataType, x.shape, x.bytes()) }),

  transform(x) {
    return { X: Tensor.from("FP32", x.shape, x.elements().map((value) => value * this.scale + this.bias)) };
  },

  write() {
    const y = Tensor.zeros("FP32", [4]);
    y.write(1, [1.5, 2.5]);
    return { X: y.slice(1, [2]).reshape([2, 1]).reshape([2]) };
  },

  bls(x) {
    const calls = ["left", "right"].map((name) => submit(name, { X: x }));
    const first = waitAny(calls);
    const [left, right] = calls.map((call) => call.receive().output("X").elements());
    const total = left.map((value, index) => value + right[index]);
    return { outputs: { X: Tensor.from("FP32", x.shape, total) }, parameters: { first } };
  },

  call: (x) => infer("left", { X: x }, { outputs: ["X"], parameters: { depth: 1 }, timeoutMs: 5000 }),

  refuse() {
    throw new PluginError("invalid-argument", "this request is refused");
  },

  parameters: (x, request) => ({ outputs: { X: x }, parameters: request.parameters }),

  model(x) {
    const { name, version, inputs } = model();
    return { outputs: { X: x }, parameters: { name, version, input: inputs[0].name } };
  },

  log(x) {
    log.info("the contract says hello");
    return { X: x };
  },

  trap: (x) => ({ X: failOnPurpose(x) }),

  cancelled(x, request) {
    while (!request.cancelled);
    throw new PluginError("cancelled", "noticed that the client left");
  },
};

function failOnPurpose(x) {
  throw new RangeError("out of luck");
}

export const transform = plugin(Contract);
