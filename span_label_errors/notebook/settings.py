"""What the parameters of both notebooks have in common: how they are taken, checked and recorded."""

import ast
import difflib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, WrapValidator

from span_label_errors.data.hub import local_path
from span_label_errors.data.messages import describe
from span_label_errors.data.sources import DEMOS, FILE_SUFFIXES
from span_label_errors.files import check_writable, clone_root, project_root
from span_label_errors.model.embedded import EMBEDDED

EMBEDDED_NAMES = (*DEMOS, *EMBEDDED)


class ParameterError(ValueError):
    """Raised when parameters are unknown, of the wrong type, out of range, or contradict each other."""


def _source(source: str) -> str:
    found = source_path(source)
    if found not in EMBEDDED_NAMES and not Path(found).is_absolute() and Path(found).exists():
        raise ValueError(
            f"{source!r} is in the working directory, but relative paths start at the project's root "
            f"({project_root()}); give the absolute path"
        )
    return found


def _absolute(path: str) -> str:
    return str((project_root() / local_path(path)).resolve())


def _file(path: str) -> str:
    file = _absolute(path)
    if not Path(file).is_file():
        raise ValueError(f"no such file: {file} (relative paths start at the project's root)")
    return file


def _as_given(value: object, validate: Callable[[object], object]) -> object:
    # A whole number stays one: a fold's key tells 4 from 4.0, and so must not depend on who passed it on.
    validate(value)
    return value


def field(default: object, description: str, **limits: float) -> object:
    """Return a parameter: its default, the help that tables and parameters cells show, and limits of pydantic's."""
    return Field(default, description=description, **limits)


Source = Annotated[str, AfterValidator(_source)]  # a path, or the name of something embedded or on the Hub
Folder = Annotated[str, AfterValidator(_absolute)]  # written to
File = Annotated[str, AfterValidator(_file)]  # must be there
Number = Annotated[float, WrapValidator(_as_given)]
OptionalNumber = Annotated[float | None, WrapValidator(_as_given)]
LARGEST_SEED = 2**32 - 1  # what scikit-learn takes


class Parameters(BaseModel):
    """What the classes of parameters have in common; relative paths become absolute, from the project's root."""

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True, protected_namespaces=()
    )

    @classmethod
    def from_notebook(cls, namespace: Mapping[str, object]) -> Self:
        """Take the parameters from `globals()` of a notebook, after the parameters cell and papermill's.

        Raises
        ------
        ParameterError
            Names every parameter that is unknown or wrong, or that the cell does not set.
        """
        names = [*cls.model_fields, *_injected_names(namespace)]
        found = cls.from_values({name: namespace[name] for name in names if name in namespace})
        missing = [name for name in cls.model_fields if name not in namespace]
        if missing:
            raise ParameterError(
                f"{', '.join(missing)}: expected in the parameters cell, found no variable of that name"
            )
        return found

    @classmethod
    def from_values(cls, given: Mapping[str, object]) -> Self:
        """Take the given parameters, and the defaults of the others; raises ParameterError as `from_notebook`."""
        try:
            return cls.model_validate(dict(given))
        except ValidationError as error:
            # Unknown names first: one may be what was meant by a value that does not fit.
            details = sorted(error.errors(), key=lambda detail: detail["type"] != "extra_forbidden")
            problems = "\n  ".join(_problem(detail, cls.model_fields) for detail in details)
            raise ParameterError(f"the parameters are wrong:\n  {problems}") from None

    def prepare_folders(self) -> None:
        """Create the folders that are written to; raises OSError if one cannot be written."""
        for name, value in self:
            if name.endswith("_dir"):
                check_writable(value)

    def as_json(self) -> dict:
        """Return the parameters as they are recorded: paths inside a clone without its folder, others absolute."""
        record, root = self.model_dump(), clone_root()
        for name, value in record.items():
            # Outside a clone, a relative path would mean another file in another working directory.
            if root and isinstance(value, str) and Path(value).is_relative_to(root):
                record[name] = str(Path(value).relative_to(root))
        return record


def source_path(source: str) -> str:
    """Return a data set's or checkpoint's path as an absolute one; a name (embedded, or on the Hub) stays as it is."""
    path = _absolute(source)
    is_path = source.startswith((".", "~")) or source.endswith(FILE_SUFFIXES) or Path(path).exists()
    return path if is_path and source not in EMBEDDED_NAMES else source


def _injected_names(namespace: Mapping[str, object]) -> list[str]:
    """Return the names that papermill's cell assigns: papermill only warns if the notebook does not know one."""
    injected = [source for source in namespace.get("In", []) if source.startswith("# Parameters\n")]
    # If the cell ran several times, the last counts.
    statements = ast.parse(injected[-1]).body if injected else []
    return [ast.unparse(node.targets[0]) for node in statements if isinstance(node, ast.Assign)]


def _problem(detail: Mapping, known: Iterable[str]) -> str:
    """Return one of pydantic's errors as a line that names the parameter, what was expected and what was found."""
    name = detail["loc"][0] if detail["loc"] else ""
    if detail["type"] == "value_error":
        message = str(detail["ctx"]["error"])
        return message if not name or message.startswith(f"{name}: ") else f"{name}: {message}"
    if detail["type"] == "extra_forbidden":
        nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"known are {', '.join(known)}"
        return f"{name}: no such parameter; {hint}"
    problem = f"{name}: {detail['msg'].replace('Input should be', 'expected')}, found {describe(detail['input'])}"
    if detail["type"].endswith("_type") and isinstance(detail["input"], str):
        # papermill's -p passes true, none and lists as text, and so it does with NumPy's numbers.
        problem += "; with papermill give numbers bare, and other values as -y 'name: value'"
    return problem
