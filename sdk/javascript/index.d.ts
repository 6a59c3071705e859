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

export interface Request {
  readonly id: string;
  readonly parameters: Parameters;
  readonly wantedOutputs: string[];
  readonly remainingMs: number;
  readonly cancelled: boolean;
  wants(name: string): boolean;
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

export interface CallOptions {
  outputs?: Iterable<string>;
  parameters?: Parameters;
  version?: number;
  timeoutMs?: number;
  id?: string;
  priority?: number;
}

export interface Pending extends Iterable<Response> {
  receive(): Response | null;
  readonly ready: boolean;
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
  inputs: TensorInfo[];
  outputs: TensorInfo[];
}

export function setting(key: string): string | null;
export function setting<T extends Scalar>(key: string, fallback: T): T;
export function settings(): Record<string, string>;
export function model(): ModelInfo;

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
