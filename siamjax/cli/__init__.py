"""The command line: finds a command's file, parses its fields, runs it, reports errors in a line.

Each `siamjax/cli/<command>.py` defines a frozen dataclass `Command` whose `run()` returns a
JSON-ready summary. Only the chosen command's file is imported, so that the others cost nothing.
"""

import difflib
import importlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from siamjax.memory import keep_memory

COMMANDS = {
    "track": "follow objects through a video, pictures, a webcam or a stream",
    "evaluate": "run and score a benchmark from its own folders",
    "trax": "let VOT's toolkit drive a tracker, by the TraX protocol",
    "report": "put finished evaluations of several trackers beside each other",
    "train": "train or fine-tune a recipe",
    "pack": "pack a recipe's data once, to train from it faster",
    "convert": "turn a published PyTorch checkpoint into a safe .npz",
    "info": "parameters, shapes and cost of a model or weights file",
    "tune": "choose a tracker's constants on training clips",
    "embed": "turn pictures or texts into embeddings by a trained tower",
    "verify": "tell how far apart two pictures or texts are",
    "search": "find what is nearest to a picture or text among many",
    "bench": "measure the speed of each part on this machine",
}
INTERRUPTED = 130
USAGE = 2


def cache_folder() -> Path:
    """Give the user's cache folder for this package, which may not exist yet."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "siamjax"


def enable_compile_cache() -> None:
    """Keep compiled programs between runs, in the user's cache folder.

    JAX's own settings win: a `JAX_COMPILATION_CACHE_DIR` in the environment, or
    `JAX_ENABLE_COMPILATION_CACHE=false`.
    """
    import jax

    if jax.config.values["jax_compilation_cache_dir"] is None:
        jax.config.update("jax_compilation_cache_dir", str(cache_folder() / "jax"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _help() -> str:
    from siamjax import __version__

    lines = [f"siamjax {__version__}: Siamese tracking on JAX", ""]
    lines += ["usage: siamjax COMMAND [options]    (siamjax COMMAND --help)", ""]
    lines += [f"  {name:<9} {text}" for name, text in COMMANDS.items()]
    return "\n".join([*lines, "", "  --version"])


def _parse(name: str, arguments: Sequence[str]):
    import tyro

    module = importlib.import_module(f"siamjax.cli.{name}")
    if hasattr(module, "parse"):  # a command whose fields depend on its arguments
        return module.parse(arguments)
    about = COMMANDS[name][0].upper() + COMMANDS[name][1:] + "."
    return tyro.cli(module.Command, prog=f"siamjax {name}", description=about, args=list(arguments))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: without the program's name; the process's own by default.

    Returns:
        The exit status: 0, 2 for a wrong call or input, 130 when interrupted.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if arguments else USAGE
    name, rest = arguments[0], arguments[1:]
    if name in ("--version", "-V"):
        from siamjax import __version__

        print(f"siamjax {__version__}")
        return 0
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        known = ", ".join(COMMANDS)
        print(f"siamjax: error: unknown command {name!r}: {hint}known are {known}", file=sys.stderr)
        return USAGE
    try:
        keep_memory()
        command = _parse(name, rest)
        enable_compile_cache()
        summary = command.run()
    except KeyboardInterrupt:
        print("siamjax: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, OSError) as error:
        print(f"siamjax: error: {error}", file=sys.stderr)
        return USAGE
    if command.json:
        print(json.dumps(summary), flush=True)
    return 0
