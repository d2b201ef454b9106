"""Access to the console."""

# ruff: noqa: S104, S105, S106  (addresses and tokens of tests)

from __future__ import annotations

from pathlib import Path

import pytest

from courier.unit_tests.console.visitor import Visitor, visitor
from heap_courier.console.gate import COOKIE, Access, destination
from heap_courier.console.server import Place
from heap_courier.errors import SetupError

TOKEN = "0123456789abcdef0123"


class TestOtherWebsites:
    @pytest.mark.parametrize("host", ["evil.example", "evil.example:8480", "127.0.0.1.evil.example", "", "localhost."])
    def test_an_unknown_host_name_is_refused(self, visits: Visitor, host: str) -> None:
        """Otherwise a website could make its own name resolve to 127.0.0.1, and read the responses (DNS rebinding)."""
        assert visits.get("/", host=host).status == 421

    @pytest.mark.parametrize("host", ["127.0.0.1:8480", "localhost:8480", "LOCALHOST", "[::1]:8480", "[::1]"])
    def test_this_computer_gets_the_page(self, visits: Visitor, host: str) -> None:
        assert visits.get("/", host=host).status == 200

    @pytest.mark.parametrize(
        "headers",
        [
            {"origin": "http://evil.example"},
            {"origin": "null"},
            {"origin": "http://127.0.0.1:9999"},
            {"origin": "http://localhost:8480"},
            {"sec_fetch_site": "cross-site"},
            {"sec_fetch_site": "same-site"},
        ],
    )
    def test_another_site_cannot_change_anything(self, visits: Visitor, folder: Path, headers: dict[str, str]) -> None:
        assert visits.ask("POST", "/project", b"", headers).status == 403
        assert not folder.exists()

    def test_the_consoles_own_pages_can_change_things(self, visits: Visitor, folder: Path) -> None:
        answer = visits.post("/project", origin="http://127.0.0.1:8480", sec_fetch_site="same-origin")
        assert answer.status == 200
        assert (folder / "heap-courier.yaml").exists()

    def test_another_site_cannot_include_parts_of_it(self, visits: Visitor) -> None:
        """Such as an image whose loading time reveals something; but it may link here."""
        assert visits.get("/", sec_fetch_site="cross-site", sec_fetch_dest="image").status == 403
        assert visits.get("/", sec_fetch_site="cross-site", sec_fetch_dest="document").status == 200

    def test_the_policy_forbids_framing_and_inline_scripts(self, visits: Visitor) -> None:
        policy = visits.get("/").headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy

    def test_pages_are_not_cached(self, visits: Visitor) -> None:
        assert visits.get("/").headers["cache-control"] == "no-store"


class TestToken:
    @pytest.fixture
    def guarded(self, folder: Path) -> Visitor:
        return visitor(folder, Access(TOKEN, frozenset({"console.example"}), secure=True))

    def test_without_it_only_the_sign_in_form_is_available(self, guarded: Visitor) -> None:
        answer = guarded.get("/tables?x=1")
        assert (answer.status, answer.headers["location"]) == (303, "/sign-in?next=/tables")
        assert guarded.ask("POST", "/project").status == 401
        assert guarded.get("/", accept="application/json").status == 401
        assert "Token" in guarded.get("/sign-in").text

    @pytest.mark.parametrize("token", ["", "0123456789abcdef0124", "ü", TOKEN + "x"])
    def test_a_wrong_one_is_refused(self, guarded: Visitor, token: str) -> None:
        answer = guarded.post("/sign-in", {"token": token})
        assert answer.status == 401
        assert "set-cookie" not in answer.headers

    def test_the_right_one_opens_a_session(self, guarded: Visitor) -> None:
        answer = guarded.ask("POST", "/sign-in?next=/", f"token={TOKEN}".encode())
        cookie = answer.headers["set-cookie"]
        assert answer.headers["location"] == "/"
        assert all(word in cookie for word in ("HttpOnly", "SameSite=strict", "Secure"))
        assert TOKEN not in cookie
        assert guarded.get("/", cookie=cookie.partition(";")[0]).status == 200
        assert guarded.get("/", cookie=f"{COOKIE}=other").status == 303

    def test_the_health_check_needs_no_token(self, guarded: Visitor) -> None:
        """For supervisors, which may know only the console's address."""
        answer = guarded.get("/health", host="10.0.0.7:8480")
        assert (answer.status, answer.html) == (200, "The console is running.")

    def test_a_program_sends_it_as_a_bearer_token(self, guarded: Visitor) -> None:
        assert guarded.get("/", authorization=f"Bearer {TOKEN}").status == 200
        assert guarded.get("/", authorization="Bearer wrong").status == 303

    def test_an_allowed_host_name_is_accepted(self, guarded: Visitor) -> None:
        assert guarded.get("/sign-in", host="console.example").status == 200
        assert guarded.get("/sign-in", host="other.example").status == 421

    @pytest.mark.parametrize("query", ["next=https://evil.example", "next=//evil.example", "next=/%5Cevil.example", ""])
    def test_login_redirects_only_to_the_console(self, query: str) -> None:
        assert destination(query) == "/"


class TestPlaces:
    @pytest.mark.parametrize(
        ("place", "words"),
        [
            (Place("0.0.0.0"), "set a token"),
            (Place("192.0.2.7"), "set a token"),
            (Place(names=("console.example",)), "set a token"),
            (Place("0.0.0.0", token=TOKEN), "without encryption"),
            (Place("0.0.0.0", token=TOKEN, certificate=Path("c")), "--tls-key"),
            (Place(token="short"), "too short"),
            (Place(token="ü" * 20), "ASCII"),
        ],
    )
    def test_other_computers_cannot_reach_it_unprotected(self, place: Place, words: str) -> None:
        with pytest.raises(SetupError, match=words):
            place.access()

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
    def test_this_computer_needs_no_token(self, host: str) -> None:
        assert Place(host).access().token is None

    def test_a_proxy_speaks_tls(self) -> None:
        access = Place("0.0.0.0", names=("Console.example",), behind_proxy=True, token=TOKEN).access()
        assert access == Access(TOKEN, frozenset({"console.example"}), secure=True)


def test_metrics_are_for_those_who_have_the_token(folder: Path) -> None:
    visits = visitor(folder, Access(TOKEN))
    assert visits.get("/metrics", accept="*/*").status == 401
    assert visits.get("/metrics", accept="*/*", authorization=f"Bearer {TOKEN}").status == 200
