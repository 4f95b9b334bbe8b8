"""Migrations: alembic runs them, controller.db.migrate starts them."""
