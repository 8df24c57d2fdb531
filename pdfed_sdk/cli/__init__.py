"""The command line: ``pdfed``. Each command is a few lines over the SDK; no logic of its own.

Exit codes: 0 ok, 1 unexpected, 2 usage, 10-19 chain, 20-29 contract refused, 30-39 store and packages,
40-49 data, training and scoring, 50-59 audit, demo and environment, 130 interrupted.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer
from rich.markup import escape

from pdfed_sdk.cli import chain, founding, host, model, node, relay, score, store, training, watch, withdrawing
from pdfed_sdk.cli.output import err, out
from pdfed_sdk.errors import EnvironmentProblem, PdfedError

app = typer.Typer(
    name="pdfed",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,  # help is plain text: markup would swallow the name of a section such as [node]
)
host.add_to(app)
founding.add_to(chain.task, node.app)
withdrawing.add_to(node.app)
app.add_typer(chain.task, name="task")
app.add_typer(chain.stake, name="stake")
app.add_typer(chain.reward, name="reward")
app.add_typer(chain.events, name="events")
app.add_typer(node.app, name="node")
app.add_typer(model.app, name="model")
app.add_typer(score.app, name="score")
app.add_typer(store.app, name="store")
app.add_typer(relay.app, name="relay")
chain.add_to(app)
watch.add_to(app)
training.add_to(app)


def tell_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        out.print(version("pdfed-sdk"), highlight=False)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=tell_version, is_eager=True, help="Its version.")
    ] = False,
) -> None:
    """Train diffusion models together without a server: nodes, votes and rewards on an EVM chain."""


def main() -> None:
    """Run a command and leave with the documented exit code."""
    try:
        app(prog_name="pdfed", standalone_mode=True)
    except PdfedError as error:
        err.print(f"[bold red]error:[/] {escape(error.message)}")
        if error.hint:
            err.print(f"  next: {escape(error.hint)}")
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        lacking = (error.name or "").partition(".")[0]
        extra = next((name for name, modules in host.EXTRAS.items() if lacking in modules), None)
        if extra is None:
            raise
        err.print(f"[bold red]error:[/] this command needs the package {lacking}, which is not installed")
        err.print(escape(f"  next: pip install 'pdfed-sdk[{extra}]'"))
        sys.exit(EnvironmentProblem.exit_code)
    except KeyboardInterrupt:
        err.print("interrupted")
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(0)
    except OSError as error:
        err.print(f"[bold red]error:[/] {escape(str(error))}")
        sys.exit(1)
