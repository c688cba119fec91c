"""`greenopt init`: a first study file."""

import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from greenopt.cli.options import is_interactive, named_path
from greenopt.cli.output import say
from greenopt.errors import ProblemsError, UsageError, shown

if TYPE_CHECKING:
    from greenopt.spec.starter import Starter


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("init")(init)


def init(
    output: Annotated[
        Path, typer.Option("--output", "-o", callback=named_path, help="The file that is written.")
    ] = Path("study.toml"),
    data: Annotated[
        str | None, typer.Option(help="Data set by name, such as cifar100. Default: digits, or what --path leads to.")
    ] = None,
    path: Annotated[str | None, typer.Option(help="Your own images.")] = None,
    model: Annotated[
        str | None, typer.Option(help="A model of keras.applications, or module:function. Default: ResNet50.")
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PARAMETER", help="What varies: lr, batch_size, optimizer, ... Repeatable, or with commas."
        ),
    ] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="How many trials. Default: 8.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of each trial. Default: 3.")] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Side that all images are scaled to, in pixels. Default: as they are, where a model takes them so.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Write a first study file, commented and ready to run.

    In a terminal, without --data, --path, --model, --vary, --trials, --epochs and --image-size, it asks for them.
    Images of different sizes, or too small for the model, are scaled, and few images get small batches: the file says
    to what.
    """
    from greenopt.spec.starter import Starter

    given: dict[str, Any] = {
        "data": data if data is not None or path is None else _kind_of(path),
        "path": path,
        "model": model,
        "vary": _listed(vary),
        "trials": trials,
        "epochs": epochs,
        "image_size": image_size,
    }
    if output.exists() and not (force and output.is_file()):
        raise UsageError(f"{output}: is there already; name another file with --output, or write over it with --force")
    if all(value is None for value in given.values()) and is_interactive():
        given = _asked()
    starter = _fitted(Starter(**{name: value for name, value in given.items() if value is not None}), output)
    _write(output, starter.text())
    say(f"{output}: {starter.model} on {starter.data}, {starter.trials} trials; {', '.join(starter.vary)} vary")
    if starter.image_size is not None and image_size is None:
        say(f"all images are scaled to {starter.image_size}x{starter.image_size}; data.image_size in the file says so")
    named = shlex.quote(str(output))
    say(f"next: greenopt run {named} --dry-run  ·  greenopt run {named}")


def _listed(vary: list[str] | None) -> tuple[str, ...] | None:
    names = [name.strip() for each in vary or () for name in each.split(",") if name.strip()]
    if vary and not names:
        raise UsageError("--vary: name at least one parameter")
    return tuple(dict.fromkeys(names)) or None


def _kind_of(path: str) -> str:
    """Return the data set's name for images of one's own: a folder of class folders, or a file of arrays."""
    from greenopt.spec import DataSet

    has_folders = "folder" in tuple(DataSet)
    return "folder" if has_folders and Path(path).expanduser().is_dir() else "npz"


def _asked() -> dict[str, Any]:
    """Ask for what the study is made of; Enter takes what is proposed, and a wrong answer is asked for again."""
    from greenopt.spec.starter import DEFAULT_VARY, Starter

    plain = Starter()
    asked = "Images: a data set (digits, cifar10, cifar100, tfds:NAME, hf:OWNER/NAME) or the path of your own"
    data = typer.prompt(asked, plain.data, value_proc=_data_of)
    return {
        **data,
        "model": typer.prompt("Model: of keras.applications, or module:function", plain.model, value_proc=_model_of),
        "vary": typer.prompt("What varies", ", ".join(DEFAULT_VARY), value_proc=_varying_of),
        "trials": typer.prompt("Trials", str(plain.trials), value_proc=_count_of),
        "epochs": typer.prompt("Epochs of each", str(plain.epochs), value_proc=_count_of),
    }


def _data_of(answer: str) -> dict[str, str | None]:
    """Return data set and path that an answer names; raises typer.BadParameter, and is asked again."""
    from difflib import get_close_matches

    from greenopt.spec import DataSet, DataSpec

    answer = answer.strip()
    if answer.startswith(("tfds:", "hf:")):
        name = _valid(answer, lambda name: DataSpec.model_validate({"name": name}))
        return {"data": name, "path": None}
    if "/" in answer or Path(answer).expanduser().exists():
        if not Path(answer).expanduser().exists():
            raise typer.BadParameter(f"{shown(answer, 60)}: no such file or folder")
        return {"data": _kind_of(answer), "path": answer}
    named = [str(each) for each in DataSet if not each.is_own]
    if answer in named:
        return {"data": answer, "path": None}
    close = get_close_matches(answer, named, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(named)}"
    raise typer.BadParameter(f"{shown(answer, 60)}: neither a data set nor a file or folder; {hint}")


def _model_of(answer: str) -> str:
    from greenopt.spec import TrainingSpec

    return _valid(answer.strip(), lambda model: TrainingSpec(epochs=1, model=model))


def _valid(answer: str, check: Callable[[str], object]) -> str:
    """Return an answer; raises typer.BadParameter where a table of a study file does not take it."""
    from pydantic import ValidationError

    try:
        check(answer)
    except ValidationError as error:
        raise typer.BadParameter(f"{shown(answer, 60)}: {error.errors()[0]['msg']}") from None
    return answer


def _varying_of(answer: str) -> tuple[str, ...]:
    from greenopt.spec.starter import CHOICES

    names = _listed([answer]) or ()
    unknown = next((name for name in names if name not in CHOICES), None)
    if unknown is not None or not names:
        raise typer.BadParameter(f"{shown(unknown or answer, 60)}: name some of {', '.join(CHOICES)}")
    return names


def _count_of(answer: str) -> int:
    from greenopt.spec.setting import MAX_COUNT

    text = answer.strip()
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and 0 < int(text) <= MAX_COUNT):
        raise typer.BadParameter(f"{shown(answer, 60)}: is not a whole number from 1 on")
    return int(text)


def _fitted(starter: "Starter", output: Path) -> "Starter":
    """Return the starter with images that its model takes, and batch sizes for which there are enough of them.

    Raises:
        UsageError: its study would not run.
    """
    while (problems := _problems(starter.text(), output)) is not None:
        mended = _mended(starter, problems)
        if mended is None:
            raise ProblemsError(problems)
        starter = mended
    return starter


def _mended(starter: "Starter", problems: Sequence[str]) -> "Starter | None":
    """Return a starter without one of its problems; None where they are of another kind."""
    from dataclasses import replace

    from greenopt.spec.starter import BATCH_SIZES

    for problem in problems:
        proposed = re.search(r"set data\.image_size (?:= |to .*such as )(\d+)$", problem)
        if proposed is not None and starter.image_size is None:
            return replace(starter, image_size=int(proposed[1]))
    smaller = BATCH_SIZES[BATCH_SIZES.index(tuple(starter.batch_sizes)) + 1 :]
    if smaller and all(problem.startswith("space.batch_size: ") for problem in problems):
        return replace(starter, batch_sizes=smaller[0])
    return None


def _problems(text: str, output: Path) -> Sequence[str] | None:
    """Return what keeps a study from running, before its file is there: beside it, in another folder; None if nothing.

    Raises:
        UsageError: its file cannot be written there.
    """
    import tempfile

    from greenopt.coordination.preflight import check_study
    from greenopt.spec import load_study

    if not output.parent.is_dir():
        raise UsageError(f"{output}: there is no folder {output.parent}")
    with tempfile.TemporaryDirectory() as elsewhere:
        file = Path(elsewhere) / output.name
        file.write_text(text, encoding="utf-8", errors="surrogateescape")
        try:
            check_study(load_study(file, folder=output.parent), file)
        except UsageError as error:
            found = error.problems if isinstance(error, ProblemsError) else (str(error),)
            return [problem.removeprefix(f"{file}: ").replace(str(file), str(output)) for problem in found]
    return None


def _write(output: Path, text: str) -> None:
    from greenopt.files import write_whole

    try:
        write_whole(output, text.encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise UsageError(f"{output}: cannot be written: {error.strerror or error}") from None
