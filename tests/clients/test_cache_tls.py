"""The response cache in a real Redis that speaks nothing but TLS and lets only clients in that have a certificate."""

import pytest
from certificates import Authority
from clients import Client
from redis_server import Redis, Tls
from repository import write_model
from test_cache import CACHED, check_counts, counts, numbers, plain, wait_for


@pytest.fixture(scope="module")
def trust(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trust")
    authority = Authority(folder, "authority")
    return Tls(authority, authority.sign("redis"), authority.sign("client"))


@pytest.fixture
def redis(trust):
    running = Redis(tls=trust)
    yield running
    running.kill()


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    write_model(folder, "cached", plain(CACHED))
    return folder


def settings(trust, **changed: str) -> list[str]:
    """The flags of a client that is let in, but for what is changed; None leaves a setting out."""
    pair = {"cert": trust.client.certificate, "key": trust.client.key}
    given = {"tls_enabled": "true", "cacert": trust.authority.root, **pair, **changed}
    return [f"--cache-config=redis,{name}={value}" for name, value in given.items() if value is not None]


def start(start_server, folder, redis, flags) -> tuple:
    server = start_server(folder, *redis.flags, *flags)
    return server, Client("http", server)


@pytest.mark.parametrize("name", [{}, {"sni": "localhost"}])
def test_answers_are_kept_and_found_over_tls(start_server, folder, redis, trust, name):
    _, first = start(start_server, folder, redis, settings(trust, **name))
    for _ in range(2):
        assert first.identity("cached", numbers(1, 2)).tolist() == [1, 2]
    check_counts(first, "cached", cache_hit=1, cache_miss=1)
    redis.wait_for_entries(1)
    _, second = start(start_server, folder, redis, settings(trust, **name))
    assert second.identity("cached", numbers(1, 2)).tolist() == [1, 2]
    check_counts(second, "cached", cache_hit=1, cache_miss=0)


def test_a_connection_over_tls_comes_back(start_server, folder, redis, trust):
    server, client = start(start_server, folder, redis, settings(trust))
    client.identity("cached", numbers(3))
    redis.kill()
    for _ in range(3):
        assert client.identity("cached", numbers(3)).tolist() == [3]
    check_counts(client, "cached", fail=0, cache_hit=0)
    redis.start()

    def is_hit():
        client.identity("cached", numbers(3))
        return True if counts(client, "cached")["cache_hit"] else None

    wait_for(is_hit)
    assert "answers again" in server.log_text()


@pytest.mark.parametrize(
    "changed,because",
    [
        ({"cacert": "another"}, "invalid peer certificate: UnknownIssuer"),
        ({"sni": "elsewhere.example"}, "certificate not valid for name"),
        # The server's word for it is lost when it closes the connection first.
        ({"cert": None, "key": None}, "does not answer"),
        ({"tls_enabled": "false"}, "does not answer"),
    ],
    ids=["unknown authority", "another name", "no certificate", "no TLS"],
)
def test_who_is_not_trusted_gets_no_answer_and_the_log_says_why(start_server, folder, redis, trust, tmp_path, changed, because):
    if "cacert" in changed:
        changed = {"cacert": Authority(tmp_path, "stranger").root}
    server, client = start(start_server, folder, redis, settings(trust, **changed))
    for _ in range(2):
        assert client.identity("cached", numbers(4)).tolist() == [4]
    check_counts(client, "cached", success=2, fail=0, cache_hit=0, cache_miss=2)
    assert redis.entries() == 0
    (complaint,) = [line for line in server.log_text().splitlines() if "does not answer" in line]
    assert f"Redis at 127.0.0.1:{redis.port} does not answer" in complaint and because in complaint, complaint
