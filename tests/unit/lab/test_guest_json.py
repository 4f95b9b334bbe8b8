"""The tiny guest's JSON reader, an awk program for busybox: tenants choose what it reads."""

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.guest_root import TEMPLATES

# A zero byte can't be in a shell's variable, and trailing newlines are cut, as the shell would.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)


def value(path: Path, want: str) -> str:
    argv = ["busybox", "awk", "-v", f"want={want}", "-f", str(TEMPLATES / "json.awk"), str(path)]
    done = subprocess.run(argv, capture_output=True, check=True)
    return done.stdout.decode()


@pytest.mark.parametrize("ascii_only", [True, False])
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(hostname=TEXT, other=TEXT, key=TEXT)
def test_any_text_comes_out_as_it_went_in(
    tmp_path: Path, ascii_only: bool, hostname: str, other: str, key: str
) -> None:
    path = tmp_path / "meta_data.json"
    document = {"meta": {other: other, "hostname": other}, "hostname": hostname, "l": [other, key]}
    path.write_text(json.dumps(document, ensure_ascii=ascii_only), encoding="utf-8")
    assert value(path, "hostname").removesuffix("\n") == hostname.rstrip("\n")
    assert value(path, "l.1").removesuffix("\n") == key.rstrip("\n")


@pytest.mark.parametrize(
    "hostile", ['{{ 7*7 }}"', "a\nb", '","hostname":"evil', "\\", '\\"', "<x/>", "}]", "'$(id)'"]
)
def test_hostile_text_beside_the_hostname_does_not_become_it(tmp_path: Path, hostile: str) -> None:
    path = tmp_path / "meta_data.json"
    document = {"name": hostile, "meta": {hostile: hostile}, "hostname": "mine", "z": hostile}
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
    assert value(path, "hostname") == "mine\n"


def test_all_keys_are_listed_a_line_each(tmp_path: Path) -> None:
    path = tmp_path / "meta_data.json"
    keys = {"a": "ssh-ed25519 AAAA a\n", 'b"': "ssh-rsa BBBB"}
    path.write_text(json.dumps({"public_keys": keys, "keys": [{"data": "no"}]}), encoding="utf-8")
    assert value(path, "public_keys.*") == "ssh-ed25519 AAAA a\nssh-rsa BBBB\n"


def test_what_is_not_there_is_nothing(tmp_path: Path) -> None:
    path = tmp_path / "meta_data.json"
    path.write_text('{"hostname": null, "n": 5}', encoding="utf-8")
    assert value(path, "hostname") == ""
    assert value(path, "admin_pass") == ""


def test_large_metadata_is_read_in_passing(tmp_path: Path) -> None:
    path = tmp_path / "meta_data.json"
    document = {"meta": {f"k{i}": 'v\\"' * 120 for i in range(128)}, "hostname": "mine"}
    path.write_text(json.dumps(document), encoding="utf-8")
    assert value(path, "hostname") == "mine\n"
