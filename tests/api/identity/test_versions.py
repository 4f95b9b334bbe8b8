"""Discovery: what a client asks for before it logs in."""

from tests.api.conftest import Caller


def test_the_root_offers_version_three_with_status_300(anonymous: Caller) -> None:
    answer = anonymous.get("/identity")
    assert answer.status_code == 300
    version = answer.json["versions"]["values"][0]
    assert version["id"].startswith("v3")
    assert version["links"] == [{"rel": "self", "href": "http://127.0.0.1:8774/identity/v3/"}]


def test_version_three_describes_itself(anonymous: Caller) -> None:
    for path in ("/identity/v3", "/identity/v3/"):
        assert anonymous.get(path).json["version"]["status"] == "stable"


def test_unknown_paths_and_wrong_methods_are_refused_in_the_apis_form(anonymous: Caller) -> None:
    absent = anonymous.get("/identity/v3/nothing")
    assert (absent.status_code, absent.json["error"]["code"]) == (404, 404)
    wrong = anonymous.put("/identity/v3")
    assert (wrong.status_code, wrong.json["error"]["code"]) == (405, 405)
