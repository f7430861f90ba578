"""HTML reports by Allure: their settings, their history, and a page that is safe to share."""
