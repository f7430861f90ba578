"""``gaia help`` and ``gaia completion``."""

import os
from contextlib import redirect_stdout, suppress
from io import StringIO
from typing import Annotated

import typer

from pytest_gaia.errors import ConfigError, nearest

SHELLS = ("bash", "zsh", "fish")

EXIT_CODES = """\
Exit codes of `gaia` and of pytest with pytest-gaia:

    0  success; a run: PROMOTE or PARTIAL
    1  a test failed (REJECT), or the command found a problem
    2  pytest was interrupted
    3  internal error of pytest
    4  usage or configuration error; nothing was changed
    5  pytest collected no tests
   10  DRIFT: an expectation is out of date
   11  HOLD: inconclusive, too few tests ran or results are incomplete
   12  INFRA: the environment or the deploy tool is unreachable
   13  another deployment or promotion is in progress
  130  interrupted (Ctrl-C)
"""

TOPICS = {"exit-codes": EXIT_CODES}

HELP = """\
Show the help of a command or a topic.

\b
  gaia help
  gaia help deploy
  gaia help exit-codes
"""

COMPLETION_HELP = """\
Print the completion script of a shell.

\b
  gaia completion bash > ~/.local/share/bash-completion/completions/gaia
  gaia completion zsh > ~/.zfunc/_gaia          with ~/.zfunc in fpath
  gaia completion fish > ~/.config/fish/completions/gaia.fish

Commands, options, environments and services are completed.
"""

app = typer.Typer()


@app.command("help", help=HELP)
def show_topic(
    topic: Annotated[
        str, typer.Argument(metavar="COMMAND|TOPIC", help="Topics: exit-codes", autocompletion=lambda: [*TOPICS])
    ],
) -> None:
    """Print a topic; the help of a command is shown by the group of commands."""
    if topic not in TOPICS:
        raise ConfigError(f"no help for {topic!r}; {nearest(topic, TOPICS)} Commands: gaia --help.")
    typer.echo(TOPICS[topic], nl=False)


@app.command("completion", help=COMPLETION_HELP)
def print_completion(
    shell: Annotated[
        str, typer.Argument(metavar="SHELL", help="bash, zsh or fish", autocompletion=lambda: list(SHELLS))
    ],
) -> None:
    """Call ``gaia`` in the mode in which typer prints the script."""
    # Here, because the table of commands names this module.
    from pytest_gaia.cli.app import root

    if shell not in SHELLS:
        raise ConfigError(f"no completion for {shell!r}; {nearest(shell, SHELLS)}")
    os.environ["_GAIA_COMPLETE"] = f"source_{shell}"
    script = StringIO()
    try:
        with redirect_stdout(script), suppress(SystemExit):
            root()(prog_name="gaia")
    finally:
        del os.environ["_GAIA_COMPLETE"]
    # zsh reads `#compdef` in the first line only.
    typer.echo(script.getvalue().strip())
