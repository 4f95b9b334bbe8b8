"""The first domain, roles, project and user of a cloud, and its id."""

from sqlalchemy.orm import Session

from controller.core.passwords import hash_password
from controller.db.base import new_id
from controller.db.models import CloudSetting, Domain, Project, Role, RoleAssignment, User
from controller.db.session import Database
from controller.keys import make_keys
from controller.settings import Settings

DEFAULT_DOMAIN = "default"
ROLES = ("admin", "member", "reader")


def bootstrap(settings: Settings, db: Database, admin_password: str) -> str:
    """Make what a cloud begins with, and return its id.

    Default domain, roles, project and user `admin` with the role admin on the project and on the
    system; keys. Run again, it adds what is missing and changes nothing else: a password that was
    set stays.
    """
    make_keys(settings)
    password_hash = hash_password(admin_password)
    with db.write() as session:
        cloud_id = _cloud_id(session)
        _first_of_all(session, password_hash)
        return cloud_id


def _cloud_id(session: Session) -> str:
    setting = session.get(CloudSetting, "cloud_id")
    if setting is None:
        setting = CloudSetting(name="cloud_id", value=new_id())
        session.add(setting)
    return setting.value


def _first_of_all(session: Session, password_hash: str) -> None:
    if session.get(Domain, DEFAULT_DOMAIN) is None:
        session.add(Domain(id=DEFAULT_DOMAIN, name="Default", description="The default domain"))
        session.flush()
    roles = {role.name: role for role in session.query(Role).filter(Role.name.in_(ROLES))}
    for name in ROLES:
        if name not in roles:
            roles[name] = Role(name=name)
            session.add(roles[name])
    project = session.query(Project).filter_by(domain_id=DEFAULT_DOMAIN, name="admin").one_or_none()
    if project is None:
        project = Project(
            domain_id=DEFAULT_DOMAIN,
            name="admin",
            parent_id=DEFAULT_DOMAIN,
            description="The operators' own project",
        )
        session.add(project)
    user = session.query(User).filter_by(domain_id=DEFAULT_DOMAIN, name="admin").one_or_none()
    if user is None:
        user = User(domain_id=DEFAULT_DOMAIN, name="admin", password_hash=password_hash)
        session.add(user)
    session.flush()
    for target_type, target_id in (("project", project.id), ("system", "all")):
        key = (user.id, target_type, target_id, roles["admin"].id)
        if session.get(RoleAssignment, key) is None:
            session.add(
                RoleAssignment(
                    user_id=user.id,
                    target_type=target_type,
                    target_id=target_id,
                    role_id=roles["admin"].id,
                )
            )
