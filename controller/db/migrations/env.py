"""Alembic's entry: runs the migrations on the connection that controller.db.migrate opened."""

from alembic import context

from controller.db.models import Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    # SQLite changes a table by making it anew.
    render_as_batch=True,
    compare_type=True,
    # SQLite can: controller.db.session sends the BEGIN itself. Elsewhere alembic knows.
    transactional_ddl=True if connection.dialect.name == "sqlite" else None,
)
with context.begin_transaction():
    context.run_migrations()
