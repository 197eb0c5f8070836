"""Runs every case on a connection of its own; prints those that fail, and counts.

The server has to answer GET, HEAD and POST of `/` with 200 and, but for HEAD, a body of five bytes
or more. Exits with 1 if a case fails.
"""

import argparse
import sys

import compression  # noqa: F401
import frames  # noqa: F401
import messages  # noqa: F401
import streams  # noqa: F401
from registry import CASES
from wire import Failed, Place, Wire


def main():
    options = _options()
    place = Place(
        options.address,
        options.port,
        options.name,
        options.authority or f"{options.name}:{options.port}",
        options.ca,
        options.patience,
    )
    chosen = [one for one in CASES if options.only is None or options.only in f"{one[0]} {one[1]}"]
    failures = 0
    for section, name, greet, function in chosen:
        fault = _run(place, greet, function)
        if fault is not None:
            failures += 1
            print(f"FAILED {section} {name}: {fault}", flush=True)
    print(f"{len(chosen) - failures} passed, {failures} failed")
    sys.exit(failures > 0)


def _run(place, greet, function):
    """What is wrong, if anything."""
    try:
        wire = Wire(place, greet)
    except (Failed, OSError) as fault:
        return f"no connection: {fault}"
    try:
        function(wire)
    except Failed as fault:
        return fault
    finally:
        wire.close()
    return None


def _options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--name", default="localhost", help="for SNI and the certificate")
    parser.add_argument("--authority", help="NAME:PORT unless given")
    parser.add_argument("--ca", help="PEM file to trust; without it the certificate is not checked")
    parser.add_argument("--patience", type=float, default=20, help="seconds to wait for a frame")
    parser.add_argument("--only", help="cases whose section and name contain this")
    return parser.parse_args()


if __name__ == "__main__":
    main()
