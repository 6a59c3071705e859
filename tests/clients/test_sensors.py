"""examples/sensors: readings judged by what is usual for their sensor, as a NumPy program judges them; and what was learned outlives
guests, sessions and swaps."""

import re
import shutil
import subprocess
import sys
import threading
import zlib

import numpy as np
import pytest
from clients import PROTOCOLS, Client
from server import ROOT, Server
from tritonclient.utils import InferenceServerException

EXAMPLE = ROOT / "examples/sensors/model_repository/sensors"
DEFAULT = {"weight": 0.05, "threshold": 4, "warm_up": 20, "deviation_min": 1e-6}
OUTPUTS = ("score", "anomaly", "mean", "deviation")


@pytest.fixture(scope="module")
def sensors(binary, tmp_path_factory):
    """The example, and beside it the same in guests that are replaced after every other batch."""
    models = tmp_path_factory.mktemp("sensors")
    for name, limits in (("sensors", ""), ("short_lived", "[limits]\ninvocations = 2\n")):
        shutil.copytree(EXAMPLE, models / name)
        (models / name / "plugin.toml").write_text(limits or (EXAMPLE / "plugin.toml").read_text())
    log = tmp_path_factory.mktemp("sensors_server") / "log"
    with Server(binary, log, [models], "--model-control-mode=explicit", "--load-model=*") as running:
        running.models = models
        yield running


@pytest.fixture(params=PROTOCOLS)
def client(request, sensors):
    connected = Client(request.param, sensors)
    yield connected
    connected.close()


@pytest.fixture
def sensor(request) -> int:
    """A number that no other test has."""
    return zlib.crc32(request.node.name.encode()) % 10**9 + 1


class Usual:
    """The plugin's arithmetic, in other words."""

    def __init__(self, **rules):
        self.rules = DEFAULT | rules
        self.count = self.anomalies = 0
        self.mean = self.variance = 0.0

    def take(self, reading: float):
        score = 0.0
        if np.isfinite(reading):
            limit = max(np.sqrt(self.variance), self.rules["deviation_min"])
            if self.count and self.count >= self.rules["warm_up"]:
                score = (reading - self.mean) / limit
                reading = self.mean + limit * np.clip(score, -self.rules["threshold"], self.rules["threshold"])
            distance = reading - self.mean if self.count else 0.0
            self.mean = self.mean + self.rules["weight"] * distance if self.count else reading
            self.variance = (1 - self.rules["weight"]) * (self.variance + self.rules["weight"] * distance**2)
            self.count += 1
        is_anomaly = abs(score) > self.rules["threshold"]
        self.anomalies += is_anomaly
        return score, is_anomaly, self.mean, np.sqrt(self.variance)

    def check(self, result, readings):
        wanted = [self.take(float(reading)) for reading in readings]
        for place, name in enumerate(OUTPUTS):
            found = result.as_numpy(name)
            assert found.shape == (1, len(readings))
            np.testing.assert_allclose(found[0], [row[place] for row in wanted], rtol=1e-4, atol=1e-4, err_msg=name)


def readings(seed: int, count: int = 120) -> np.ndarray:
    """A signal with noise, two spikes, a gap and another level at the end."""
    random = np.random.default_rng(seed)
    signal = 20 + np.sin(np.arange(count) / 9) + random.normal(0, 0.3, count)
    signal[[40, 70]] += [9, -9]
    signal[55] = np.nan
    signal[100:] += 15
    return signal.astype(np.float32)


def send(client: Client, sensor, part, model: str = "sensors", **options):
    return client.infer(model, client.input("value", part[None], "FP32"), sequence_id=sensor, **options)


def session(client: Client, sensor, signal, usual: Usual, model: str = "sensors", **parameters):
    """One session in bursts of 1 to 7 readings, each checked; gives the last answer."""
    starts = [0]
    while starts[-1] < len(signal):
        starts.append(starts[-1] + 1 + starts[-1] % 7)
    for start, end in zip(starts, starts[1:]):
        part = signal[start:end]
        options = {"sequence_start": start == 0, "sequence_end": end >= len(signal)}
        if start == 0 and parameters:
            options["parameters"] = parameters
        result = send(client, sensor, part, model, **options)
        usual.check(result, part)
    return result


def said(result) -> dict:
    answer = result.get_response()
    if isinstance(answer, dict):
        return answer["parameters"]
    return {name: getattr(value, value.WhichOneof("parameter_choice")) for name, value in answer.parameters.items()}


@pytest.mark.parametrize("model", ["sensors", "short_lived"])
def test_readings_are_judged_as_numpy_judges_them(client, sensor, model):
    usual, signal = Usual(), readings(3)
    last = session(client, sensor, signal, usual, model)
    assert usual.anomalies >= 4, "both spikes and the new level"
    assert (said(last)["readings"], said(last)["anomalies"]) == (119, usual.anomalies)


def test_sensors_do_not_meet(sensors):
    failures = []

    def drive(number: int):
        client = Client(PROTOCOLS[number % 2], sensors)
        try:
            session(client, 1_000 + number, readings(number) * (number + 1), Usual())
        except BaseException as error:  # noqa: BLE001 (told in the test's own thread)
            failures.append(error)
        finally:
            client.close()

    threads = [threading.Thread(target=drive, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]


def test_the_next_session_goes_on_unless_it_begins_afresh(client, sensor):
    usual = Usual()
    session(client, sensor, readings(1), usual)
    session(client, sensor, readings(2), usual)
    assert usual.count > 200
    session(client, sensor, readings(1), Usual(), fresh=True)


def test_what_was_learned_outlives_a_swap(client, sensor, sensors):
    """A session before the swap, one across it, one after it, whose generation has another threshold."""
    before, across, signal = Usual(), Usual(), readings(7)
    session(client, sensor, signal[:100], before)
    across_sensor = sensor + 10**9
    across.check(send(client, across_sensor, signal[:60], sequence_start=True), signal[:60])
    config, text = sensors.models / "sensors/config.pbtxt", (EXAMPLE / "config.pbtxt").read_text()
    config.write_text(text.replace('"threshold" value: { string_value: "4" }', '"threshold" value: { string_value: "1.5" }'))
    client.raw.load_model("sensors")
    across.check(send(client, across_sensor, signal[60:], sequence_end=True), signal[60:])
    after = Usual(threshold=1.5)
    after.count, after.mean, after.variance = before.count, before.mean, before.variance
    session(client, sensor, signal, after)
    assert after.anomalies > anomalies_of(signal), "the new threshold is a lower one"
    config.write_text(text)
    client.raw.load_model("sensors")


def anomalies_of(signal) -> int:
    usual = Usual()
    for reading in signal:
        usual.take(float(reading))
    return usual.anomalies


def test_a_sensor_may_have_a_name(client):
    usual = Usual()
    session(client, f"hall 3 / {client.protocol}", readings(5), usual)
    assert usual.count == 119


def test_readings_of_no_sensor_are_refused(client):
    with pytest.raises(InferenceServerException) as refused:
        client.infer("sensors", client.input("value", np.ones((1, 1), np.float32), "FP32"))
    assert "sensors" in refused.value.message() and "correlation ID" in refused.value.message(), refused.value.message()


def test_the_example_script_prints_what_is_unusual(sensors):
    script = [sys.executable, EXAMPLE.parents[1] / "watch.py", f"--url={sensors.http_url}", "--fresh", EXAMPLE.parents[1] / "readings.csv"]
    ended = subprocess.run(script, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert [line.split()[:3] for line in ended.stdout.splitlines()] == [["08:47", "sensor", "1"], ["09:03", "sensor", "2"]]


def test_readings_and_anomalies_are_counted(client, sensor, sensors):
    def figure(name: str) -> float:
        return float(re.search(rf'^{name}{{model="sensors"}} (\S+)$', sensors.metrics(), re.MULTILINE).group(1))

    names = ("sensor_readings_total", "sensor_anomalies_total")
    before, usual = [figure(name) for name in names], Usual()
    session(client, sensor, readings(8), usual)
    assert [figure(name) for name in names] == [before[0] + 120, before[1] + usual.anomalies]
