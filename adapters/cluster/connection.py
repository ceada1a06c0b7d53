"""The connection to a Dask cluster."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from minibert.errors import InputError

if TYPE_CHECKING:
    from distributed import Client

PATIENCE = 20  # seconds to wait for a cluster's scheduler, and for its first worker
KILLED = "killed repeatedly by the system; perhaps too little memory: try fewer workers"
# Dask warns of large arguments, and advises `scatter`: but what is scattered dies with its worker.
NO_LIMIT = {"distributed.admin.large-graph-warning-threshold": "1 TiB"}


@contextmanager
def connected(address: str, patience: float | None = None) -> Iterator["Client"]:
    """A client of the cluster at this address (tcp://HOST:PORT), which has a worker. Dask's log is
    quiet meanwhile: errors say the same in one line.

    Raises InputError when Dask is not installed, and when no scheduler answers in `patience`
    seconds (default: PATIENCE) or it has no worker by then.
    """
    patience = PATIENCE if patience is None else patience
    try:
        import dask
        from distributed import Client
    except ModuleNotFoundError:
        raise InputError("--cluster needs: pip install 'minibert-adapters[cluster]'") from None
    try:
        with _quiet_log():
            client = Client(address, timeout=patience)
    except (OSError, TypeError, ValueError) as error:  # TypeError: tls:// without its keys
        reason = " ".join(str(error).split())
        raise InputError(f"--cluster {address}: no scheduler there: {reason}") from None
    with _quiet_log(), dask.config.set(NO_LIMIT), client:
        try:
            client.wait_for_workers(1, timeout=patience)
        except TimeoutError:
            raise InputError(f"--cluster {address}: the scheduler has no workers") from None
        yield client


@contextmanager
def _quiet_log() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
