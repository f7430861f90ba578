"""Deploy files as they stand in the project (``fly.*.toml``, ``docker-compose.yml``), read into one model."""
