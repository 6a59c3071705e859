//! `wasi:nn` as Rust types. Names, types and the order of cases are those of the specification's draft 0.2.0-rc-2024-10-28, which
//! guests are linked against exactly: a word that differs is another interface.
//!
//! Generated apart from those of `wit/`, because this text is not ours to change.

#![allow(unsafe_code, unreachable_pub, dead_code, clippy::all, reason = "generated")]

wasmtime::component::bindgen!({
    inline: "
        package wasi:nn@0.2.0-rc-2024-10-28;

        interface errors {
            enum error-code {
                invalid-argument,
                invalid-encoding,
                timeout,
                runtime-error,
                unsupported-operation,
                too-large,
                not-found,
                security,
                unknown
            }
            resource error {
                code: func() -> error-code;
                data: func() -> string;
            }
        }

        interface tensor {
            type tensor-dimensions = list<u32>;
            enum tensor-type { FP16, FP32, FP64, BF16, U8, I32, I64 }
            type tensor-data = list<u8>;
            resource tensor {
                constructor(dimensions: tensor-dimensions, ty: tensor-type, data: tensor-data);
                dimensions: func() -> tensor-dimensions;
                ty: func() -> tensor-type;
                data: func() -> tensor-data;
            }
        }

        interface inference {
            use errors.{error};
            use tensor.{tensor};
            type named-tensor = tuple<string, tensor>;
            resource graph-execution-context {
                compute: func(inputs: list<named-tensor>) -> result<list<named-tensor>, error>;
            }
        }

        interface graph {
            use errors.{error};
            use tensor.{tensor};
            use inference.{graph-execution-context};
            resource graph {
                init-execution-context: func() -> result<graph-execution-context, error>;
            }
            enum graph-encoding { openvino, onnx, tensorflow, pytorch, tensorflowlite, ggml, autodetect }
            enum execution-target { cpu, gpu, tpu }
            type graph-builder = list<u8>;
            load: func(builder: list<graph-builder>, encoding: graph-encoding, target: execution-target)
                -> result<graph, error>;
            load-by-name: func(name: string) -> result<graph, error>;
        }

        world ml {
            import tensor;
            import graph;
            import inference;
            import errors;
        }
    ",
    world: "ml",
    imports: {
        "wasi:nn/inference.[method]graph-execution-context.compute": async | trappable,
        default: trappable,
    },
    with: {
        "wasi:nn/errors.error": crate::imports::nn::errors::NnError,
        "wasi:nn/tensor.tensor": crate::tensor_handle::TensorHandle,
        "wasi:nn/inference.graph-execution-context": crate::imports::nn::ExecutionContext,
        "wasi:nn/graph.graph": crate::imports::nn::Graph,
    },
});
