"""Commands of couriers: `check`, `sample`, `run`."""

from __future__ import annotations

import sys
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from heap_courier.cli.log import LOG, reporting
from heap_courier.cli.printing import print_changed, print_result, print_samples, print_warnings
from heap_courier.cli.terminal import say
from heap_courier.couriers.context import Context, opened
from heap_courier.errors import CourierError, MissingFilesError
from heap_courier.files.days import Days
from heap_courier.project.model import Courier

if TYPE_CHECKING:
    from collections.abc import Callable

_NAMED_DAYS: Final = {"today": timedelta(), "yesterday": timedelta(days=1)}


class _Day(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click alone
    """A day: a date, or `today` or `yesterday` by the command's clock."""

    name = "day"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Callable[[date], date]:
        if value in _NAMED_DAYS:
            return lambda today: today - _NAMED_DAYS[value]
        try:
            day = datetime.strptime(value, "%Y-%m-%d").date()  # noqa: DTZ007  (a day)
        except ValueError:
            self.fail(f"`{value}` is not a day: write 2026-11-21, today or yesterday.", param, ctx)
        return lambda _today: day


DAY: Final = _Day()


@click.command()
@click.argument("courier", required=False)
@click.pass_obj
def check(folder: Path, courier: str | None) -> None:
    """Check COURIER, or all couriers: the project, the bucket, the credential, the newest files, the feeds."""
    with opened(folder) as context:
        couriers = [context.courier(courier)] if courier else context.project.couriers.values()
        results = [_is_ok(context, each) for each in couriers]
        print_warnings(context)
    if not all(results):
        sys.exit(1)


def _is_ok(context: Context, courier: Courier) -> bool:
    from heap_courier.couriers.check import check_courier  # noqa: PLC0415  (reading buckets and files is slow to import)

    try:
        say(f"{courier.name}: OK. {check_courier(context, courier)}")
    except CourierError as error:
        first, *others = str(error).split("\n")
        say(f"{courier.name}: {first}")
        for line in others:
            say(line)
        return False
    return True


@click.command()
@click.argument("courier")
@click.option("--day", type=DAY, metavar="DAY", help="The day of the files: 2026-11-21, today or yesterday (UTC).")
@click.pass_obj
def sample(folder: Path, courier: str, day: Callable[[date], date] | None) -> None:
    """Fetch files of COURIER and keep them as samples, without loading them."""
    from heap_courier.couriers.samples import sample_courier  # noqa: PLC0415  (as above)

    with opened(folder) as context:
        today = context.now().date()
        files = sample_courier(context, context.courier(courier), Days.of(day(today) if day else today))
    print_samples(files)


@click.command()
@click.argument("courier")
@click.option("--day", type=DAY, metavar="DAY", help="A day: 2026-11-21, today or yesterday (UTC).")
@click.option("--from", "start", type=DAY, metavar="DAY", help="The first day to load.")
@click.option("--to", "end", type=DAY, metavar="DAY", help="The day after the last day to load.")
@click.option("--all", "everything", is_flag=True, help="All days that have files.")
@click.option("--skip-missing", is_flag=True, help="Continue without required files that are missing.")
@click.pass_obj
def run(folder: Path, /, courier: str, *, skip_missing: bool, **days: Any) -> None:
    """Run COURIER: fetch its files and load them into their domain tables.

    Select the files with --day, with --from and --to, or with --all. A courier that follows Heap Connect accepts none
    of these: it loads all new dumps.
    """
    from heap_courier.couriers.run import run_courier  # noqa: PLC0415
    from heap_courier.delta.after_runs import publish_after_run  # noqa: PLC0415

    with opened(folder) as silent, reporting(silent) as context:
        chosen = context.courier(courier)
        if chosen.operations is None and any(days.values()):
            raise click.UsageError(
                f"The courier `{chosen.name}` has no `load-operations`, so it follows Heap Connect and loads all new "
                "dumps: leave out the days."
            )
        selected = _days(context.now().date(), **days) if chosen.operations else None
        try:
            result = run_courier(context, chosen, selected, skip_missing=skip_missing)
        except MissingFilesError as error:
            remedy = " To continue without them: --skip-missing." if chosen.operations is not None else ""
            raise MissingFilesError(f"{error}{remedy}") from None
        afterwards = publish_after_run(context, chosen.name)
    if not LOG.is_json:
        print_result(result)
    print_changed(*afterwards)
    if result.failed or afterwards.failure:
        sys.exit(1)


def _days(
    today: date,
    *,
    day: Callable[[date], date] | None,
    start: Callable[[date], date] | None,
    end: Callable[[date], date] | None,
    everything: bool,
) -> Days | None:
    if [day is not None, start is not None or end is not None, everything].count(True) != 1:
        raise click.UsageError("Select the files with one of --day, --from with --to, or --all.")
    if everything:
        return None
    if day:
        return Days.of(day(today))
    if not (start and end and start(today) < end(today)):
        raise click.UsageError(
            "--from is the first day and --to the day after the last one: set both, with --from before --to."
        )
    return Days(start(today), end(today))
