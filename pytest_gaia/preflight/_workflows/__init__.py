"""Deployments in CI files of GitHub Actions and GitLab CI, in one model."""
