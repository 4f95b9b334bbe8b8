"""Make a cloud of two lab hosts, stir it, and write the report: `python -m lab.chaos`."""

import argparse
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from lab.chaos.backing import DATABASES, QUEUES, backing
from lab.chaos.clouds import controllers_of, set_up, take_down
from lab.chaos.run import Plan, run
from lab.cloud import Cloud
from lab.errors import LabError


def main(argv: Sequence[str] | None = None) -> int:
    """Run chaos; return 0 when nothing was lost and all agree."""
    parser = argparse.ArgumentParser(prog="python -m lab.chaos", description=__doc__)
    parser.add_argument("--dir", type=Path, default=Path("var/chaos"), help="where all of it lies")
    parser.add_argument("--operations", type=int, default=Plan().operations)
    parser.add_argument("--kills", type=int, default=Plan().kills)
    parser.add_argument("--actors", type=int, default=Plan().actors, help="who ask side by side")
    parser.add_argument(
        "--minutes", type=float, default=Plan().limit_s / 60, help="after these nothing is asked"
    )
    parser.add_argument("--seed", type=int, default=None, help="of the dice (made up and printed)")
    parser.add_argument("--database", choices=DATABASES, default=DATABASES[0])
    parser.add_argument("--queue", choices=QUEUES, default=QUEUES[0])
    parser.add_argument(
        "--controllers", type=int, default=1,
        help="how many; several need --database postgresql --queue rabbitmq",
    )  # fmt: skip
    parser.add_argument(
        "--keep",
        action="store_true",
        help="leave the cloud up, to look at it (its database server and broker end all the same)",
    )
    arguments = parser.parse_args(argv)
    seed = arguments.seed if arguments.seed is not None else random.randrange(1 << 20)  # noqa: S311
    print(f"chaos: seed {seed}", flush=True)
    controllers = controllers_of(Cloud(arguments.dir / "cloud"), arguments.controllers)
    plan = Plan(
        operations=arguments.operations, kills=arguments.kills, seed=seed,
        actors=arguments.actors, limit_s=60 * arguments.minutes,
    )  # fmt: skip
    try:
        with backing(arguments.database, arguments.queue) as servers:
            try:
                credentials, create = set_up(controllers, servers)
                report = run(controllers, credentials, create, plan, servers)
            finally:
                # While its database is there: it ends in peace.
                if not arguments.keep:
                    take_down(controllers)
    except LabError as error:
        print(f"chaos: {error}", file=sys.stderr)
        return 1
    report.write(arguments.dir)
    print(report.as_text(), end="")
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
