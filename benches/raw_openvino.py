#!/usr/bin/env python3
"""OpenVINO alone, in process: what a model can do without a server around it.

    raw_openvino.py MODEL SECONDS BATCH...

Executes the model, whose only input is [batch, n] floats, over and over on one thread, with the properties that the server
sets when nothing is said, and prints a line of JSON per batch size, as `raw_onnx` does. Needs the `openvino` package.
"""
import json
import statistics
import sys
import time

import numpy as np
import openvino

PROPERTIES = {"INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False, "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": 1}
WARMUP_RUNS = 5


def main():
    model, seconds, *batches = sys.argv[1:]
    request = openvino.Core().compile_model(model, "CPU", PROPERTIES).create_infer_request()
    width = request.model_inputs[0].partial_shape[1].get_length()
    for batch in map(int, batches):
        rows = (np.arange(batch * width, dtype=np.float32) % 17 / 17).reshape(batch, width)
        request.set_input_tensor(openvino.Tensor(rows, shared_memory=True))
        for _ in range(WARMUP_RUNS):
            request.infer()
        runs, spent, start = [], time.process_time(), time.perf_counter()
        while (begun := time.perf_counter()) - start < float(seconds):
            request.infer()
            runs.append(time.perf_counter() - begun)
        elapsed, spent = time.perf_counter() - start, time.process_time() - spent
        done = len(runs) * batch
        found = {"threads": 1, "batch": batch, "rows_per_second": done / elapsed}
        print(json.dumps(found | {"milliseconds": statistics.median(runs) * 1e3, "cpu_us_per_row": spent / done * 1e6}), flush=True)


main()
