"""Every route of every API against what no client of ours would send.

Whatever it is, the answer is a refusal in that API's own form, never a fault of ours: no 5xx but
the 501 of what is not built. Routes are read from the application, so a new one is tried too.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from controller.api.common.calls import Route
from controller.api.compute import routes as compute
from controller.api.compute import server_filters
from controller.api.identity import routes as identity
from controller.api.image import queries
from controller.api.image import routes as image
from controller.api.network import routes as network
from controller.api.novella import routes as novella
from controller.core import tokens
from controller.settings import Settings
from tests.api.conftest import Caller
from tests.api.whole_bodies import NOWHERE, whole_bodies

DIALECTS = ("identity", "image", "network", "compute", "placement", "novella")
TABLES = {
    f"/{name}": module.ROUTES
    for name, module in (
        ("identity", identity), ("image", image), ("network", network), ("compute", compute),
        ("novella", novella),
    )
}  # fmt: skip
LATEST = {"OpenStack-API-Version": "compute 2.96"}
JSON = "application/json"
WRITES = ("POST", "PUT", "PATCH")
UPLOAD = ("PUT", "/image/v2/images/<image_id>/file")
REFUSED = (400, 404, 410, 413, 415, 501)
PATCH_TYPE = "application/openstack-images-v2.1-json-patch"


@dataclass(frozen=True)
class Row:
    """A method and a path with its parameters in angle brackets; `route` None is a 501."""

    method: str
    path: str
    route: Route | None

    def at(self, value: str, values: Mapping[str, str] | None = None) -> str:
        """Return the path with `value` for each parameter, or with that of its name."""

        def fill(found: re.Match[str]) -> str:
            if found["any"]:
                return found["any"].split(",")[0]
            return (values or {}).get(found["name"], value)

        return re.sub(r"<(any\((?P<any>[^)]*)\):|path:)?(?P<name>\w+)>", fill, self.path)

    @property
    def is_public(self) -> bool:
        return self.route is not None and self.route.policy is None

    @property
    def takes_json(self) -> bool:
        return self.method in WRITES and (self.method, self.path) != UPLOAD


def rows(app: Flask, dialect: str) -> list[Row]:
    """Return every row of the dialect's URL table, and what answers 501."""
    table = {(row.method, row.path.rstrip("/")): row for row in TABLES.get(f"/{dialect}", ())}
    found = []
    for rule in app.url_map.iter_rules():
        if rule.rule.split("/")[1] != dialect:
            continue
        path = rule.rule.removeprefix(f"/{dialect}").rstrip("/")
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            found.append(Row(method, rule.rule, table.get((method, path))))
    assert found
    return found


class Refusals:
    """Looks at answers, and collects what is wrong with them for one assertion at the end."""

    def __init__(self, dialect: str) -> None:
        self.dialect = dialect
        self.wrong: list[str] = []
        self.seen = 0

    def look(self, answer: TestResponse, what: str, expected: tuple[int, ...] = ()) -> None:
        self.seen += 1
        status = answer.status_code
        if status >= 500 and status != 501:
            self.wrong.append(f"{what}: {status} {answer.text[:200]}")
        elif expected and status not in expected:
            self.wrong.append(f"{what}: {status}, expected {expected}: {answer.text[:200]}")
        elif status >= 400 and not self._is_in_form(answer):
            self.wrong.append(f"{what}: not in the API's form: {answer.text[:200]}")
        elif "x-openstack-request-id" not in answer.headers:
            self.wrong.append(f"{what}: {status} without a request id")
        answer.close()

    def _is_in_form(self, answer: TestResponse) -> bool:
        body, status = answer.get_json(silent=True), answer.status_code
        if not isinstance(body, dict):
            return False
        if self.dialect == "identity":
            return set(body["error"]) == {"code", "message", "title"}
        if self.dialect == "image":
            return set(body) == {"message", "code", "title"} and body["code"].startswith(
                str(status)
            )
        if self.dialect == "network":
            return set(body["NeutronError"]) == {"type", "message", "detail"}
        if self.dialect == "placement":
            return bool(body["errors"][0]["status"] == status and body["errors"][0]["detail"])
        (fault,) = body.values()
        return bool(fault["code"] == status and fault["message"])

    def assert_none_wrong(self) -> None:
        assert not self.wrong, f"{len(self.wrong)} of {self.seen}:\n" + "\n".join(self.wrong[:40])


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def refusals(dialect: str) -> Iterator[Refusals]:
    found = Refusals(dialect)
    yield found
    found.assert_none_wrong()


def test_no_route_is_open_to_who_has_no_valid_token(
    app: Flask, dialect: str, refusals: Refusals, alice: Caller, settings: Settings
) -> None:
    scope = tokens.Scope("project", alice.project_id)
    token = tokens.issue(settings, alice.user_id, scope, ("password",))
    expired = tokens.write(settings, replace(token, expires_at=token.issued_at))
    revoked = tokens.write(settings, tokens.issue(settings, alice.user_id, scope, ("password",)))
    caller = alice.using(revoked)
    assert caller.delete(
        "/identity/v3/auth/tokens", headers={"X-Subject-Token": revoked}
    ).status_code in (204, 403)
    for row in rows(app, dialect):
        if row.route is None or row.is_public:
            continue
        body = {"json": {}} if row.takes_json and row.path.count("<") == 0 else {}
        for name, value in (
            ("no token", None), ("forged", "gAAAAAB" + "x" * 200), ("expired", expired),
            ("revoked", revoked), ("NUL", "\x01"), ("long", "g" * 7000), ("empty", ""),
        ):  # fmt: skip
            answer = alice.using(value).call(row.method, row.at(NOWHERE), **body)
            refusals.look(answer, f"{name}: {row.method} {row.path}", (401,))


EVIL_VALUES: tuple[Any, ...] = (
    None, True, -1, 2**63, 10**30, 1e308, "", "x" * 70_000, "\ufffe", "9" * 5000, "{{ 7*7 }}",
    [], ["x"], [None], {}, {"x": {}}, ["x"] * 5000,
)  # fmt: skip


def some(values: Sequence[Any], turn: int, one_in: int = 4) -> Sequence[Any]:
    """Return some of the values, others at the next turn: all with all would take minutes."""
    return values[turn % one_in :: one_in]


def spoilt(body: Any) -> Iterator[tuple[str, Any]]:
    """Yield (where, body) with one value replaced, or one field too many, at each place."""
    places: list[tuple[str | int, ...]] = [()]
    for number, place in enumerate(places):
        value: Any = body
        for step in place:
            value = value[step]
        inner = range(len(value)) if isinstance(value, list) else value
        if isinstance(value, dict | list):
            places += [(*place, step) for step in inner]
            yield f"{place} with more", _with(body, place, _more(value))
        for evil in some(EVIL_VALUES, number):
            yield f"{place} = {str(evil)[:30]!r}", _with(body, place, evil)


def _more(value: Any) -> Any:
    return [*value, *value] if isinstance(value, list) else value | {"unknown": "field"}


def _with(body: Any, place: tuple[str | int, ...], evil: Any) -> Any:
    if not place:
        return evil
    changed = json.loads(json.dumps(body))
    holder = changed
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = evil
    return changed


def test_no_wrong_field_of_a_body_is_our_fault(
    app: Flask, dialect: str, refusals: Refusals, admin: Caller
) -> None:
    tried = {(row.method, row.path): row for row in rows(app, dialect) if row.route}
    bodies = {key: body for key, body in whole_bodies().items() if key[1].split("/")[1] == dialect}
    assert set(bodies) <= set(tried)
    for (method, path), body in bodies.items():
        mimetype = PATCH_TYPE if method == "PATCH" and dialect == "image" else JSON
        for where, changed in spoilt(body):
            raw = json.dumps(changed)
            answer = admin.call(
                method, tried[method, path].at(NOWHERE), data=raw, content_type=mimetype,
                headers=LATEST,
            )  # fmt: skip
            refusals.look(answer, f"{method} {path} {where}")


MALFORMED = {
    "cut off": b'{"server": {',
    "not UTF-8": b'{"name": "\xff\xfe"}',
    "UTF-16": '{"name": "x"}'.encode("utf-16"),
    "text": b'"x"',
    "number": b"7",
    "array": b"[7]",
    "array of objects": b"[{}]",
    "deep arrays": b"[" * 100_000,
    "deep objects": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "NaN": b'{"a": NaN}',
    "infinite": b'{"a": 1e999}',
    "long number": b'{"a": ' + b"9" * 10_000 + b"}",
    "NUL": b'{"a": "\\u0000"}',
    "surrogate": b'{"a": "\\ud800"}',
    "same key twice": b'{"a": 1, "a": [2]}',
    "form": b"a=1&b=2",
}


def test_malformed_bodies_are_refused_by_every_route_that_takes_one(
    app: Flask, dialect: str, refusals: Refusals, admin: Caller
) -> None:
    for row in rows(app, dialect):
        if not row.takes_json:
            continue
        for name, raw in MALFORMED.items():
            answer = admin.call(row.method, row.at(NOWHERE), data=raw, content_type=JSON)
            # 501 comes first where nothing is built, 404 and 410 where a version has no such path;
            # 413 where anybody may ask.
            refusals.look(
                answer, f"{name}: {row.method} {row.path}", (400, 404, 410, 413, 415, 501)
            )


def test_other_media_types_are_refused(
    app: Flask, dialect: str, refusals: Refusals, admin: Caller
) -> None:
    for row in rows(app, dialect):
        if row.method not in WRITES or row.route is None:
            continue
        for mimetype in (
            "text/plain", "application/xml", "multipart/form-data; boundary=x",
            "application/x-www-form-urlencoded", "x" * 5000, "application/json; charset=utf-7",
            ";;;===", "*/*", "text/json/../..",
        ):  # fmt: skip
            answer = admin.call(row.method, row.at(NOWHERE), data=b"<a/>", content_type=mimetype)
            refusals.look(answer, f"{mimetype[:40]}: {row.method} {row.path}", (400, 404, 415))


def test_a_body_of_100_mb_is_refused_by_every_route(
    app: Flask, dialect: str, refusals: Refusals, admin: Caller
) -> None:
    announced = {"wsgi.input": BytesIO(b"{"), "CONTENT_LENGTH": str(100 << 20)}
    for row in rows(app, dialect):
        if row.route is None or (row.method, row.path) == UPLOAD:
            continue
        path = row.at(NOWHERE)
        answer = admin.call(row.method, path, content_type=JSON, environ_overrides=announced)
        refusals.look(answer, f"{row.method} {row.path}", (413,))
        if row.method == "GET":
            continue
        unannounced = {
            "wsgi.input": BytesIO(b" " * (2 << 20)),
            "wsgi.input_terminated": True,
            "HTTP_TRANSFER_ENCODING": "chunked",
            "CONTENT_LENGTH": "",
        }
        answer = admin.call(row.method, path, content_type=JSON, environ_overrides=unannounced)
        refusals.look(answer, f"chunked: {row.method} {row.path}", (413,))


EVIL_SEGMENTS = (
    "%00", "%ff%fe", "9" * 400, "-1", str(2**63), "%F0%9F%A6%84", "..%2f..%2fetc",
    "'%20OR%201=1--", "x" * 4000, "%25", "{{7*7}}", "%0d%0aX-Evil:%201", "%ed%a0%80", "None",
    "detail%00", "1.5", "%2e%2e",
)  # fmt: skip


def test_no_path_is_our_fault(app: Flask, dialect: str, refusals: Refusals, admin: Caller) -> None:
    bodies = whole_bodies()
    for turn, row in enumerate(rows(app, dialect)):
        if "<" not in row.path or row.route is None:
            continue
        body = bodies.get((row.method, row.path))
        options = {} if body is None else {"json": body}
        for segment in some(EVIL_SEGMENTS, turn, 3):
            answer = admin.call(row.method, row.at(segment), headers=LATEST, **options)
            refusals.look(answer, f"{row.method} {row.path} {segment[:30]}")
            assert "X-Evil" not in answer.headers
    for path in (
        "%00",
        "%ff",
        "nowhere",
        "x" * 7000,
        "v2.1/servers/x/y/z",
        "v2.0/%00",
    ):
        answer = admin.get(f"/{dialect}/{path}")
        refusals.look(answer, path[:30], (400, 404))


def test_no_method_is_our_fault(
    app: Flask, dialect: str, refusals: Refusals, admin: Caller
) -> None:
    for path in {row.path for row in rows(app, dialect)}:
        row = Row("GET", path, None)
        for method in ("OPTIONS", "TRACE", "PROPFIND", "FOO"):
            answer = admin.call(method, row.at(NOWHERE))
            refusals.look(answer, f"{method} {path}", (405, 404))


EVIL_QUERIES = (
    "", "%00", "%ff", "-1", "9" * 30, str(2**63), "x" * 4000, "a|" * 2000, "(" * 2000, "%25%25",
    "in:" + "a," * 2000, 'in:"', "gt:x", "0001-01-01T00:00:00%2B23:59", "id:asc," * 500,
    "ip_address=%00", ".*" * 1000, NOWHERE,
)  # fmt: skip
PAGING = ("limit", "marker", "sort", "sort_key", "sort_dir", "page_reverse", "fields", "unknown")
FILTERS: dict[str, frozenset[str]] = {
    "/identity": frozenset(
        {"name", "domain_id", "enabled", "parent_id", "user.id", "role.id", "scope.project.id",
         "scope.domain.id", "scope.system", "effective", "include_names", "interface", "type",
         "service_id", "region_id", "nocatalog", "group.id"}
    ),
    "/image": frozenset(
        {*queries.AMONG, *queries.NUMBERS, *queries.MOMENTS, *queries.FLAGS, *queries.IGNORED,
         "tag", "visibility", "os_distro"}
    ),
    "/network": frozenset(
        {"id", "name", "description", "project_id", "tenant_id", "admin_state_up", "shared",
         "router:external", "mtu", "revision_number", "provider:network_type", "status",
         "provider:segmentation_id", "network_id", "ip_version", "cidr", "gateway_ip",
         "enable_dhcp", "fixed_ips", "ip_address", "subnet_id", "security_groups", "device_id",
         "device_owner", "binding:host_id", "binding:vnic_type", "mac_address", "direction",
         "protocol", "port_range_min", "security_group_id", "remote_group_id", "tags",
         "not-tags-any"}
    ),
    "/compute/v2.1/servers/detail": server_filters.KNOWN,
    "/compute": frozenset(
        {"is_public", "minRam", "minDisk", "tenant_id", "project_id", "user_id", "changes-since",
         "changes-before", "host", "binary", "with_servers", "hypervisor_hostname_pattern",
         "all_tenants", "deleted", "name", "type"}
    ),
    "/placement": frozenset(),
}  # fmt: skip


def filters_of(path: str) -> frozenset[str]:
    best = max((known for known in FILTERS if path.startswith(known)), key=len, default=None)
    return FILTERS[best] if best else frozenset()


@pytest.mark.parametrize("one_in", [len(EVIL_QUERIES), pytest.param(4, marks=pytest.mark.slow)])
def test_no_query_is_our_fault(
    app: Flask, dialect: str, refusals: Refusals, admin: Caller, one_in: int
) -> None:
    for row in rows(app, dialect):
        if row.method != "GET" or row.route is None or row.is_public or "<" in row.path:
            continue
        for turn, name in enumerate((*PAGING, *sorted(filters_of(row.path)))):
            for value in some(EVIL_QUERIES, turn, one_in):
                answer = admin.get(f"{row.path}?{name}={value}")
                refusals.look(answer, f"{row.path}?{name}={value[:40]}")
            if turn % one_in:
                continue
            query = "&".join(f"{name}={number}" for number in range(400))
            refusals.look(admin.get(f"{row.path}?{query}"), f"{row.path}?400 x {name}")
        for name in ("%00", "%ff", "x" * 4000, "__class__", "a[b]", "_", "properties"):
            refusals.look(admin.get(f"{row.path}?{name}=1"), f"{row.path}?{name[:30]}=1")
        many = "&".join(f"p{number}=1" for number in range(1000))
        refusals.look(admin.get(f"{row.path}?{many}"), f"{row.path}?1000 names", (400,))


def test_no_header_is_our_fault(
    app: Flask, dialect: str, refusals: Refusals, admin: Caller
) -> None:
    values = ("", "\x01", "\xff", "x" * 7000, "compute 2.999999999999999999999", "9" * 400, ",,,")
    names = (
        "OpenStack-API-Version", "X-OpenStack-Nova-API-Version", "X-Subject-Token", "Accept",
        "Range", "If-None-Match", "If-Modified-Since", "Content-Length", "Transfer-Encoding",
        "X-Forwarded-For", "X-Forwarded-Host", "Host", "Cookie", "Authorization", "Content-Type",
    )  # fmt: skip
    for row in [row for row in rows(app, dialect) if row.route and "<" not in row.path][:4]:
        for turn, name in enumerate(names):
            for value in some(values, turn):
                answer = admin.call(row.method, row.path, headers={name: value})
                refusals.look(answer, f"{row.path} {name}: {value[:20]!r}")
