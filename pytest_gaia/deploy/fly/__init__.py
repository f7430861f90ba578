"""Apps on Fly.io, by flyctl."""
