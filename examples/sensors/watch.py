"""Sends the readings of a CSV file to a running server, and prints those that are unusual for their sensor.

    .nereid/venv/bin/python examples/sensors/watch.py --url 127.0.0.1:8000 examples/sensors/readings.csv

The file has columns `sensor` (a number), `time` and `value` (empty where a reading is missing), in the order of time. Each sensor is a
sequence: its first request starts it, its last one ends it, and `--burst` readings go with one request. Needs
tritonclient[http] and numpy, which `cargo xtask setup python` installs into .nereid/venv.
"""

import argparse
import csv
import pathlib

import numpy as np
import tritonclient.http


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="127.0.0.1:8000", metavar="HOST:PORT", help="the server's HTTP service")
    parser.add_argument("--burst", type=int, default=10, metavar="COUNT", help="readings per request (10)")
    parser.add_argument("--fresh", action="store_true", help="forget what is known of these sensors")
    parser.add_argument("file", type=pathlib.Path, metavar="FILE")
    arguments = parser.parse_args()
    rows = {}
    with arguments.file.open() as file:
        for row in csv.DictReader(file):
            rows.setdefault(int(row["sensor"]), []).append((row["time"], float(row["value"] or "nan")))
    client = tritonclient.http.InferenceServerClient(arguments.url)
    longest = max(map(len, rows.values()))
    for start in range(0, longest, arguments.burst):
        for sensor, readings in rows.items():
            if burst := readings[start : start + arguments.burst]:
                ends = start + arguments.burst >= len(readings)
                watch(client, sensor, burst, start == 0, ends, arguments.fresh)
    client.close()


def watch(client, sensor: int, burst: list, starts: bool, ends: bool, fresh: bool):
    """One request, and a line for each reading that is unusual."""
    values = np.array([[value for _, value in burst]], np.float32)
    given = tritonclient.http.InferInput("value", values.shape, "FP32")
    given.set_data_from_numpy(values)
    options = {"sequence_id": sensor, "sequence_start": starts, "sequence_end": ends}
    result = client.infer("sensors", [given], parameters={"fresh": True} if starts and fresh else None, **options)
    scores, anomalies = result.as_numpy("score")[0], result.as_numpy("anomaly")[0]
    for (time, value), score, is_anomaly in zip(burst, scores, anomalies):
        if is_anomaly:
            print(f"{time}  sensor {sensor}  {value:8.2f}  {score:+7.1f} deviations")


if __name__ == "__main__":
    main()
