"""Names that a constraint of the database holds unique."""

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from controller.errors import NameTaken


def flush(session: Session, noun: str, name: str, where: str = "") -> None:
    """Send what the session holds; raise NameTaken where the new `noun`'s name is taken."""
    try:
        session.flush()
    except IntegrityError as error:
        raise NameTaken(
            f"A {noun} named {name!r} is {where or 'there'} already. Choose another name."
        ) from error
