"""What Allure is told of a run: statuses, labels, categories, and files beside the results.

Everything here is values and text. pytest and Allure's own libraries are met in ``plugin/allure``.
"""
