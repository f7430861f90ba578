"""What the project's CI does, as far as it deploys: GitHub Actions and GitLab CI, read into one model."""
