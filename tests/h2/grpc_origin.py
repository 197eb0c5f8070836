"""A gRPC server behind the gateway: each kind of call, without TLS."""

import argparse
from concurrent import futures

import grpc


def _unary(request, context):
    for key, value in context.invocation_metadata():
        if key == "x-echo":
            context.set_trailing_metadata((("x-echo", value),))
    if request == b"fail":
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "as asked: 50% of it")
    return request


def _down(request, _context):
    for number in range(int(request)):
        yield b"%d" % number


def _up(requests, _context):
    return b"%d" % sum(len(request) for request in requests)


def _both(requests, _context):
    yield from requests


HANDLERS = {
    "Unary": grpc.unary_unary_rpc_method_handler(_unary),
    "Down": grpc.unary_stream_rpc_method_handler(_down),
    "Up": grpc.stream_unary_rpc_method_handler(_up),
    "Both": grpc.stream_stream_rpc_method_handler(_both),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", required=True, help="ADDRESS:PORT")
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("lab.Echo", HANDLERS),))
    server.add_insecure_port(parser.parse_args().listen)
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
