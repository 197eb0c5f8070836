"""Calls of every kind through the gateway to `grpc_origin.py`, and calls that the gateway refuses.

The routes: `/lab.Echo/{method}` open, `/lab.Guarded/{method}` with a key, `/lab.Down/{method}` to a
supplier that is not there. Prints how many passed; exits with 1 if one fails.
"""

import argparse
import queue
import sys

import grpc

CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


@check
def a_unary_call_returns_its_answer_and_trailers(channel):
    call = channel.unary_unary("/lab.Echo/Unary")
    answer, told = call.with_call(b"hello", metadata=[("x-echo", "back")], timeout=20)
    assert answer == b"hello", answer
    assert ("x-echo", "back") in told.trailing_metadata(), told.trailing_metadata()


@check
def a_large_message_passes_whole(channel):
    message = b"x" * 900_000
    assert channel.unary_unary("/lab.Echo/Unary")(message, timeout=20) == message


@check
def an_empty_message_passes(channel):
    assert channel.unary_unary("/lab.Echo/Unary")(b"", timeout=20) == b""


@check
def the_servers_own_error_passes(channel):
    fault = _fault(channel, "/lab.Echo/Unary", b"fail")
    assert fault.code() == grpc.StatusCode.FAILED_PRECONDITION, fault
    assert fault.details() == "as asked: 50% of it", fault


@check
def a_server_streams(channel):
    answers = list(channel.unary_stream("/lab.Echo/Down")(b"500", timeout=20))
    assert answers == [b"%d" % number for number in range(500)], len(answers)


@check
def a_client_streams(channel):
    answer = channel.stream_unary("/lab.Echo/Up")((b"x" * 1000 for _ in range(300)), timeout=20)
    assert answer == b"300000", answer


@check
def both_stream_and_neither_waits_for_the_end(channel):
    dialogue = _Dialogue()
    answers = channel.stream_stream("/lab.Echo/Both")(iter(dialogue), timeout=20)
    for number in range(50):
        dialogue.say(b"%d" % number)
        assert next(answers) == b"%d" % number
    dialogue.end()
    assert list(answers) == []


@check
def a_cancelled_call_leaves_the_connection_to_others(channel):
    for _ in range(20):
        answers = channel.unary_stream("/lab.Echo/Down")(b"100000", timeout=20)
        next(answers)
        answers.cancel()
    assert channel.unary_unary("/lab.Echo/Unary")(b"on", timeout=20) == b"on"


@check
def refusals_are_statuses(channel):
    for path, code in (
        ("/lab.Guarded/Unary", grpc.StatusCode.UNAUTHENTICATED),
        ("/lab.Nowhere/Unary", grpc.StatusCode.UNIMPLEMENTED),
        ("/lab.Down/Unary", grpc.StatusCode.UNAVAILABLE),
    ):
        fault = _fault(channel, path, b"x")
        assert fault.code() == code, (path, fault)
        assert "{" not in fault.details(), fault


@check
def a_message_over_the_cap_is_a_status(channel):
    fault = _fault(channel, "/lab.Echo/Unary", b"x" * 2_000_000)
    assert fault.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, fault


class _Dialogue:
    """Requests that are said one at a time."""

    def __init__(self):
        self._words = queue.Queue()

    def say(self, word):
        self._words.put(word)

    def end(self):
        self._words.put(None)

    def __iter__(self):
        return iter(self._words.get, None)


def _fault(channel, path, message):
    try:
        channel.unary_unary(path)(message, timeout=20)
    except grpc.RpcError as fault:
        return fault
    raise AssertionError(f"{path} was answered")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--name", default="localhost", help="of the certificate")
    parser.add_argument("--ca", required=True, help="PEM file to trust")
    options = parser.parse_args()
    with open(options.ca, "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    names = [("grpc.ssl_target_name_override", options.name), ("grpc.enable_retries", 0)]
    target = f"{options.address}:{options.port}"
    failures = 0
    with grpc.secure_channel(target, credentials, names) as channel:
        for function in CHECKS:
            try:
                function(channel)
            except (AssertionError, grpc.RpcError) as fault:
                failures += 1
                print(f"FAILED {function.__name__}: {fault!r}", flush=True)
    print(f"{len(CHECKS) - failures} passed, {failures} failed")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
