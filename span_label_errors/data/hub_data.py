"""Load a data set from the Hugging Face Hub by a name with a configuration and a split."""

import re
from typing import TYPE_CHECKING

from span_label_errors.data.hub import asking_hub
from span_label_errors.data.messages import shorten

if TYPE_CHECKING:
    from datasets import Dataset

# Short names, and the repositories that hold these data sets on the Hub today.
HUB_ALIASES = {"squad": "rajpurkar/squad", "squad_v2": "rajpurkar/squad_v2"}

_DEFAULT_SPLIT = "train"
_MAX_NAMES_SHOWN = 60


def load_from_hub(name: str, revision: str | None, instead: str) -> "Dataset":
    """Load one split of a data set.

    Parameters
    ----------
    name : str
        `repository`, `repository:split`, `repository:configuration` or `repository:configuration:split`. What stands
        alone is a split, unless it cannot be loaded as one and is the name of a configuration. Without a split it is
        `train`, or the only one that there is. A split may be a slice, such as `test[:100]`.
    revision : str, optional
        Branch, tag or commit.
    instead : str
        What the user can do without the Hub, for the message.

    Raises
    ------
    ConnectionError
        If it cannot be loaded; the message lists the configurations or splits that there are if the name is of others.
    """
    repository, *parts = re.split(r":(?![^\[\]]*\])", name)  # a slice has a colon of its own
    repository = HUB_ALIASES.get(repository, repository)
    with asking_hub(name, instead):
        if len(parts) > 2:
            raise ValueError(f"expected NAME:CONFIGURATION:SPLIT, found {len(parts) + 1} parts")
        configuration, split = parts if len(parts) == 2 else ("", "".join(parts))
        named = (configuration, split or _DEFAULT_SPLIT)
        try:
            return _load(repository, *named, revision)
        except ConnectionError:
            raise  # then the Hub will not say either which names there are
        except Exception as error:
            # What the library raises for an unknown configuration or split has no common type.
            meant = _meant(repository, configuration, split, revision, shorten(str(error), 300))
            if meant in (None, named):
                raise
        return _load(repository, *meant, revision)


def _load(repository: str, configuration: str, split: str, revision: str | None) -> "Dataset":
    import datasets  # 0.2 s, which files do without

    names = (repository, configuration) if configuration else (repository,)
    return datasets.load_dataset(*names, split=split, revision=revision)  # nosec B615 # no code comes with data


def _meant(
    repository: str, configuration: str, split: str, revision: str | None, reason: str
) -> tuple[str, str] | None:
    """Return the configuration and split that a name means which could not be loaded for a `reason`.

    None if the Hub does not say which there are; raises ValueError if there are others.
    """
    import datasets

    try:
        configurations = datasets.get_dataset_config_names(repository, revision=revision)
        if not configuration and split in configurations:
            configuration, split = split, ""
        if not configuration and len(configurations) == 1:
            configuration = configurations[0]
        splits = []
        if configuration in configurations:
            splits = datasets.get_dataset_split_names(repository, configuration, revision=revision)
    except Exception:
        return None  # no common type here either; the reason says more
    if configuration not in configurations:
        raise ValueError(
            f"{reason}; the configurations are {_shown(configurations)}: name one as {repository}:CONFIGURATION:SPLIT"
        )
    if not split:
        split = splits[0] if len(splits) == 1 else _DEFAULT_SPLIT
    if re.split(r"[\[+]", split)[0] not in splits:
        raise ValueError(f"the splits of {repository}:{configuration} are {_shown(splits)}; found {split!r}")
    return configuration, split


def _shown(names: list[str]) -> str:
    return ", ".join(names[:_MAX_NAMES_SHOWN]) + (", …" if len(names) > _MAX_NAMES_SHOWN else "")
