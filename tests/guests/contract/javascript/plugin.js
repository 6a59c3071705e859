// The contract test's plugin in JavaScript: does what the request's parameter `mode` says. `tests/guests/contract/README.md`
// has the list that all languages share.

import {
  PluginError, Tensor, control, files, http, infer, log, metrics, model, operations, plugin, secretText, setting, state, submit,
  tokenizers, trace, waitAny,
} from "nereid";

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

  responses(x) {
    const totals = Array.from(submit("many", { X: x }), (answer) => answer.output("X").elements().reduce((sum, value) => sum + value, 0));
    return { X: Tensor.from("FP32", [totals.length], totals) };
  },

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
    console.log("the contract prints in javascript", 1, { rows: [2n] });
    return { X: x };
  },

  request(x, request) {
    const { id, rows, priority, tenant, sequence, wantedOutputs, remainingMs } = request;
    const at = [sequence.id, sequence.start, sequence.end];
    return said(x, id, rows, priority, tenant, ...at, request.wants("X"), wantedOutputs.length, remainingMs > 1000);
  },

  operations: (x) => said(x, [...allOperations(x)].join("\n")),

  tokenizers: (x) => said(x, [...allOfTokenizers()].join("\n")),

  state(x) {
    const first = state.set("a", "one");
    const entry = state.get("a");
    const swapped = state.swap("a", "two", first);
    const late = state.swap("a", "three", first);
    const sums = [state.add("n", 2), state.add("n", -5)];
    const keys = state.keys("", 10);
    const now = state.get("a").text();
    const deleted = [state.remove("a"), state.remove("a")];
    const fresh = state.swap("b", "x", null, { lifetimeMs: 60000 });
    const found = [entry.text(), entry.version === first, swapped !== null, late !== null, now];
    return said(x, ...found, ...sums, keys.join(","), ...deleted, state.get("a") === null, fresh !== null);
  },

  metrics(x) {
    const counter = new metrics.Counter("contract_things_total", "Things", { kind: "x" });
    const gauge = new metrics.Gauge("contract_level", "Level");
    const sizes = new metrics.Histogram("contract_sizes", "Sizes", [1, 2]);
    counter.add(2);
    gauge.set(3);
    gauge.add(-1);
    sizes.observe(1.5);
    return said(x, counter.value, gauge.value, refused(() => counter.add(-1)));
  },

  files(x) {
    files.write("/scratch/a.txt", "hello");
    const whole = files.readText("/scratch/a.txt");
    const part = String.fromCharCode(...files.readRange("/scratch/a.txt", 1, 3));
    const listed = files.listFolder("/scratch").map(({ name, size, isFolder }) => `${name}:${size}:${isFolder}`);
    files.remove("/scratch/a.txt");
    const gone = refused(() => files.read("/scratch/a.txt"));
    return said(x, whole, part, ...listed, gone, refused(() => files.read("/elsewhere/a.txt")));
  },

  secrets: (x) => said(x, secretText("token"), refused(() => secretText("other"))),

  http(x) {
    const server = setting("server");
    const echo = { url: `${server}/echo`, options: { headers: { "x-word": "hi" }, body: "ping" } };
    const [echoed, missing] = http.requestAll([echo, { url: `${server}/missing` }]);
    const denied = refused(() => http.request("http://127.0.0.1:1/"));
    const { status, headers } = echoed;
    return said(x, status, headers.get("x-method"), headers.get("x-word"), echoed.text(), missing.status, denied);
  },

  control(x) {
    const entries = control.index().map(({ name, version, state }) => `${name}:${version}:${state}`);
    control.load("other");
    control.unload("other");
    return said(x, ...entries, refused(() => control.load("denied")));
  },

  spans(x, request) {
    const recorded = trace.within("outer", { number: 3, word: "x", sure: true }, (outer) => {
      outer.event("half", { rows: 2 });
      const inner = outer.child("inner");
      inner.set("share", 0.5);
      inner.end();
      return outer.recorded;
    });
    request.span("of-request").end();
    trace.span("open");
    return said(x, recorded);
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

/// The input, and words as the parameter `said`.
function said(x, ...words) {
  return { outputs: { X: x }, parameters: { said: words.join(" ") } };
}

/// The kind of error that it ends in.
function refused(action) {
  try {
    action();
  } catch (error) {
    return error.code;
  }
  return "allowed";
}

/// Each once; numbers as whole ones.
function* allOperations(x) {
  const a = x.reshape([2, 3]);
  const image = x.reshape([2, 3, 1]);
  yield shown("normalise", operations.normalise(a, [1], [0.5]));
  yield shown("affine", operations.affine(a, [10, 20, 30], 1));
  yield shown("round", operations.cast(operations.affine(a, 0.5), "INT32", { round: true }));
  yield shown("transpose", operations.transpose(a, [1, 0]));
  yield shown("concat", operations.concat([a, a]));
  yield shown("stack", operations.stack([a, a]));
  yield shown("split", operations.split(a, [1, 2], 1)[1]);
  yield shown("pad", operations.pad(a, [1, 0], [0, 1], 9));
  yield shown("softmax", operations.affine(operations.softmax(Tensor.zeros("FP32", [2])), 100));
  yield shown("argmax", operations.argmax(a));
  const { values, indices } = operations.topK(a, 2);
  yield shown("top-k", values);
  yield shown("top-k", indices);
  const boxes = Tensor.from("FP32", [3, 4], [0, 0, 10, 10, 0, 0, 10, 9, 20, 20, 30, 30]);
  const scores = Tensor.from("FP32", [3], [0.5, 0.875, 0.75]);
  yield shown("suppress", operations.suppress(boxes, scores, 0.5));
  yield shown("suppress", operations.suppress(boxes, scores, 0.5, { scoreMin: 0, keptMax: 1 }));
  yield shown("crop", operations.crop(image, { top: 0, left: 1, height: 2, width: 2 }));
  yield shown("resize", operations.resize(image, 1, 6, "nearest"));
  yield shown("first", operations.toChannelsFirst(image));
  yield shown("last", operations.toChannelsLast(operations.toChannelsFirst(image)));
  const texts = operations.fromTexts([2], ["cat", "dog"]);
  const encoded = operations.encodeBase64(texts);
  yield ["base64", ...operations.texts(encoded), ...operations.texts(operations.decodeBase64(encoded), 1, 1)].join(" ");
  yield shown("blob", operations.blobBytes(texts, 1));
  const png = operations.decodeBase64(operations.fromTexts([1], [PNG]));
  yield shown("decode", operations.decodeImage(png, 0, { channels: 3 }));
}

function* allOfTokenizers() {
  const texts = operations.fromTexts([2], ["cat dog", "dog bird"]);
  const tokenizer = new tokenizers.Tokenizer("/scratch/tokenizer.json");
  const known = tokenizer.tokenId("bird") !== undefined;
  yield ["size", tokenizer.vocabularySize, tokenizer.tokenId("dog"), known, tokenizer.token(1)].join(" ");
  const three = tokenizer.encode(texts, { length: 3 });
  yield shown("ids", three.ids);
  yield shown("mask", three.mask);
  yield shown("types", tokenizer.encode(texts, { pairs: texts, specialTokens: false }).typeIds);
  yield `decoded ${operations.texts(tokenizer.decode(tokenizer.encode(texts).ids)).join("|")}`;
  const definition = files.read("/scratch/tokenizer.json");
  const cutting = new tokenizers.Tokenizer(definition, { maxLength: 1, cutBeginning: true });
  yield shown("cut", cutting.encode(texts).ids);
  yield `refused ${refused(() => new tokenizers.Tokenizer("/scratch/other.json"))}`;
}

function shown(name, tensor) {
  return `${name} [${tensor.shape.join(",")}] ${[...operations.cast(tensor, "INT64").elements()].join(" ")}`;
}

/// One grey pixel of 200.
const PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGM4AQAAygDJmcpdfgAAAABJRU5ErkJggg==";

export const transform = plugin(Contract);
