"""`python -m tests.bench [MEASUREMENT …]`: measure, print the tables, keep the values as JSON in `results/`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

from tests.bench import fanout, first_frame, press, watch
from tests.bench.report import Result
from tests.bench.senders import Picture

BUSY = 0.5
"""A load average above this says that other programs take part in the figures."""


def main() -> None:
    """Run what was asked for, all of it without arguments."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "measurement", nargs="*", metavar="MEASUREMENT", help="fanout, first_frame, press, watch; without: all"
    )
    parser.add_argument("--viewers", type=int, default=fanout.Setting.viewers, help="of the fan-out")
    parser.add_argument("--rounds", type=int, default=fanout.Setting.rounds, help="A B for each")
    parser.add_argument("--kbits", type=int, default=Picture.kbits, help="the camera's bit rate")
    parser.add_argument("--repetitions", type=int, default=first_frame.Setting.repetitions, help="of the first picture")
    parser.add_argument("--presses", type=int, default=press.Setting.presses)
    parser.add_argument("--looks", type=int, default=watch.Setting.rounds, help="rounds of the watch")
    options = parser.parse_args()
    picture = Picture(kbits=options.kbits)
    measurements: dict[str, Callable[[], Result]] = {
        "watch": lambda: watch.measure(watch.Setting(options.looks)),
        "press": lambda: press.measure(press.Setting(options.presses, picture)),
        "first_frame": lambda: first_frame.measure(
            first_frame.Setting(options.repetitions, options.rounds, picture=picture)
        ),
        "fanout": lambda: fanout.measure(fanout.Setting(options.viewers, options.rounds, picture=picture)),
    }
    unknown = set(options.measurement) - set(measurements)
    if unknown:
        parser.error(f"no such measurement: {', '.join(sorted(unknown))}")
    for name, measure in measurements.items():
        if options.measurement and name not in options.measurement:
            continue
        print(f"measuring {name} …", flush=True)
        load = os.getloadavg()[0]
        result = measure()
        if load > BUSY:
            result.notes.append(f"other programs ran beside this (load {load:.1f} at its start): run it again alone")
        print(result.table(), flush=True)
        result.save()


if __name__ == "__main__":
    main()
