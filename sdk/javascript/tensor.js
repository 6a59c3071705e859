// Tensors: the host's typed, shaped bytes, held by handle.
//
// Reading and writing copy once, in pieces. Elements come as typed arrays of their own, aligned whatever the host's bytes
// are. `share`, `reshape`, `slice` and handing a tensor on copy nothing. `close` gives a handle back before the call ends.

import * as host from "nereid:plugin/tensors";

import { asking } from "./errors.js";
import { decode, encode } from "./text.js";

/// A call costs some microseconds, a copy of this size some tens.
const PIECE_BYTES = 1 << 20;

const ARRAYS = {
  BOOL: Uint8Array, UINT8: Uint8Array, UINT16: Uint16Array, UINT32: Uint32Array, UINT64: BigUint64Array,
  INT8: Int8Array, INT16: Int16Array, INT32: Int32Array, INT64: BigInt64Array, FP16: Uint16Array, BF16: Uint16Array,
  FP32: Float32Array, FP64: Float64Array,
};

export class Tensor {
  #handle;

  constructor(handle) {
    this.#handle = handle;
  }

  /// A tensor of zeroes, to be filled with `write`. Not for BYTES.
  static zeros(dataType, shape) {
    return new Tensor(asking(() => host.Tensor.create(dtype(dataType), [...shape])));
  }

  /// A tensor of numbers from a typed array of the type, or from anything that one can be made of.
  static from(dataType, shape, values) {
    const array = ARRAYS[dataTypeName(dataType)];
    if (array === undefined) {
      throw new TypeError("BYTES elements have no fixed size: use Tensor.fromBlobs");
    }
    const elements = values instanceof array ? values : array.from(values);
    return Tensor.fromBytes(dataType, shape, elements);
  }

  /// A tensor over a copy of bytes (any typed array): little endian, dense, row-major.
  static fromBytes(dataType, shape, data) {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return new Tensor(asking(() => host.Tensor.fromBytes(dtype(dataType), [...shape], bytes)));
  }

  /// A BYTES tensor of texts, encoded images and the like: `Tensor.fromBlobs([2], ["cat", bytes])`.
  static fromBlobs(shape, items) {
    const blobs = Array.from(items, (item) => (typeof item === "string" ? encode(item) : item));
    return new Tensor(asking(() => host.Tensor.fromBlobs([...shape], blobs)));
  }

  /// As in `config.pbtxt`, without TYPE_: `FP32`, `INT64`, `BOOL`, `BYTES`, …
  get dataType() {
    return nameOf(this.#handle.dtype());
  }

  /// The extent in each dimension. Where the model batches, the first dimension is the batch.
  get shape() {
    return Array.from(this.#handle.shape(), Number);
  }

  /// The number of elements.
  get size() {
    return Number(this.#handle.elementCount());
  }

  /// The length in bytes; for BYTES that of the wire encoding.
  get byteSize() {
    return Number(this.#handle.byteSize());
  }

  /// All bytes of the buffer; for BYTES the wire encoding.
  bytes() {
    const size = this.byteSize;
    const all = new Uint8Array(size);
    for (let offset = 0; offset < size; offset += PIECE_BYTES) {
      const length = Math.min(PIECE_BYTES, size - offset);
      all.set(asking(() => this.#handle.read(offset, length)), offset);
    }
    return all;
  }

  /// All elements as a typed array; of FP16 and BF16, which JavaScript does not know, the 16 bits.
  elements() {
    const array = ARRAYS[this.dataType];
    if (array === undefined) {
      throw new TypeError("BYTES elements have no fixed size: use blobs or texts");
    }
    return new array(this.bytes().buffer);
  }

  /// All elements of a BYTES tensor as `Uint8Array`s.
  blobs() {
    return asking(() => this.#handle.readBlobs(0, this.size));
  }

  /// All elements of a BYTES tensor as strings.
  texts() {
    return this.blobs().map(decode);
  }

  /// Overwrites elements from element `first` on. Only this handle sees the change. Not for BYTES.
  write(first, values) {
    const array = ARRAYS[this.dataType];
    const elements = values instanceof array ? values : array.from(values);
    const bytes = new Uint8Array(elements.buffer, elements.byteOffset, elements.byteLength);
    const start = first * array.BYTES_PER_ELEMENT;
    for (let offset = 0; offset < bytes.length; offset += PIECE_BYTES) {
      asking(() => this.#handle.write(start + offset, bytes.slice(offset, offset + PIECE_BYTES)));
    }
  }

  /// Another handle on the same tensor. Costs no copy.
  share() {
    return new Tensor(this.#handle.share());
  }

  /// The same buffer under another shape of as many elements. Costs no copy.
  reshape(shape) {
    return new Tensor(asking(() => this.#handle.reshape([...shape])));
  }

  /// The elements from number `first` on, as many as `shape` holds. Costs no copy.
  slice(first, shape) {
    return new Tensor(asking(() => this.#handle.slice(first, [...shape])));
  }

  /// Gives the handle back now instead of at the end of the call.
  close() {
    this.#handle[Symbol.dispose]();
  }

  /// A handle for the host to keep; this one stays usable.
  sharedHandle() {
    return this.#handle.share();
  }

  /// The handle itself, for the SDK alone.
  static handleOf(tensor) {
    if (!(tensor instanceof Tensor)) {
      throw new TypeError(`expected a Tensor, found ${tensor === null ? "null" : typeof tensor}`);
    }
    return tensor.#handle;
  }
}

export const handleOf = Tensor.handleOf;

/// `[["X", tensor], …]` of the host's list.
export function tensorsFromHost(named) {
  return named.map(({ name, data }) => [name, new Tensor(data)]);
}

export function tensorsToHost(tensors) {
  const entries = tensors instanceof Map ? [...tensors] : Object.entries(tensors);
  return entries.map(([name, tensor]) => {
    if (!(tensor instanceof Tensor)) {
      throw new TypeError(`tensor '${name}' is no Tensor`);
    }
    return { name, data: tensor.sharedHandle() };
  });
}

/// `FP32` of the host's `fp32`.
export function nameOf(hosts) {
  return hosts === "boolean" ? "BOOL" : hosts.toUpperCase();
}

function dataTypeName(dataType) {
  return dataType.replace(/^TYPE_/, "").replace("STRING", "BYTES");
}

/// `fp32` of `FP32`, `TYPE_FP32`.
export function dtype(dataType) {
  const name = dataTypeName(dataType);
  if (name !== "BYTES" && !(name in ARRAYS)) {
    throw new TypeError(`no data type is called '${dataType}', expected one of ${Object.keys(ARRAYS).join(", ")}, BYTES`);
  }
  return name === "BOOL" ? "boolean" : name.toLowerCase();
}
