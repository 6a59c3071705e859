// The contract test's plugin of whole batches in JavaScript: does what the request's parameter `mode` says.
// `tests/guests/contract_model/README.md` has the list that all languages share.

import { DEFERRED, PluginError, Reschedule, Tensor, batches, setting, state } from "nereid";

class Contract {
  constructor() {
    if (setting("refuse") !== null) {
      throw new PluginError("invalid-argument", "the setting 'refuse' is there");
    }
    this.kept = [];
    this.noticed = "nothing yet";
  }

  execute(batch) {
    this.batched = batch.length;
    return batch.map((request) => {
      try {
        return this.answer(request);
      } catch (error) {
        return error;
      }
    });
  }

  answer(request) {
    const act = MODES[request.parameters.mode];
    if (act === undefined) {
      throw new PluginError("not-found", "there is no such mode");
    }
    return act.call(this, request.inputs.get("X"), request);
  }

  finalise() {
    state.add("finalised", 1);
  }
}

const MODES = {
  pass: (x) => ({ X: x }),

  batch(x, request) {
    return { outputs: { X: x }, parameters: { batch: this.batched, rows: request.rows } };
  },

  refuse() {
    throw new PluginError("invalid-argument", "this request is refused");
  },

  stream(x, request) {
    const sender = request.sender();
    for (let number = 0; number < request.parameters.count; number++) {
      sender.send(plus(x, number));
    }
    sender.finish();
    return DEFERRED;
  },

  respond(x, request) {
    request.sender().respond(plus(x, 7));
    return DEFERRED;
  },

  fail(x, request) {
    request.sender().fail(new PluginError("unavailable", "not today"));
    return DEFERRED;
  },

  keep(x, request) {
    this.kept.push([request.sender(), x.elements(), x.shape]);
    return DEFERRED;
  },

  flush(x) {
    for (const [sender, values, shape] of this.kept) {
      sender.respond({ X: Tensor.from("FP32", shape, values.map((value) => value + 100)) });
    }
    this.kept = [];
    return { X: x };
  },

  again: (x) => new Reschedule(plus(x, 1)),

  endless(x, request) {
    const sender = request.sender();
    try {
      for (;;) {
        sender.send({ X: x });
      }
    } catch (error) {
      this.noticed = `${error.code} ${sender.cancelled}`;
    }
    return DEFERRED;
  },

  noticed(x) {
    return { outputs: { X: x }, parameters: { said: this.noticed } };
  },

  finalised: (x) => ({ outputs: { X: x }, parameters: { said: String(state.add("finalised", 0)) } }),

  trap: (x) => ({ X: failOnPurpose(x) }),
};

function plus(x, number) {
  return { X: Tensor.from("FP32", x.shape, x.elements().map((value) => value + number)) };
}

function failOnPurpose(x) {
  throw new RangeError("out of luck");
}

export const model = batches(Contract);
