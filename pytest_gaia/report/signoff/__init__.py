"""The release report: what a release manager has to know of one release, as values, and their HTML and Markdown. Pure."""
