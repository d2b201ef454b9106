"""A stream, its rows, and how they arrive at Heap through PyAirbyte."""

from __future__ import annotations

from typing import Any

from heap_sandbox.server import Sandbox

Json = dict[str, Any]

APIS: dict[str, Json] = {
    "track": {
        "api_type": "track",
        "property_columns": "plan,amount,visits,active,day,tags,identities.provider",
        "event_column": "action",
        "identity_column": "email",
        "timestamp_column": "updated_at",
    },
    "users": {"api_type": "add_user_properties", "property_columns": "*", "identity_column": "email"},
    "accounts": {
        "api_type": "add_account_properties",
        "property_columns": "plan,visits,updated_at",
        "account_id_column": "identities.account",
    },
}

STREAM: Json = {
    "name": "users",
    "json_schema": {
        "type": "object",
        "properties": {
            "email": {"type": "string"},
            "action": {"type": "string"},
            "plan": {"type": ["null", "string"]},
            "amount": {"type": "number"},
            "visits": {"type": "integer"},
            "active": {"type": "boolean"},
            "day": {"type": "string", "format": "date"},
            "updated_at": {"type": "string", "format": "date-time"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "identities": {
                "type": "object",
                "properties": {"provider": {"type": "string"}, "account": {"type": "integer"}},
            },
        },
    },
    "supported_sync_modes": ["full_refresh", "incremental"],
    "default_cursor_field": ["updated_at"],
    "source_defined_primary_key": [["email"]],
}

ROWS: list[Json] = [
    {
        "email": f"zoë.{number}@example.com",
        "action": "Paid" if number % 2 else "Bezahlt €",
        "plan": None if number == 2 else f"plan {number}",
        "amount": 100.5 * number,
        "visits": 9007199254740993 if number == 3 else number,
        "active": number != 1,
        "day": "2022-10-26",
        "updated_at": f"2022-10-26T09:00:0{number}.123456Z",
        "tags": ["a", "b"][: number % 3],
        "identities": {"provider": "auth0", "account": number},
    }
    for number in range(7)
]


def config(heap: Sandbox, api: str | Json) -> Json:
    choice = APIS[api] if isinstance(api, str) else api
    return {"app_id": "11", "base_url": heap.url, "api": choice, "delivery": {"mode": "bulk"}}


def arrived(heap: Sandbox, api: str) -> list[Json]:
    """All data in Heap, without the event of `check`, idempotency keys and the sandbox's own numbers."""
    if api == "track":
        payloads = [event["payload"] for event in heap.events()]
        return [{key: value for key, value in one.items() if key != "idempotency_key"} for one in payloads]
    key = "identity" if api == "users" else "account_id"
    found = heap.users() if api == "users" else heap.accounts()
    return [{key: one[key], "properties": one["properties"]} for one in found]


def expected(row: Json, api: str, *, cached: bool) -> Json:
    """How a row arrives at Heap; a cache turns decimals into text, and removes the Z of a timestamp."""
    amount = (f"{row['amount']:.9f}" if row["amount"] else "0E-9") if cached else row["amount"]
    time = row["updated_at"].removesuffix("Z") if cached else row["updated_at"]
    columns = {
        "plan": row["plan"],
        "amount": amount,
        "visits": str(row["visits"]) if row["visits"] > 2**53 - 1 else row["visits"],
        "active": row["active"],
        "day": row["day"],
        "tags": (row["tags"] if api == "track" else "||".join(row["tags"])) or None,
        "identities.provider": "auth0",
    }
    if api == "track":
        element = {"identity": row["email"], "event": row["action"], "timestamp": row["updated_at"]}
    elif api == "users":
        element = {"identity": row["email"]}
        columns |= {"email": row["email"], "action": row["action"], "updated_at": time}
        columns["identities.account"] = row["identities"]["account"]
    else:
        element = {"account_id": str(row["identities"]["account"])}
        columns = {"plan": columns["plan"], "visits": columns["visits"], "updated_at": time}
    return {**element, "properties": {name: value for name, value in columns.items() if value is not None}}
