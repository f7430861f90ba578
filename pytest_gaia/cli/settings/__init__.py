"""Commands that show environments and their deploy files."""
