"""The settings: valid ones are parsed once, errors are reported in a sentence."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from destination_heap_analytics.config.api_settings import TrackEvents
from destination_heap_analytics.config.parse import parse_config
from destination_heap_analytics.errors import ConfigError
from destination_heap_analytics.heap_api import Api

TRACK = {
    "api_type": "track",
    "property_columns": "blocked, created_at ,name",
    "event_column": "identities.connection",
    "identity_column": " email ",
    "timestamp_column": "updated_at",
}
USERS = {"api_type": "add_user_properties", "property_columns": "*", "identity_column": "user_id"}
IDENTIFY = {"api_type": "identify", "identity_column": "email", "user_id_column": "heap_id"}
DELETE = {"api_type": "delete_users", "identity_column": "email", "api_key": "k", "confirm": "delete"}
ACCOUNTS = {"api_type": "add_account_properties", "property_columns": "ID,name", "account_id_column": "org"}


def config(**changes: Any) -> dict[str, Any]:
    return {"app_id": "11", "api": TRACK, **changes}


def track(**changes: Any) -> dict[str, Any]:
    return config(api={**TRACK, **changes})


def without(key: str) -> dict[str, Any]:
    return config(api={name: value for name, value in TRACK.items() if name != key})


def test_only_the_app_id_and_the_api_are_required() -> None:
    """The rest has defaults."""
    parsed = parse_config(config())
    assert (parsed.settings.base_url, parsed.settings.rejected_records) == ("https://heapanalytics.com", "continue")
    assert parsed.warning is None
    assert parse_config(config(base_url=None)).settings.base_url == "https://heapanalytics.com"


def test_spaces_around_names_and_commas_are_ignored() -> None:
    """Also in settings with a single column."""
    api = parse_config(config()).settings.api
    assert str(api.property_columns) == "blocked, created_at, name"
    assert api.model_dump()["identity_column"] == "email"


@pytest.mark.parametrize(
    ("api", "kind"),
    [
        (TRACK, Api.TRACK),
        (USERS, Api.USER_PROPERTIES),
        (ACCOUNTS, Api.ACCOUNT_PROPERTIES),
        (IDENTIFY, Api.IDENTIFY),
        (DELETE, Api.DELETE_USERS),
    ],
)
def test_api_type_selects_the_api(api: dict[str, Any], kind: Api) -> None:
    """The rules differ: an account may have a property named ID."""
    assert parse_config(config(api=api)).settings.selected_api is kind


def test_the_settings_are_frozen() -> None:
    """Parsed once, never changed."""
    with pytest.raises(ValidationError):
        parse_config(config()).settings.app_id = "12"


@pytest.mark.parametrize(
    "base_url",
    [
        "https://c.eu.heap-api.com",
        "https://proxy.example.com/heap/",
        "http://127.0.0.1:8470",
        "http://127.8.8.8",
        "http://[::1]:8470",
        "http://localhost:8470/",
        "http://host.docker.internal:8470",
        "http://host.containers.internal",
    ],
)
def test_base_url_may_be_any_https_host_and_http_on_this_machine(base_url: str) -> None:
    """A trailing slash is ignored."""
    assert parse_config(config(base_url=base_url)).settings.base_url == base_url.rstrip("/")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("text", "The configuration must be a JSON object"),
        ({}, "`app_id` is missing: set it to the environment ID"),
        ({"app_id": "11"}, "`api` is missing: use an object with `api_type`"),
        (config(app_id=11), "as text in quotes, such as"),
        (config(app_id="main"), "`app_id` must be the environment ID, which is digits only"),
        (config(app_id="１１"), "`app_id` must be the environment ID, which is digits only"),
        ({"appid": "11", "api": TRACK}, "`app_id` is missing: rename `appid`"),
        ({"app_id": "11", "appid": "11"}, "`api` is missing: use an object"),
        (
            config(api={"api_type": "track", "identity_colum": "i"}),
            "`api.event_column` is missing: set it to the column",
        ),
        (config(base_url=5), "`base_url` must be text in quotes"),
        (config(base_url="heapanalytics.com"), "`base_url` is not a web address"),
        (config(base_url="ftp://heapanalytics.com"), "`base_url` is not a web address"),
        (config(base_url="https://127.0.0.1:99999"), "`base_url` is not a web address"),
        (config(base_url="https://heap analytics.com"), "`base_url` is not a web address"),
        (config(base_url="https://"), "`base_url` is not a web address"),
        (config(base_url="https://a..b"), "`base_url` is not a web address"),
        (config(base_url=f"https://{'a' * 64}.com"), "`base_url` is not a web address"),
        (config(base_url="https://[::1"), "`base_url` is not a web address"),
        (config(base_url="https://u:p@heapanalytics.com"), "`base_url` must be only a host"),
        (config(base_url="https://heapanalytics.com?x=1"), "`base_url` must be only a host"),
        (config(base_url="https://heapanalytics.com/api/track"), "`base_url` must end before /api"),
        (config(base_url="http://heapanalytics.com"), "`base_url` must begin with https://"),
        (config(base_url="http://10.0.0.1"), "`base_url` must begin with https://"),
        (config(api="track"), "`api` is not valid: use an object"),
        (config(api={}), "`api.api_type` is missing: use one of track, add_user_properties"),
        (config(api={"apitype": "track"}), "`api.api_type` is missing: rename `apitype`"),
        (
            track(api_type="trak"),
            "add_user_properties, add_account_properties, identify, delete_users (did you mean `track`?)",
        ),
        (track(api_type=["track"]), "`api.api_type` is not valid"),
        (without("property_columns"), "`api.property_columns` is missing: list the columns"),
        (without("event_column"), "`api.event_column` is missing: set it to the column"),
        (without("identity_column"), "`api.identity_column` is missing: set it to the column"),
        (
            config(api={"api_type": "add_user_properties", "property_columns": "*", "identiy_column": "email"}),
            "`api.identity_column` is missing: rename `identiy_column`",
        ),
        (config(api={**USERS, "identity_column": None}), "`api.identity_column` is missing"),
        (
            config(api={"api_type": "add_account_properties", "property_columns": "*"}),
            "`api.account_id_column` is missing",
        ),
        (track(event_column="  "), "`api.event_column` is empty"),
        (track(property_columns=["a"]), "`api.property_columns` must be text in quotes"),
        (track(property_columns=" "), "`api.property_columns` is empty"),
        (track(property_columns=","), "`api.property_columns` is empty"),
        (track(property_columns='a,"b'), "`api.property_columns` has a double quote at character 3"),
        (track(property_columns='"a" b'), "`api.property_columns` has a double quote at character 1"),
        (config(api={**USERS, "identity_column": '"a'}), "`api.identity_column` has a double quote at character 1"),
        (
            track(property_columns="a," + "x" * 1024),
            "has a name longer than the 1,023 characters Heap accepts at character 3 (`xxx",
        ),
        (
            config(api={**USERS, "property_columns": "name,Id"}),
            "`api.property_columns` lists `Id`, but Heap does not allow",
        ),
        (
            track(user_id_column="heap_id"),
            "`api.user_id_column` is set together with `api.identity_column`, but an event can have only one of them",
        ),
        (track(identity_column="'a@example.com'"), "`api.identity_column` is the constant `'a@example.com'`, the same"),
        (track(timestamp_column="'2024-01-01'"), "`api.timestamp_column` is the constant"),
        (track(event_column="''"), "`api.event_column` is an empty event name"),
        (config(deleted_records="delete"), "`deleted_records` is not valid: use one of skip, send"),
        (config(rejected_records="stop"), "`rejected_records` is not valid: use one of continue, fail"),
    ],
)
def test_an_error_is_reported_with_its_setting_and_the_remedy(wrong: Any, sentence: str) -> None:
    """One sentence for each."""
    with pytest.raises(ConfigError) as refused:
        parse_config(wrong)
    assert sentence in str(refused.value)
    assert "pydantic" not in str(refused.value)


def test_all_errors_are_reported_at_once() -> None:
    """So that they can be fixed together."""
    with pytest.raises(ConfigError) as refused:
        parse_config({"app_id": "x", "api": {**USERS, "identity_column": "", "property_columns": ""}})
    assert str(refused.value).count("`") == 6
    assert all(
        setting in str(refused.value) for setting in ("`app_id`", "`api.property_columns`", "`api.identity_column`")
    )


def test_unknown_keys_are_ignored_with_one_warning() -> None:
    """The warning lists them, each with the nearest known key."""
    parsed = parse_config({**track(timestmp_column="x", account_id_column="y"), "rejected_record": "fail"})
    assert parsed.settings.rejected_records == "continue"
    assert parsed.warning == (
        "Unknown settings are ignored: `rejected_record` (did you mean `rejected_records`?), "
        "`api.timestmp_column` (did you mean `api.timestamp_column`?), `api.account_id_column` "
        "(which belongs to another option)."
    )


def test_without_a_delivery_each_row_is_a_request() -> None:
    """As saved connections of version 0.1.0 expect."""
    delivery = parse_config(config()).settings.delivery
    assert (delivery.mode, delivery.max_events_per_minute) == ("row", 15_000)
    assert parse_config(config(delivery=None)).settings.delivery.mode == "row"


@pytest.mark.parametrize("mode", ["bulk", "row"])
def test_the_share_of_heaps_rate_is_a_setting_of_both_modes(mode: str) -> None:
    """Several connections may share one app."""
    delivery = parse_config(config(delivery={"mode": mode, "max_events_per_minute": 500})).settings.delivery
    assert (delivery.mode, delivery.max_events_per_minute) == (mode, 500)


S3 = {"storage_type": "S3", "s3_bucket_name": "bucket", "bucket_path": "rejected"}


def test_rejected_rows_are_stored_only_if_a_location_is_given() -> None:
    """A directory, or a bucket."""
    assert parse_config(config()).settings.object_storage_config.storage_type == "None"
    assert parse_config(config(object_storage_config=None)).settings.object_storage_config.storage_type == "None"
    local = parse_config(config(object_storage_config={"storage_type": "Local", "path": " /local "})).settings
    assert local.object_storage_config.model_dump() == {"storage_type": "Local", "path": "/local"}
    bucket = parse_config(config(object_storage_config={**S3, "access_key_id": "", "s3_endpoint": None}))
    assert bucket.settings.object_storage_config.model_dump() == {
        "storage_type": "S3",
        "access_key_id": None,
        "secret_access_key": None,
        "role_arn": None,
        "s3_bucket_name": "bucket",
        "s3_bucket_region": "",
        "s3_endpoint": None,
        "bucket_path": "rejected",
        "format": {"format_type": "JSONL"},
    }
    assert bucket.warning is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"delivery": {"mode": "bulky"}},
            "`delivery.mode` is not valid: use one of bulk, row (did you mean `bulk`?).",
        ),
        ({"delivery": {}}, "`delivery.mode` is missing: use one of bulk, row."),
        ({"delivery": "bulk"}, '`delivery` is not valid: use {"mode": "bulk"}, or {"mode": "row"} for one request'),
        (
            {"delivery": {"mode": "bulk", "max_events_per_minute": 0}},
            "`delivery.max_events_per_minute` must be an integer of at least 1.",
        ),
        (
            {"delivery": {"mode": "row", "max_events_per_minute": "many"}},
            "`delivery.max_events_per_minute` must be an integer of at least 1.",
        ),
        (
            {"object_storage_config": {"storage_type": "s3"}},
            "`object_storage_config.storage_type` is not valid: use one of None, Local, S3 (did you mean `S3`?).",
        ),
        (
            {"object_storage_config": {"storage_type": "Local"}},
            "`object_storage_config.path` is missing: set it to the directory for rejected rows.",
        ),
        ({"object_storage_config": {"storage_type": "Local", "path": " "}}, "`object_storage_config.path` is empty."),
        (
            {"object_storage_config": {**S3, "s3_endpoint": "storage.example.com"}},
            "`object_storage_config.s3_endpoint` is not a web address with https:// and a host",
        ),
        (
            {"object_storage_config": {**S3, "s3_endpoint": "https://[::1"}},
            "`object_storage_config.s3_endpoint` is not a web address with https:// and a host",
        ),
        (
            {"object_storage_config": {**S3, "s3_endpoint": "http://storage.example.com"}},
            "`object_storage_config.s3_endpoint` must begin with https://: rows are personal data",
        ),
        (
            {"object_storage_config": {**S3, "format": {"format_type": "CSV"}}},
            "`object_storage_config.format.format_type` is not valid: use one of JSONL.",
        ),
        (
            {"object_storage_config": {**S3, "format": "JSONL"}},
            '`object_storage_config.format` is not valid: leave it out, or use {"format_type": "JSONL"}.',
        ),
        ({"object_storage_config": {"storage_type": "S3"}}, "`object_storage_config.bucket_path` is missing"),
    ],
)
def test_an_error_inside_a_choice_is_reported_in_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    """With the setting, and the remedy."""
    with pytest.raises(ConfigError) as error:
        parse_config(config(**changes))
    assert sentence in str(error.value)


@pytest.mark.parametrize("setting", ["base_url", "s3_endpoint"])
@pytest.mark.parametrize(
    "address",
    [
        "https://user:{}@storage.example.com",
        "https://{}@storage.example.com:9000/",
        "https://user:a@{}@storage.example.com",
        "https://storage/us:{}@example.com",
        "https://storage.example.com?token={}",
        "https://storage.example.com#{}",
        "http://user:{}@127.0.0.1:9000",
        "https://user:{}@",
        "https:user:{}@storage.example.com",
        "user:{}@storage.example.com",
        "https://user:{}@[::1",
        "https://user:{}@a..b",
        "https://user: {}@storage.example.com",
    ],
)
def test_an_address_with_a_secret_is_refused_and_not_repeated(setting: str, address: str) -> None:
    """An address is printed where a server does not answer, so no secret may be in it."""
    canary = "cAnArY"
    value = address.format(canary)
    changes = {setting: value} if setting == "base_url" else {"object_storage_config": {**S3, setting: value}}
    with pytest.raises(ConfigError, match=setting) as error:
        parse_config(config(**changes))
    assert canary.lower() not in str(error.value).lower()
    assert error.value.__cause__ is None


@pytest.mark.parametrize("value", [{1: 1}, [[]], 1.5, True, "trakc", object()], ids=type)
def test_a_value_of_any_type_is_reported_in_a_sentence(value: Any) -> None:
    """In process, a configuration may contain any object as a value or key."""
    for given in (
        {"app_id": value, "api": {"api_type": "track"}},
        {"app_id": "1", "api": value},
        {"app_id": "1", "api": {"api_type": value}},
        config(base_url=value),
        config(rejected_records=value),
        config(delivery={"mode": "bulk", "max_events_per_minute": value}),
        config(object_storage_config={"storage_type": value}),
        {10**5000: 1},
    ):
        with pytest.raises(ConfigError):
            parse_config(given)


def test_unknown_keys_inside_a_choice_give_a_warning() -> None:
    """With the nearest one, or that they belong to another branch."""
    parsed = parse_config(
        config(
            delivery={"mode": "bulk", "max_events_per_minut": 3},
            object_storage_config={"storage_type": "None", "path": "/local"},
        )
    )
    assert parsed.warning == (
        "Unknown settings are ignored: `delivery.max_events_per_minut` (did you mean "
        "`delivery.max_events_per_minute`?), `object_storage_config.path` (which belongs to another option)."
    )


def test_a_region_that_the_form_does_not_offer_is_accepted() -> None:
    """S3-compatible services have their own regions."""
    parsed = parse_config(config(object_storage_config={**S3, "s3_bucket_region": "garage"}))
    assert parsed.settings.object_storage_config.model_dump()["s3_bucket_region"] == "garage"


@pytest.mark.parametrize(
    ("columns", "names", "warning"),
    [
        ("a,b", ("a", "b"), None),
        ("a,,b", ("a", "b"), "`api.property_columns` has an extra comma; the rest was used as is."),
        (",a, ,", ("a",), "`api.property_columns` has 3 extra commas; the rest was used as is."),
        ("*,", ("*",), "`api.property_columns` has an extra comma; the rest was used as is."),
        ("a, b,a", ("a", "b"), "`api.property_columns` lists `a` more than once; the rest was used as is."),
        ('plan,"Revenue, USD"', ("plan", "Revenue, USD"), None),
        ('"a ""b""", c"d', ('a "b"', 'c"d'), None),
    ],
)
def test_a_list_of_columns_is_read_as_intended(columns: str, names: tuple[str, ...], warning: str | None) -> None:
    """With a warning about anything that was ignored."""
    parsed = parse_config(track(property_columns=columns))
    listed = parsed.settings.api.property_columns
    assert (tuple(item.name for item in listed.items) or ("*",), parsed.warning) == (names, warning)
    assert listed.selects_all is (names == ("*",))


@pytest.mark.parametrize("blank", ["", "  ", None])
def test_a_blank_or_null_timestamp_column_is_none(blank: str | None) -> None:
    """As in version 0.1.0."""
    parsed = parse_config(track(timestamp_column=blank))
    assert isinstance(parsed.settings.api, TrackEvents)
    assert (parsed.settings.api.timestamp_column, parsed.warning) == (None, None)


@pytest.mark.parametrize("setting", ["base_url", "delivery", "rejected_records", "object_storage_config"])
def test_null_for_an_optional_setting_is_its_default(setting: str) -> None:
    """Some tools write every key."""
    assert parse_config(config(**{setting: None})) == parse_config(config())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"confirm": None}, "`api.confirm` is missing: set it to `delete`"),
        ({"confirm": "yes"}, "`api.confirm` must be the word `delete`: each row permanently deletes a user"),
        ({"confirm": True}, "`api.confirm` must be the word `delete`"),
        ({"confirm": "Delete"}, "`api.confirm` must be the word `delete`"),
        ({"api_key": None}, "`api.api_key` is missing: set it to the key that Heap shows"),
        ({"api_key": " "}, "`api.api_key` is empty"),
        ({"identity_column": None}, "`api` must have exactly one of `identity_column` and `user_id_column`"),
        ({"user_id_column": "id"}, "`api` must have exactly one of `identity_column` and `user_id_column`"),
    ],
)
def test_a_deletion_without_explicit_confirmation_is_refused(change: dict[str, Any], sentence: str) -> None:
    """It cannot be undone."""
    with pytest.raises(ConfigError) as refused:
        parse_config(config(api={**DELETE, **change}))
    assert sentence in str(refused.value)


@pytest.mark.parametrize("delivery", [None, {"mode": "row"}, {"mode": "bulk"}])
def test_some_apis_ignore_the_delivery_mode(delivery: Any) -> None:
    """Heap accepts identities one by one, and deletions in bulk."""
    assert not parse_config(config(api=IDENTIFY, delivery=delivery)).settings.is_bulk
    assert parse_config(config(api=DELETE, delivery=delivery)).settings.is_bulk


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        (None, "https://heapanalytics.com"),
        ("https://c.eu.heap-api.com/", "https://heapanalytics.com"),
        ("http://127.0.0.1:8470", "http://127.0.0.1:8470"),
    ],
)
def test_deletions_go_to_the_us_for_both_data_centres(base_url: str | None, url: str) -> None:
    """As Heap documents; everything else is sent to the selected API."""
    assert parse_config(config(api=DELETE, base_url=base_url)).settings.url == url
    events = parse_config(config(base_url=base_url)).settings
    assert events.url == events.base_url


def test_heaps_own_user_id_takes_the_place_of_the_identity() -> None:
    """An empty identity column counts as not set."""
    for left_out in ({}, {"identity_column": ""}, {"identity_column": None}):
        api = {**without("identity_column")["api"], **left_out, "user_id_column": "heap_id"}
        settings = parse_config(config(api=api)).settings.api
        assert isinstance(settings, TrackEvents)
        assert (settings.identity_column, settings.user_id_column) == (None, "heap_id")
