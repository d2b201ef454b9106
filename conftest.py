"""Selects the tests of a run, and provides the servers that they share."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from collections import Counter
from collections.abc import Generator, Iterator
from functools import cache
from importlib.machinery import SourceFileLoader
from types import ModuleType
from typing import Any

import botocore.loaders
import botocore.regions
import botocore.session
import pytest
from adbc_driver_postgresql import dbapi
from botocore.client import ClientCreator
from botocore.endpoint_provider import EndpointProvider
from botocore.hooks import EventAliaser, HierarchicalEmitter
from botocore.model import ServiceModel
from hypothesis import HealthCheck, is_hypothesis_test, settings
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.pull.postgresql import PostgreSQL
from benchmarks.pull.postgresql import programs as postgresql_programs
from integration_tests.forked import Forked

# The same examples in every run, without a deadline; `--hypothesis-profile=default` tries new ones.
settings.register_profile("steady", derandomize=True, deadline=None)
# The thorough run tries new ones, except in CI, where a random failure would have nothing to do with the change.
settings.register_profile(
    "thorough",
    derandomize="CI" in os.environ,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("steady")

EXAMPLES = 10
"""The thorough run multiplies the examples of property-based tests by this."""

LONGEST = (
    "test_pyairbyte.py",
    "test_image.py",
    "test_courier_kill.py",
    "test_heap_histories.py",
    "test_bench_pull.py",
    "test_bench.py",
    "test_kill.py",
    "test_heap_connect.py",
)
"""Files whose tests take many seconds each."""

REPEATING = (
    "test_delivery_simulation.py",
    "test_fast_lane.py",
    "test_language.py",
    "test_long_input.py",
    "test_preview.py::test_memory_does_not_grow_with_the_input",
    "test_proposals_take_their_sample.py",
    "test_quality.py",
    "test_regular_expressions.py",
)
"""Files, or tests, that run the same lines hundreds of times, or run none of the products' code."""

PRODUCTS = ("destination_heap_analytics", "heap_courier", "heap_sandbox")
"""The packages whose coverage is measured."""

_left: Counter[str] = Counter()
"""The number of tests left to the other run, by file."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--thorough` runs what the default run leaves out."""
    parser.addoption(
        "--thorough",
        action="store_true",
        help="run only the tests marked `thorough`, and the property-based ones with ten times the examples",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Load the Hypothesis profile of this run, and make sure that SIGINT works.

    Shells start background jobs (`&`) with SIGINT ignored, and processes that the tests start would inherit that.
    """
    if config.getoption("thorough"):
        settings.load_profile("thorough")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Suspend coverage while tests are imported, except in the modules of the products and their imports.

    Measuring other packages, and pytest's rewriting of assertions, would double the time.
    """
    tracer, load = sys.gettrace(), SourceFileLoader.exec_module
    if tracer is None:
        return (yield)

    def exec_module(loader: SourceFileLoader, module: ModuleType) -> None:
        if sys.gettrace() is not None or module.__name__.partition(".")[0] not in PRODUCTS:
            load(loader, module)
            return
        sys.settrace(tracer)
        try:
            load(loader, module)
        finally:
            sys.settrace(None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SourceFileLoader, "exec_module", exec_module)
        sys.settrace(None)
        try:
            return (yield)
        finally:
            sys.settrace(tracer)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of this run, and start the longest first, so that no core is idle at the end."""
    thorough = config.getoption("thorough")
    left = [item for item in items if not _runs(item, thorough=thorough)]
    _left.update(item.path.name for item in left)
    if left:
        config.hook.pytest_deselected(items=left)
    items[:] = sorted((item for item in items if _runs(item, thorough=thorough)), key=_turn)
    if hasattr(config, "workeroutput"):
        config.workeroutput["left"] = dict(_left)
    if thorough:
        for item in items:
            _more_examples(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Suspend coverage in this thread, and in threads that the test and its fixtures start, such as a server's.

    The marker `no_cover` stops it in all threads, which can make threads that start meanwhile fail.
    """
    tracer, of_threads = sys.gettrace(), threading.gettrace()
    if tracer is None or not _is_measured_elsewhere(item):
        return (yield)
    sys.settrace(None)
    threading.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(tracer)
        threading.settrace(of_threads)


def _turn(item: pytest.Item) -> tuple[int, bool]:
    """Files in the order of LONGEST, then other tests of processes, then unit tests; each file stays together."""
    name = item.path.name
    return LONGEST.index(name) if name in LONGEST else len(LONGEST), "integration_tests" not in item.path.parts


def _runs(item: pytest.Item, *, thorough: bool) -> bool:
    """Whether a test is part of this run."""
    marked = any(item.get_closest_marker(name) for name in ("thorough", "image_tests"))
    if thorough:
        return marked or _is_property_based(item)
    return not marked


def _is_property_based(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and is_hypothesis_test(item.obj)


def _is_measured_elsewhere(item: pytest.Item) -> bool:
    """Whether a test runs without coverage, which would double its time.

    Such a test runs the same lines hundreds of times, or in another process; unit tests cover the same code.
    """
    name = f"{item.path.name}::{item.name}"
    return _is_property_based(item) or "integration_tests" in item.path.parts or name.startswith(REPEATING)


def _more_examples(item: pytest.Item) -> None:
    """Multiply the examples of a property-based test, even if it sets its own number."""
    if not isinstance(item, pytest.Function) or not is_hypothesis_test(item.obj):
        return
    test: Any = getattr(item.obj, "__func__", item.obj)
    name = "_hypothesis_internal_use_settings"  # Hypothesis offers no public way to override a decorator's settings
    given: settings = getattr(test, name)
    if not hasattr(test, "thorough_examples"):  # parametrised tests share one function
        test.thorough_examples = given.max_examples * EXAMPLES
        profile = settings.get_profile("thorough")
        unchecked = {*profile.suppress_health_check, *given.suppress_health_check}
        more = settings(profile, max_examples=test.thorough_examples, suppress_health_check=list(unchecked))
        setattr(test, name, more)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over the counts of a pytest-xdist worker; all workers have the same."""
    _left.clear()
    _left.update(getattr(node, "workeroutput", {}).get("left", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Report what the default run leaves to the thorough one."""
    if config.getoption("thorough") or not _left:
        return
    terminalreporter.section("left to bash scripts/test --thorough")
    files = ", ".join(f"{name} ({number})" for name, number in sorted(_left.items()))
    terminalreporter.write_line(f"{_left.total()} tests: {files}")
    terminalreporter.write_line(f"and {EXAMPLES} times the examples of each property-based test")


@pytest.fixture(scope="session")
def forked() -> Iterator[Forked]:
    """Runs the connector in forks, without waiting for its imports."""
    with Forked.started() as running:
        yield running


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The connection string, without the database, of a PostgreSQL server for this session, reached by a socket."""
    programs = postgresql_programs()
    if not programs:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with PostgreSQL.start(programs, "fsync=off") as server:
        yield server.dsn("{}")


_EMPTY = """
    DO $$
    DECLARE name text;
    BEGIN
        PERFORM pg_terminate_backend(pid, 10000) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid();
        FOR name IN SELECT nspname FROM pg_namespace
            WHERE NOT starts_with(nspname, 'pg_') AND nspname <> 'information_schema'
        LOOP
            EXECUTE format('DROP SCHEMA %I CASCADE', name);
        END LOOP;
        CREATE SCHEMA public AUTHORIZATION pg_database_owner;
        GRANT USAGE ON SCHEMA public TO PUBLIC;
        IF EXISTS (
            SELECT oid FROM pg_largeobject_metadata UNION ALL SELECT oid FROM pg_publication
            UNION ALL SELECT oid FROM pg_event_trigger UNION ALL SELECT oid FROM pg_default_acl
            UNION ALL SELECT oid FROM pg_foreign_data_wrapper UNION ALL SELECT setdatabase FROM pg_db_role_setting
            UNION ALL SELECT oid FROM pg_cast WHERE oid >= 16384
            UNION ALL SELECT oid FROM pg_database WHERE datname = current_database() AND datacl IS NOT NULL
        ) THEN
            RAISE EXCEPTION 'an earlier test changed the database outside its schemas';
        END IF;
    END $$
"""
"""Empties a database. Fails if a test changed something outside of schemas. Roles belong to the server, and stay."""


@pytest.fixture(scope="session")
def postgresql_database(postgresql_server: str) -> str:
    """The connection string of a database that tests use in turn."""
    with (
        dbapi.connect(postgresql_server.format("postgres"), autocommit=True) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("CREATE DATABASE test")
    return postgresql_server.format("test")


@pytest.fixture
def postgresql(postgresql_database: str) -> str:
    """The connection string of an empty database. Emptying one is faster than creating one."""
    with dbapi.connect(postgresql_database, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(_EMPTY)
    return postgresql_database


@pytest.fixture(scope="session", autouse=True)
def shared_by_clients() -> Iterator[None]:
    """Cache what botocore derives from the descriptions of Amazon's services for each client.

    Deriving it takes most of the time of creating a client, and tests create thousands.
    """
    loader: Any = botocore.loaders.create_loader()
    aliaser: Any = EventAliaser(HierarchicalEmitter())
    alias = cache(aliaser._alias_event_name)  # noqa: SLF001
    model = cache(lambda name, version: ServiceModel(loader.load_service_model(name, "service-2", version), name))
    providers: dict[int, EndpointProvider] = {}

    def provider(ruleset_data: Any, partition_data: Any, excluded_params: Any) -> EndpointProvider:
        made = providers.get(id(ruleset_data)) or EndpointProvider(ruleset_data, partition_data, excluded_params)
        return providers.setdefault(id(ruleset_data), made)  # the loader caches what it reads, so IDs are stable

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", lambda _search_path: loader)
        patch.setattr(EventAliaser, "_alias_event_name", lambda _self, name: alias(name))
        patch.setattr(ClientCreator, "_load_service_model", lambda _self, name, version=None: model(name, version))
        patch.setattr(botocore.regions, "EndpointProvider", provider)
        yield


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    """The address of a local mock of Amazon's services (moto). All tests of the session share its data."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415  (it takes a second, and few tests need it)
    from werkzeug.serving import ThreadedWSGIServer  # noqa: PLC0415

    answer = ThreadedWSGIServer.process_request_thread

    def unmeasured(server: ThreadedWSGIServer, request: Any, client_address: Any) -> None:
        sys.settrace(None)  # measuring moto would double its time
        answer(server, request, client_address)

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ThreadedWSGIServer, "process_request_thread", unmeasured)
        server.start()
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
        server.stop()


@pytest.fixture(scope="module")  # not the session: Playwright's event loop conflicts with tests that run their own
def chromium() -> Iterator[Browser]:
    """Debian's headless Chromium, which takes a quarter of the CPU time; `scripts/packages` installs it."""
    path = shutil.which("chromium-headless-shell")
    if path is None:
        pytest.skip("Chromium is not installed; on Debian: apt-get install chromium-headless-shell")
    quiet = ("background-networking", "component-update", "sync", "gpu")
    arguments = ["--no-sandbox", "--no-first-run", *(f"--disable-{what}" for what in quiet)]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """An empty page in a new context, with reduced motion, because animations take much CPU time."""
    context = chromium.new_context(reduced_motion="reduce")
    yield context.new_page()
    context.close()


@pytest.fixture
def no_identity_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the AWS credentials and proxies of this machine: only those that a test sets are used."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE", "DEFAULT_REGION", "REGION"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
