"""The form of a courier group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from heap_courier.console.visit import Form

_NOTHING: Final = ("", "0")  # no duration


@dataclass(frozen=True, slots=True)
class Member:
    """A courier of the group, or another group that it waits for, as entered in the form."""

    name: str = ""
    wait: str = ""
    offset: str = ""
    missing: str = "stop"


@dataclass(frozen=True, slots=True)
class GroupForm:
    """The content of the form."""

    name: str = ""
    schedule: str = "30 8 * * *"
    time_zone: str = "UTC"
    enabled: bool = True
    couriers: tuple[Member, ...] = (Member(),)
    constraints: tuple[Member, ...] = ()
    warn_after: str = ""
    dates_in_time_zone: bool = False
    past_day_only: bool = False
    stitch: bool = False
    done_by: str = ""

    def section(self, old: Mapping[str, Any]) -> dict[str, Any]:
        """The group's section of heap-courier.yaml.

        Settings of the old section stay unchanged if they have the same meaning, or are not in the form.
        """
        couriers = {each.get("courier"): each for each in old.get("couriers") or ()}
        groups = {each.get("group"): each for each in old.get("constraints") or ()}
        status = "enabled" if self.enabled else "disabled"
        if old and old.get("status", True) is self.enabled:
            status = old.get("status", "")
        settings: dict[str, Any] = {
            "schedule": self.schedule or None,
            "time-zone": self.time_zone if "time-zone" in old or self.time_zone != "UTC" else None,
            "status": status if status != "" else None,
            "couriers": [_courier(member, couriers.get(member.name, {})) for member in self.couriers],
            "constraints": [_constraint(member, groups.get(member.name, {})) for member in self.constraints] or None,
            "warn-after": None if self.warn_after in _NOTHING else self.warn_after,
            "dates-in-time-zone": self.dates_in_time_zone or (False if "dates-in-time-zone" in old else None),
            "past-day-only": self.past_day_only or (False if "past-day-only" in old else None),
            "stitch": self.stitch or (False if "stitch" in old else None),
            "sla": {"done-by": self.done_by} if self.done_by else None,
        }
        return _changed(old, settings)


def form_of_fields(form: Form) -> GroupForm:
    """The form as sent by the browser."""
    return GroupForm(
        form.get("name"),
        " ".join(form.get("schedule").split()),
        form.get("time-zone") or "UTC",
        form.get("status", "enabled") == "enabled",
        tuple(_member(row) for row in form.rows("courier")),
        tuple(_member(row) for row in form.rows("constraint")),
        form.get("warn-after"),
        form.has("dates-in-time-zone"),
        form.has("past-day-only"),
        form.has("stitch"),
        form.get("done-by"),
    )


def form_of_section(name: str, section: Mapping[str, Any]) -> GroupForm:
    """The form of an existing group."""
    return GroupForm(
        name,
        str(section.get("schedule") or ""),
        str(section.get("time-zone") or "UTC"),
        section.get("status") not in (False, "disabled"),
        tuple(_member_of(each, "courier") for each in section.get("couriers") or ()),
        tuple(_member_of(each, "group") for each in section.get("constraints") or ()),
        str(section.get("warn-after") or ""),
        section.get("dates-in-time-zone") is True,
        section.get("past-day-only") is True,
        section.get("stitch") is True,
        str((section.get("sla") or {}).get("done-by") or ""),
    )


def _member(row: Form) -> Member:
    return Member(row.get("name"), row.get("wait"), row.get("offset"), row.get("missing", "stop"))


def _member_of(settings: Mapping[str, Any], kind: str) -> Member:
    return Member(
        str(settings.get(kind, "")),
        str(settings.get("wait") or ""),
        str(settings.get("offset") or ""),
        str(settings.get("missing") or "stop"),
    )


def _courier(member: Member, old: Mapping[str, Any]) -> dict[str, Any]:
    is_usual = member.missing == "stop" and "missing" not in old
    return _changed(
        old, {"courier": member.name, **_durations(member), "missing": None if is_usual else member.missing}
    )


def _constraint(member: Member, old: Mapping[str, Any]) -> dict[str, Any]:
    return _changed(old, {"group": member.name, **_durations(member)})


def _durations(member: Member) -> dict[str, str | None]:
    return {"wait": _duration(member.wait), "offset": _duration(member.offset)}


def _duration(text: str) -> str | None:
    return None if text in _NOTHING else text


def _changed(old: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The old section with changed settings, in the old order; None removes a setting."""
    return {key: value for key, value in {**old, **settings}.items() if value is not None}
