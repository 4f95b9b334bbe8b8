"""Logging in by password: tries are limited, and a wrong name looks like a wrong password."""

import hashlib
import ipaddress
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from controller.core.passwords import verify
from controller.db.base import utcnow
from controller.db.models import AuthAttempt, Domain, User
from controller.db.session import Database
from controller.errors import TooManyRequests, Unauthorized
from controller.settings import Settings

WRONG = "The user or the password is wrong, or the user is disabled. Check both and try again."
# The count is read, the password verified and a failure counted while a place is held: requests
# sent all at once can't pass the limit by more than these two.
_places = threading.BoundedSemaphore(2)


def check_password(
    db: Database, settings: Settings, user: User | None, named: str, password: str, address: str
) -> User:
    """Return `user` when `password` is theirs.

    `user` None means that nobody is called `named` (any text that tells users apart); it takes as
    long. Raises Unauthorized, and TooManyRequests after too many failures within `auth_window_s`;
    see Subjects.
    """
    subjects = Subjects.of(user.id if user else named, _source(address))
    with _places:
        _refuse_excess(db, settings, subjects)
        fits = verify(user.password_hash if user else None, password)
        if user is None or not fits or not user.enabled:
            _count_failure(db, settings, subjects)
            raise Unauthorized(WRONG)
    return user


def find_user(
    session: Session,
    user_id: str | None,
    name: str | None,
    domain_id: str | None,
    domain_name: str | None,
) -> User | None:
    """Return the user with this id, or with this name in this domain; None when there is none, or
    when the domain is disabled."""
    query = select(User).join(Domain, Domain.id == User.domain_id).where(Domain.enabled)
    if user_id is not None:
        return session.scalar(query.where(User.id == user_id))
    query = query.where(User.name == name)
    in_domain = Domain.id == domain_id if domain_id is not None else Domain.name == domain_name
    return session.scalar(query.where(in_domain))


@dataclass(frozen=True, slots=True)
class Subjects:
    """The keys of the counts that a log-in is held against.

    The user from this address, the address whoever it tries, and the user from anywhere. The last
    shuts nobody out, or anybody could keep the administrator out: it only leaves each address one
    failure for this user.
    """

    pair: str
    address: str
    user: str

    @classmethod
    def of(cls, user: str, source: str) -> "Subjects":
        return cls(
            _subject("pair", f"{source} {user}"),
            _subject("address", source),
            _subject("user", user),
        )

    def __iter__(self) -> Iterator[str]:
        return iter((self.pair, self.address, self.user))

    def exhausted(self, settings: Settings, failures: Mapping[str, int]) -> list[str]:
        """Return those by whose count this log-in has to wait."""
        pair, address, user = (failures.get(subject, 0) for subject in self)
        besieged = user >= settings.auth_attempts_per_user
        waits = {
            self.pair: pair >= (1 if besieged else settings.auth_attempts),
            self.address: address >= settings.auth_attempts_per_address,
        }
        return [subject for subject, must_wait in waits.items() if must_wait]


def _subject(kind: str, name: str) -> str:
    """Return the key of a count: of one length whatever is sent as a name."""
    return f"{kind}:{hashlib.sha256(name.encode()).hexdigest()}"


def _source(address: str) -> str:
    """Return whose tries count together: an IPv4 address, or an IPv6 network of 64 bits."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 6:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address


def _refuse_excess(db: Database, settings: Settings, subjects: Subjects) -> None:
    with db.read() as session:
        query = select(AuthAttempt).where(AuthAttempt.subject.in_(list(subjects)))
        rows = list(session.scalars(query))
    now = utcnow()
    window = timedelta(seconds=settings.auth_window_s)
    ends = {row.subject: row.window_started_at + window for row in rows}
    failures = {row.subject: row.failures for row in rows if ends[row.subject] > now}
    waits = [ends[subject] for subject in subjects.exhausted(settings, failures)]
    if waits:
        wait_s = int((max(waits) - now).total_seconds()) + 1
        raise TooManyRequests(
            f"Too many failed log-ins. Try again in {wait_s} seconds.", retry_after_s=wait_s
        )


def _count_failure(db: Database, settings: Settings, subjects: Subjects) -> None:
    try:
        _add_failure(db, settings, subjects)
    except IntegrityError:
        # Another process made the row of the same subject first; now it is there to be raised.
        _add_failure(db, settings, subjects)


def _add_failure(db: Database, settings: Settings, subjects: Subjects) -> None:
    now = utcnow()
    oldest = now - timedelta(seconds=settings.auth_window_s)
    with db.write() as session:
        # Also what keeps the table small.
        session.execute(delete(AuthAttempt).where(AuthAttempt.window_started_at <= oldest))
        for subject in subjects:
            row = session.get(AuthAttempt, subject, with_for_update=True)
            if row is None:
                row = AuthAttempt(subject=subject, window_started_at=now, failures=0)
                session.add(row)
            row.failures += 1
