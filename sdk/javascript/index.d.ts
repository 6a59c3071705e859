// The types of the SDK, for TypeScript and for editors.

export type DataType =
  | "BOOL" | "UINT8" | "UINT16" | "UINT32" | "UINT64" | "INT8" | "INT16" | "INT32" | "INT64"
  | "FP16" | "BF16" | "FP32" | "FP64" | "BYTES";
export type Elements =
  | Uint8Array | Uint16Array | Uint32Array | BigUint64Array | Int8Array | Int16Array | Int32Array | BigInt64Array
  | Float32Array | Float64Array;
export type Scalar = boolean | number | string;
export type Parameters = Record<string, Scalar>;
export type Tensors = Record<string, Tensor> | Map<string, Tensor>;
export type ErrorCode =
  | "invalid-argument" | "not-found" | "unavailable" | "unsupported" | "already-exists" | "cancelled"
  | "deadline-exceeded" | "resource-exhausted" | "permission" | "internal";

export class PluginError extends Error {
  constructor(code: ErrorCode, message: string);
  readonly code: ErrorCode;
}

export class Tensor {
  static zeros(dataType: DataType, shape: Iterable<number>): Tensor;
  static from(dataType: DataType, shape: Iterable<number>, values: Elements | Iterable<number | bigint>): Tensor;
  static fromBytes(dataType: DataType, shape: Iterable<number>, data: ArrayBufferView): Tensor;
  static fromBlobs(shape: Iterable<number>, items: Iterable<string | Uint8Array>): Tensor;
  readonly dataType: DataType;
  readonly shape: number[];
  readonly size: number;
  readonly byteSize: number;
  bytes(): Uint8Array;
  elements(): Elements;
  blobs(): Uint8Array[];
  texts(): string[];
  write(first: number, values: Elements | Iterable<number | bigint>): void;
  share(): Tensor;
  reshape(shape: Iterable<number>): Tensor;
  slice(first: number, shape: Iterable<number>): Tensor;
  close(): void;
}

export interface Sequence {
  id: number | string;
  start?: boolean;
  end?: boolean;
}

export interface Request {
  readonly id: string;
  readonly inputs: Inputs;
  readonly rows: number;
  readonly sequence: Required<Sequence> | null;
  readonly priority: number;
  readonly tenant: string | null;
  readonly parameters: Parameters;
  readonly wantedOutputs: string[];
  readonly remainingMs: number;
  readonly cancelled: boolean;
  wants(name: string): boolean;
  /** Begins a span of this request. */
  span(name: string, attributes?: Parameters): Span;
  /** Takes the sender, once; only in `batches`. */
  sender(): Sender;
}

/** A step of the plugin's own in the trace of a request. */
export interface Span {
  readonly recorded: boolean;
  child(name: string, attributes?: Parameters): Span;
  set(name: string, value: Scalar): void;
  event(name: string, attributes?: Parameters): void;
  end(): void;
}

export namespace trace {
  function span(name: string, attributes?: Parameters): Span;
  function within<T>(name: string, attributes: Parameters, action: (span: Span) => T): T;
}

/** May be kept for later batches, until the deadline of its request. */
export interface Sender {
  send(answer: Answer): void;
  respond(answer: Answer): void;
  fail(error: Error): void;
  finish(): void;
  readonly cancelled: boolean;
}

/** A `Map` whose `get` throws for what is not there. */
export interface Inputs extends Map<string, Tensor> {
  get(name: string): Tensor;
}

export interface Response {
  readonly outputs: Record<string, Tensor>;
  readonly parameters: Parameters;
  output(name: string): Tensor;
}

export type Answer = Record<string, Tensor> | { outputs: Tensors; parameters: Parameters };
export type Run = (request: Request, inputs: Inputs) => Answer;

/** The one-function plugin, to be exported as `transform`. */
export function plugin(make: Run | (new () => { run: Run })): object;

export const DEFERRED: unique symbol;

export class Reschedule {
  constructor(states: Tensors);
  readonly states: Tensors;
}

export type Outcome = Answer | Error | typeof DEFERRED | Reschedule;

export interface Batches {
  answer?(request: Request): Outcome;
  execute?(batch: Request[]): Iterable<Outcome>;
  finalise?(): void;
}

/** The plugin that sees whole batches, to be exported as `model`. */
export function batches(make: ((request: Request) => Outcome) | (new () => Batches)): object;

/** An input or an output, as far as it is known. */
export interface TensorDraft {
  name: string;
  dataType?: DataType;
  dims?: number[];
  optional?: boolean;
}

/** A configuration, as far as it is known. */
export interface ConfigDraft {
  maxBatchSize: number;
  inputs: TensorDraft[];
  outputs: TensorDraft[];
  dynamicBatching: boolean;
  decoupled?: boolean;
  input(name: string, dataType: DataType, dims: Iterable<number>, optional?: boolean): void;
  output(name: string, dataType: DataType, dims: Iterable<number>): void;
}

export interface FullModel extends Batches {
  isReady?(): boolean | void;
  drain?(): void;
}

/** The plugin with the whole life of a model, to be exported as `model`, `completion`, `readiness` and `draining`. */
export function fullModel(
  make: (new () => FullModel) & { completeConfig?(draft: ConfigDraft): void },
): { model: object; completion: object; readiness: object; draining: object };

export interface CallOptions {
  outputs?: Iterable<string>;
  parameters?: Parameters;
  version?: number;
  timeoutMs?: number;
  id?: string;
  priority?: number;
  sequence?: Sequence;
}

export interface Pending extends Iterable<Response> {
  receive(): Response | null;
  readonly ready: boolean;
  cancel(): void;
  close(): void;
}

export function infer(model: string, inputs: Tensors, options?: CallOptions): Response;
export function submit(model: string, inputs: Tensors, options?: CallOptions): Pending;
export function waitAny(calls: Pending[], timeoutMs?: number): number | null;
export function modelReady(model: string, version?: number): boolean;

export interface TensorInfo {
  name: string;
  dataType: DataType;
  dims: number[];
  optional: boolean;
}

export interface ModelInfo {
  name: string;
  version: number;
  maxBatchSize: number;
  decoupled: boolean;
  inputs: TensorInfo[];
  outputs: TensorInfo[];
}

export function setting(key: string): string | null;
export function setting<T extends Scalar>(key: string, fallback: T): T;
export function settings(): Record<string, string>;
export function model(): ModelInfo;
export function instanceName(): string;

export function secret(name: string): Uint8Array;
export function secretText(name: string): string;

export namespace state {
  interface Entry {
    value: Uint8Array;
    version: number;
    text(): string;
  }
  interface Options {
    lifetimeMs?: number;
  }
  function get(key: string): Entry | null;
  function set(key: string, value: Uint8Array | string, options?: Options): number;
  function swap(key: string, value: Uint8Array | string, expected: number | null, options?: Options): number | null;
  function add(key: string, amount: number): number;
  function remove(key: string): boolean;
  function keys(prefix?: string, limit?: number): string[];
}

export namespace metrics {
  type Labels = Record<string, string>;
  class Counter {
    constructor(name: string, description: string, labels?: Labels);
    add(amount?: number): void;
    readonly value: number;
  }
  class Gauge {
    constructor(name: string, description: string, labels?: Labels);
    set(value: number): void;
    add(amount: number): void;
    readonly value: number;
  }
  class Histogram {
    constructor(name: string, description: string, bounds: Iterable<number>, labels?: Labels);
    observe(value: number): void;
  }
}

export namespace files {
  interface Entry {
    name: string;
    size: number;
    isFolder: boolean;
  }
  function read(path: string): Uint8Array;
  function readText(path: string): string;
  function readRange(path: string, offset: number, length: number): Uint8Array;
  function write(path: string, data: Uint8Array | string): void;
  function remove(path: string): void;
  function listFolder(path: string): Entry[];
}

export namespace control {
  interface ModelEntry {
    name: string;
    version: number | null;
    state: "ready" | "unavailable" | "loading" | "unloading" | null;
    reason: string;
  }
  function index(): ModelEntry[];
  function load(model: string, config?: object | string | null): void;
  function unload(model: string, options?: { dependents?: boolean }): void;
}

export namespace operations {
  type Resampling =
    | "nearest" | "bilinear" | "antialiased-box" | "antialiased-bilinear" | "antialiased-bicubic" | "antialiased-lanczos";
  interface Window {
    top: number;
    left: number;
    height: number;
    width: number;
  }
  interface Suppression {
    classes?: Tensor | null;
    scoreMin?: number;
    keptMax?: number;
    form?: "corners" | "centre" | "top-left";
  }
  type Numbers = number | Iterable<number>;
  function decodeImage(
    files: Tensor, index?: number, options?: { channels?: 0 | 1 | 3 | 4; keepOrientation?: boolean; pixelsMax?: number },
  ): Tensor;
  function resize(image: Tensor, height: number, width: number, resampling?: Resampling): Tensor;
  function crop(image: Tensor, part: Window): Tensor;
  function normalise(tensor: Tensor, mean: Numbers, deviation: Numbers, options?: { scale?: number; axis?: number }): Tensor;
  function affine(tensor: Tensor, scale: Numbers, bias?: Numbers, options?: { axis?: number }): Tensor;
  function toChannelsFirst(tensor: Tensor): Tensor;
  function toChannelsLast(tensor: Tensor): Tensor;
  function transpose(tensor: Tensor, axes: Iterable<number>): Tensor;
  function cast(tensor: Tensor, dataType: DataType, options?: { refuseOverflow?: boolean; round?: boolean }): Tensor;
  function concat(tensors: Iterable<Tensor>, axis?: number): Tensor;
  function stack(tensors: Iterable<Tensor>, axis?: number): Tensor;
  function split(tensor: Tensor, extents: Iterable<number>, axis?: number): Tensor[];
  function pad(tensor: Tensor, before: Iterable<number>, after: Iterable<number>, value?: number): Tensor;
  function softmax(tensor: Tensor, axis?: number): Tensor;
  function argmax(tensor: Tensor, axis?: number): Tensor;
  function topK(tensor: Tensor, k: number, axis?: number): { values: Tensor; indices: Tensor };
  function suppress(boxes: Tensor, scores: Tensor, overlap: number, options?: Suppression): Tensor;
  function encodeBase64(tensor: Tensor, options?: { urlSafe?: boolean; unpadded?: boolean }): Tensor;
  function decodeBase64(tensor: Tensor, options?: { urlSafe?: boolean }): Tensor;
  function texts(tensor: Tensor, first?: number, count?: number): string[];
  function fromTexts(shape: Iterable<number>, items: Iterable<string>): Tensor;
  function blobBytes(tensor: Tensor, index?: number): Tensor;
}

export namespace log {
  type Level = "trace" | "debug" | "info" | "warn" | "error";
  function enabled(level: Level): boolean;
  function write(level: Level, message: unknown): void;
  function trace(message: unknown): void;
  function debug(message: unknown): void;
  function info(message: unknown): void;
  function warn(message: unknown): void;
  function error(message: unknown): void;
}

export namespace tokenizers {
  interface Encoded {
    /** Numbers of the tokens, INT64 `[texts, length]`. */
    ids: Tensor;
    /** 1 for a token, 0 for padding. */
    mask: Tensor;
    /** 0 for the first text, 1 for the second of a pair. */
    typeIds: Tensor;
  }
  class Tokenizer {
    constructor(file: string | Uint8Array, options?: { maxLength?: number; cutBeginning?: boolean });
    readonly vocabularySize: number;
    tokenId(token: string): number | undefined;
    token(id: number): string | undefined;
    encode(texts: Tensor, options?: { pairs?: Tensor; specialTokens?: boolean; length?: number }): Encoded;
    decode(ids: Tensor, options?: { skipSpecial?: boolean }): Tensor;
  }
}

export namespace http {
  interface Options {
    /** `GET` unless there is a body, `POST` then. */
    method?: string;
    headers?: Record<string, string>;
    body?: string | Uint8Array;
    /** A value that is sent as `application/json`. */
    json?: unknown;
    /** For the whole answer. */
    timeoutMs?: number;
  }
  interface Answer {
    readonly status: number;
    /** Whether the status is 200 to 299. */
    readonly ok: boolean;
    readonly headers: Map<string, string>;
    readonly body: Uint8Array;
    text(): string;
    json(): unknown;
  }
  function request(url: string, options?: Options): Answer;
  function requestAll(requests: { url: string; options?: Options }[]): (Answer | PluginError)[];
}
