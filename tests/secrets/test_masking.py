from __future__ import annotations

import pytest

from pytest_gaia.secrets.masks import mask_of, unkeyed
from pytest_gaia.secrets.redaction import masker


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("token is FlyV1 fm2_lJPECAAA==,fm2_b/c+d", "token is ***"),
        ("old one: fo1_Zxcv-bnm_1", "old one: ***"),
        ("connecting to postgres://gaia:pa55@db/gaia", "connecting to postgres://gaia:***@db/gaia"),
        ('"password": "hunter2",', '"password": "***",'),
        ("\x1b[31mError\x1b[0m\x07 bell", "Error bell"),
        ("\x1b]0;title\x07text", "text"),
        ("\x9b2J \u202eevil\u200b\ufe0f", r"\u009b2J \u202eevil\u200b\ufe0f"),
        ("format fm, form_1, info1_x", "format fm, form_1, info1_x"),
    ],
)
def test_a_line_is_fit_to_be_shown(line: str, shown: str) -> None:
    assert unkeyed(masker({})(line)) == shown


def test_values_of_variables_that_are_secret_by_name_are_masked() -> None:
    mask = masker({"GAIA_STAGING_API_KEY": "gk-1234567", "DEPLOY_PASSWORD": "correct horse", "HOME": "/home/gaia"})

    assert mask("gk-1234567 and correct horse in /home/gaia") == (
        f"{mask_of('gk-1234567')} and {mask_of('correct horse')} in /home/gaia"
    )


def test_each_of_several_tokens_in_one_variable_is_masked() -> None:
    mask = masker({"FLY_API_TOKEN": "first-token,second-token"})

    assert mask("uses second-token") == f"uses {mask_of('second-token')}"
