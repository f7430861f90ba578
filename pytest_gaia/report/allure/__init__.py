"""Results for Allure: statuses, labels, categories, and the files next to the results.

Everything here is values and text. ``plugin/allure`` connects it to pytest and to Allure's libraries.
"""
