"""PostgreSQL: a transaction for each test, read-only wherever writing is not permitted."""
