"""`python -m heliograph.scrape`: fetch pages of metrics until SIGTERM, then store what was fetched, and return."""

import argparse
import asyncio
import logging
import os
import signal
from contextlib import suppress
from functools import partial
from pathlib import Path

import django

log = logging.getLogger("heliograph.scrape")
# A file is looked at, and a broken watch begun again, after this long.
LOOK_S = 5.0


def main() -> None:
    """Run until SIGTERM or SIGINT."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "heliograph.settings")
    django.setup()
    argparse.ArgumentParser(prog="python -m heliograph.scrape", description=main.__doc__).parse_args()
    from heliograph import telemetry  # noqa: PLC0415  # after Django is set up

    telemetry.start("scraper")
    asyncio.run(_run())


async def _run() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop.set)
    looking = [asyncio.create_task(look) for look in (_follow_file(stop), _follow_kubernetes(stop))]
    try:
        if await _wait_for_targets(stop):
            await _scrape(stop)
    finally:
        for task in looking:
            task.cancel()
        await asyncio.gather(*looking, return_exceptions=True)


async def _wait_for_targets(stop: asyncio.Event) -> bool:
    """Wait for a first target: until then there is no pipeline, with its threads and its look into the spool."""
    from heliograph.scrape import delivery  # noqa: PLC0415  # after Django is set up

    while not stop.is_set():
        if await delivery.unless_away(lambda: bool(delivery.targets()), False):
            return True
        await _pause(LOOK_S, stop)
    return False


async def _scrape(stop: asyncio.Event) -> None:
    from django.conf import settings  # noqa: PLC0415  # after Django is set up

    from heliograph.ingest.pipeline import Pipeline  # noqa: PLC0415  # as above
    from heliograph.scrape import delivery  # noqa: PLC0415  # as above
    from heliograph.scrape.addresses import Policy  # noqa: PLC0415  # as above
    from heliograph.scrape.runner import Scraper, Target  # noqa: PLC0415  # as above

    pipeline = Pipeline()
    known: list[Target] = []

    async def load() -> list[Target]:
        nonlocal known
        known = await delivery.unless_away(delivery.targets, known)
        return known

    log.info("scraping")
    try:
        await Scraper(
            load=load,
            deliver=lambda target, request, now_ns: delivery.deliver(pipeline, target, request, now_ns),
            note=lambda outcomes: delivery.unless_away(lambda: delivery.note(outcomes), None),
            policy=Policy(loopback=settings.SCRAPE_LOOPBACK),
            room=lambda: delivery.PipelineRoom(pipeline.room.share()),
        ).run(stop)
    finally:
        await pipeline.stop()


async def _follow_file(stop: asyncio.Event) -> None:
    """Read the watch list at the start and whenever it changes."""
    from django.conf import settings  # noqa: PLC0415  # after Django is set up

    from heliograph.scrape import delivery, file, found  # noqa: PLC0415  # as above

    if not settings.SCRAPE_FILE:
        return
    path = Path(settings.SCRAPE_FILE)
    seen: tuple[int, int] | None = (-1, -1)

    def look() -> bool:
        try:
            listed = file.read(path)
        except found.DiscoveryError as error:
            log.warning("the targets of %s stay as they were: %s", path, error)
            found.note("file", None, str(error))
        else:
            found.keep("file", listed, settings.SCRAPE_PROJECT)
            log.info("%s names %d targets", path, len(listed))
        return True

    while not stop.is_set():
        now = await asyncio.to_thread(file.stamp, path)
        # What could not be written down is looked at again.
        if now != seen and await delivery.unless_away(look, False):
            seen = now
        await _pause(LOOK_S, stop)


async def _follow_kubernetes(stop: asyncio.Event) -> None:
    """Follow the pods; a watch that ends, or breaks, is begun again."""
    from django.conf import settings  # noqa: PLC0415  # after Django is set up

    from heliograph.scrape import delivery, found, kubernetes  # noqa: PLC0415  # as above

    if not settings.SCRAPE_KUBERNETES:
        return
    cluster = kubernetes.Cluster(
        url=settings.SCRAPE_KUBERNETES_URL,
        token_file=Path(settings.SCRAPE_KUBERNETES_TOKEN_FILE) if settings.SCRAPE_KUBERNETES_TOKEN_FILE else None,
        ca_file=Path(settings.SCRAPE_KUBERNETES_CA_FILE) if settings.SCRAPE_KUBERNETES_CA_FILE else None,
        namespace=settings.SCRAPE_KUBERNETES_NAMESPACE,
        pods_token_file=settings.SCRAPE_KUBERNETES_PODS_TOKEN_FILE,
        pods_ca_file=settings.SCRAPE_KUBERNETES_PODS_CA_FILE,
    )

    async def changed(pods: list[found.Found]) -> None:
        log.info("%d pods ask to be scraped", len(pods))
        await delivery.unless_away(lambda: found.keep("kubernetes", pods, settings.SCRAPE_PROJECT), None)

    while not stop.is_set():
        try:
            await kubernetes.follow(cluster, changed)
        except found.DiscoveryError as error:
            said = str(error)
            log.warning("the pods' targets stay as they were: %s", said)
            await delivery.unless_away(partial(found.note, "kubernetes", None, said), None)
        await _pause(LOOK_S, stop)


async def _pause(seconds: float, stop: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


if __name__ == "__main__":
    main()
