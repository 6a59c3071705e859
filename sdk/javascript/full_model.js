// The plugin with the whole life of a model: `export const { model, completion, readiness, draining } = fullModel(Echo)`, where `Echo`
// is a class as for `batches` that may have three things more.
//
//     class Echo {
//       static completeConfig(draft) {
//         draft.input("X", "FP32", [-1]);
//         draft.output("Y", "FP32", [-1]);
//         draft.maxBatchSize = 8;
//       }
//
//       answer(request) {
//         return { Y: request.inputs.get("X") };
//       }
//     }

import { PluginError } from "./errors.js";
import { batchesOf } from "./export.js";
import { errorToHost } from "./response.js";
import { dtype, nameOf } from "./tensor.js";

/// A configuration, as far as it is known: `undefined` where nothing is said. `maxBatchSize` is 0 where nothing is said of it, or where
/// tensors have no batch dimension; `dynamicBatching` says whether the server puts requests together to batches, and nothing when
/// it is false; `decoupled` whether a request may get any number of responses.
export class ConfigDraft {
  constructor(written) {
    this.maxBatchSize = written.maxBatchSize;
    this.inputs = written.inputs.map(tensorFromHost);
    this.outputs = written.outputs.map(tensorFromHost);
    this.dynamicBatching = written.dynamicBatching;
    this.decoupled = written.decoupled ?? undefined;
  }

  /// Says of an input what it is. -1 in `dims` stands for any extent, and the batch dimension is not among them.
  input(name, dataType, dims, optional = false) {
    said(this.inputs, { name, dataType, dims: [...dims], optional });
  }

  /// Says of an output what it is.
  output(name, dataType, dims) {
    said(this.outputs, { name, dataType, dims: [...dims], optional: false });
  }
}

/// Makes what a full model exports of a class. Besides what `batches` says, it may have
///
/// * `static completeConfig(draft)`: says what the plugin knows of its configuration, so that `config.pbtxt` need not say it. What is
///   written counts: a contradiction fails the load, and so does what is thrown. No other model and no server can be asked.
/// * `isReady()`: `false`, or something thrown, says that the model is not ready. Asked between two batches, when somebody wants to know;
///   must be quick (`readiness_ms`).
/// * `drain()`: no further request is routed here, and what is kept back is answered now (`drain_ms`). `finalise()` follows when all
///   requests have ended.
export function fullModel(make) {
  const { model, instance } = batchesOf(make);
  return {
    model,
    completion: {
      complete(written) {
        return thrownToHost(() => {
          const draft = new ConfigDraft(written);
          make.completeConfig?.(draft);
          return draftToHost(draft);
        });
      },
    },
    readiness: {
      check() {
        thrownToHost(() => {
          if (instance()?.isReady?.() === false) {
            throw new PluginError("unavailable", "isReady() is false");
          }
        });
      },
    },
    draining: {
      drain() {
        instance()?.drain?.();
      },
    },
  };
}

function thrownToHost(action) {
  try {
    return action();
  } catch (thrown) {
    throw errorToHost(thrown);
  }
}

function said(tensors, draft) {
  const index = tensors.findIndex((tensor) => tensor.name === draft.name);
  tensors.splice(index < 0 ? tensors.length : index, 1, draft);
}

function tensorFromHost({ name, dtype, dims, optional }) {
  const dataType = dtype == null ? undefined : nameOf(dtype);
  return { name, dataType, dims: dims == null ? undefined : Array.from(dims, Number), optional };
}

function tensorToHost({ name, dataType, dims, optional = false }) {
  return { name, dtype: dataType === undefined ? undefined : dtype(dataType), dims, optional };
}

function draftToHost({ maxBatchSize, inputs, outputs, dynamicBatching, decoupled }) {
  return {
    maxBatchSize,
    inputs: inputs.map(tensorToHost),
    outputs: outputs.map(tensorToHost),
    dynamicBatching,
    decoupled,
  };
}
