"""The command line: ``isthmus COMMAND``.

Commands are registered by name and imported when they are called, so that ``isthmus --help`` and
``isthmus info`` start without torch.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError
from rich.console import Console

from isthmus import __version__
from isthmus.cli.console import INTERRUPTED, TERMINATED, Terminated, ended_in_order, failure, last_words

__all__ = ["app", "main"]

app = App(
    name="isthmus",
    help="Autoencoders: train them on your data, use them like PCA, and see whether it was worth it.",
    help_epilogue=(
        "DATA is 'mnist', 'mnist:test', 'fashion-mnist', or a file that ends in .npy, .npz, .csv or .parquet. "
        "Start with: isthmus demo"
    ),
    version=__version__,
    error_console=Console(stderr=True),
    suppress_keyboard_interrupt=False,
)
app.command(
    "isthmus.cli.demo:demo",
    name="demo",
    help="Train the notebook's autoencoders on MNIST and write a report.",
)
app.command("isthmus.cli.fitting:fit", name="fit", help="Train an autoencoder on DATA and save it.")
app.command(
    "isthmus.cli.models:evaluate", name="evaluate", help="Say how well a model copies DATA, beside PCA."
)
app.command(
    "isthmus.cli.comparing:compare", name="compare", help="Hold autoencoders against PCA and others on DATA."
)
app.command("isthmus.cli.models:transform", name="transform", help="Write the codes of the rows of DATA.")
app.command(
    "isthmus.cli.models:inverse_transform",
    name="inverse-transform",
    help="Write the rows that codes stand for.",
)
app.command(
    "isthmus.cli.models:reconstruct",
    name="reconstruct",
    help="Write what is left of DATA after encoding and decoding.",
)
app.command(
    "isthmus.cli.compressing:compress", name="compress", help="Make bytes of the rows of DATA with a model."
)
app.command(
    "isthmus.cli.compressing:decompress", name="decompress", help="Make rows of compressed bytes again."
)
app.command(
    "isthmus.cli.about:info", name="info", help="Show versions and hardware, or what a saved model is."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows ``isthmus``; the process's own arguments by default.

    Returns
    -------
    code : int
        0; 2 for bad input, with one line on standard error; 130 after Ctrl-C, 143 after SIGTERM.
    """
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    with last_words(), ended_in_order():
        try:
            code = app(
                tokens, exit_on_error=False, print_error=False, result_action="return_value", verbose=False
            )
        except KeyboardInterrupt:
            return failure("Interrupted before the work was done.", INTERRUPTED)
        except Terminated:
            return failure("Asked to end before the work was done.", TERMINATED)
        except CycloptsError as error:
            command = next((token for token in tokens if token in app), "")
            return failure(f"{error} See 'isthmus {command + ' ' if command else ''}--help'.")
        except MemoryError as error:
            return failure(str(error) or "There is not enough memory.")
        except (ValueError, TypeError, OSError, ImportError) as error:
            if not is_users_mistake(error):
                raise
            return failure(str(error))
    return code if isinstance(code, int) else 0


def is_users_mistake(error: Exception) -> bool:
    """Return whether an error is about what the user gave, not a fault of ours."""
    from isthmus.errors import IsthmusError

    if isinstance(error, IsthmusError):
        return True
    # scikit-learn's checks of the data raise plain ValueError and TypeError.
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    raised_in = "" if trace is None else trace.tb_frame.f_globals.get("__name__", "")
    return raised_in.startswith("sklearn.utils") or isinstance(error, OSError)
