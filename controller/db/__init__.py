"""The database: models, sessions and migrations. No vendor's SQL outside this package."""
