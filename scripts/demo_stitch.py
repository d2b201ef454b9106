"""The demo of `bash scripts/demo stitch`: Heap's users, a CRM and orders become customers, who go back to Heap.

Everything is local: the bucket that Heap writes to, the warehouse, and a mock of Heap's API.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

from heap_sandbox.server import Sandbox

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "courier" / "integration_tests"))

import heap_bucket  # noqa: E402  (the tests' generator of buckets)

KEYS = {"AWS_ACCESS_KEY_ID": "demo", "AWS_SECRET_ACCESS_KEY": "demo"}  # moto accepts any
DAY = 1_772_000_000_000
USERS = (
    {"user_id": 101, "identity": "robert@acme.test", "email": "robert@acme.test", "joindate": DAY},
    {"user_id": 102, "identity": "r.smith@home.test", "email": "r.smith@home.test", "joindate": DAY},
    {"user_id": 103, "identity": "mary@acme.test", "email": "mary@acme.test", "joindate": DAY},
    {"user_id": 104, "identity": None, "email": None, "joindate": DAY},
)
SESSIONS = tuple(
    {"event_id": 900 + number, "user_id": user, "session_id": 900 + number, "time": "2026-03-01 10:00:00"}
    for number, user in enumerate((101, 102, 103, 104, 104))
)
CRM = """\
id,first_name,last_name,email,phone,street,zip,city,born
1,Robert,Smith,robert@acme.test,(555) 123-4567,12 W. Elm St.,02139,Cambridge,1950-02-03
2,Robert,Smith,r.smith@home.test,,12 West Elm Street,02139,Cambridge,1950-02-03
3,Mary,Smith,mary@acme.test,(555) 123-4567,12 W. Elm St.,02139,Cambridge,1952-07-08
4,Robert,Smith,bobby@web.test,(555) 123-4567,12 W. Elm St.,02139,Cambridge,1980-11-21
5,Иван,Петров,ivan@post.test,555 987 6543,3 Lake Rd,10115,Berlin,1977-01-30
6,Ivan,Petrov,,555-987-6543,3 Lake Road,10115,Berlin,
"""
ORDERS = "order_id,crm_id,total\n7001,1,20.5\n7002,3,99\n7003,6,5\n7004,2,12\n"
CRM_TAGS = {
    "first_name": "given-name",
    "last_name": "surname",
    "email": "email",
    "phone": "phone",
    "street": "address",
    "zip": "postal",
    "city": "city",
    "born": "birthdate",
}
FEED = """\
id: df-{id}
source: {source}
name: {name}
primary-key: [{key}]
last-updated: generated
stitch: {stitch}
sample: {{file: {file}, content-type: text/csv}}
fields:
{fields}
"""
CONFIGURATION = {
    "app_id": "11",
    "api": {
        "api_type": "add_user_properties",
        "identity_column": "email",
        "property_columns": "customer_id,given_name,surname,city,records",
    },
    "delivery": {"mode": "bulk"},
}


def main() -> int:
    """Run the demo; the exit code is that of the first command that failed."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        with tempfile.TemporaryDirectory() as folder, Sandbox.start() as heap:
            demo = Demo("http://{}:{}".format(*server.get_host_and_port()), Path(folder) / "heap")
            demo.load()
            demo.stitch()
            demo.send(heap.url)
            users = [user for user in heap.users() if user["properties"]]
            print(f"\nHeap now holds {len(users)} users with properties:")
            for user in users:
                print(f"  {user['identity']}  {json.dumps(user['properties'], ensure_ascii=False)}")
    except subprocess.CalledProcessError as error:
        return error.returncode
    finally:
        server.stop()
    return 0


class Demo:
    """Runs the commands that a user would type."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._folder = folder

    def load(self) -> None:
        """Load Heap's users and sessions from a bucket, and a CRM and orders from files."""
        bucket: Any = boto3.Session("demo", "demo", region_name="us-east-1").client("s3", endpoint_url=self._url)
        bucket.create_bucket(Bucket=heap_bucket.BUCKET)
        dump = heap_bucket.Dump(
            1,
            (
                heap_bucket.TableDump("users", heap_bucket.USERS, USERS),
                heap_bucket.TableDump(
                    "user_migrations",
                    heap_bucket.MIGRATIONS,
                    ({"from_user_id": 104, "to_user_id": 101, "time": DAY},),
                    full=True,
                ),
                heap_bucket.TableDump("sessions", heap_bucket.SESSIONS, SESSIONS),
            ),
        )
        chance = Random(1)  # noqa: S311  (the same names each time)
        heap_bucket.put(bucket, heap_bucket.BUCKET, heap_bucket.objects(dump, chance))
        self._command("init", str(self._folder), project=False)
        settings = self._folder / "heap-courier.yaml"
        named = f"{heap_bucket.BUCKET}\n    endpoint-url: {self._url}"
        settings.write_text(settings.read_text().replace("heap-rs3-example", named))
        entities = self._folder / "entities" / "heap-connect.json"
        entities.write_text(entities.read_text().replace('"Heap-Connect"', '"Heap"'))
        self._say("(heap-courier.yaml now names a local bucket; files crm.csv and orders.csv have feeds with tags.)")
        for name, text in (("crm.csv", CRM), ("orders.csv", ORDERS)):
            (self._folder / name).write_text(text, encoding="utf-8")
        crm = [("id", "Integer", "fk-crm"), *((name, "String", tag) for name, tag in CRM_TAGS.items())]
        orders = [("order_id", "Integer", "pk"), ("crm_id", "Integer", "fk-crm"), ("total", "Float", None)]
        self._feed("crmfeed1", "CRM:Customers", "crm.csv", crm, stitch=True)
        self._feed("orders01", "Shop:Orders", "orders.csv", orders, stitch=False)
        self._command("run", "Heap-Connect")
        self._command("feed", "activate", "CRM:Customers")
        self._command("feed", "activate", "Shop:Orders")

    def stitch(self) -> None:
        """Link the records of each customer."""
        self._command("stitch", "check")
        self._command("stitch", "run")
        self._command("show", "Stitch:Merged_Customers", "--json")
        self._command("show", "Shop:Orders:stitched")
        self._command("show", "Heap:sessions:stitched", "--limit", "3")
        self._say(
            "One customer: Heap's user by the e-mail address, the CRM's second record by its name, birthdate and home."
        )
        self._command("stitch", "explain", "Heap:users:resolved/102", "CRM:Customers/1")
        self._say("Two customers: father and son.")
        self._command("stitch", "explain", "CRM:Customers/1", "CRM:Customers/4")
        self._command("stitch", "report")
        self._say("Run again, it changes nothing.")
        self._command("stitch", "run")

    def send(self, url: str) -> None:
        """Send the customers' properties back to Heap."""
        rows = self._folder / "customers.ndjson"
        program = Path(sys.executable).with_name("heap-courier")
        self._say("$ heap-courier show Stitch:Merged_Customers --limit 1000 --json > customers.ndjson")
        with rows.open("w") as file:
            words = [program, "show", "Stitch:Merged_Customers", "--limit", "1000", "--json"]
            subprocess.run(words, cwd=self._folder, stdout=file, check=True)  # noqa: S603  (this project's own program)
        config = self._folder / "config.json"
        config.write_text(json.dumps({**CONFIGURATION, "base_url": url}))
        for command, extra in (("preview", ["--limit", "1"]), ("write", [])):
            shown = " ".join([command, "--config config.json --rows customers.ndjson", *extra])
            self._say(f"$ python main.py {shown}")
            words = [sys.executable, ROOT / "main.py", command, "--config", config, "--rows", rows, *extra]
            run = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603  (as above)
            for line in run.stdout.splitlines():
                print(json.loads(line)["log"]["message"] if line.startswith('{"type"') else line, flush=True)

    def _feed(
        self,
        identifier: str,
        table: str,
        file: str,
        fields: list[Any],
        *,
        stitch: bool,
    ) -> None:
        lines = [f"  - {{name: {n}, type: {t}{f', tag: {tag}' if tag else ''}}}" for n, t, tag in fields]
        source, _, name = table.partition(":")
        path = self._folder / "feeds" / f"{source.lower()}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            FEED.format(
                id=identifier,
                source=source,
                name=name,
                key=fields[0][0],
                file=file,
                stitch=str(stitch).lower(),
                fields="\n".join(lines),
            )
        )

    def _say(self, sentence: str) -> None:
        print(f"\n{sentence}", flush=True)

    def _command(self, *words: str, project: bool = True) -> None:
        print(f"\n$ heap-courier {' '.join(words).replace(str(self._folder), 'heap')}", flush=True)
        subprocess.run(  # noqa: S603  (this project's own program)
            [Path(sys.executable).with_name("heap-courier"), *words],
            cwd=self._folder if project else None,
            env={**os.environ, **KEYS},
            check=True,
        )


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are closed
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
