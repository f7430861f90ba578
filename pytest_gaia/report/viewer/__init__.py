"""The HTML report: what Allure is given, and what becomes of the page that it makes. Allure itself is run elsewhere."""
