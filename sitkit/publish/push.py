"""Put a folder on the Hugging Face hub, by its own client; the token is the environment's or the login's."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from sitkit.errors import HubError, RecipeError, reason
from sitkit.plugin_support import quiet

Kind = Literal["model", "dataset"]

_LONGEST = 400
_SAID = {
    401: "does not accept the token (HF_TOKEN, or that of `hf auth login`)",
    403: "does not let this token write there",
    404: "knows no such organisation, or does not show it to this token",
}


def check_push(repo: str) -> None:
    """Raise `RecipeError` for a name that is none, and `HubError` without a token or with the hub switched off."""
    from huggingface_hub import constants, get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise RecipeError(f"--push {repo}: expected ORG/NAME as on the hub") from error
    if "/" not in repo:
        raise RecipeError(f"--push {repo}: expected ORG/NAME; your own user name is an ORG")
    if constants.is_offline_mode():
        raise HubError("--push needs the hub, and HF_HUB_OFFLINE is set")
    if get_token() is None:
        raise HubError("--push needs a token that may write: set HF_TOKEN, or log in once with `hf auth login`")


def push(folder: Path, repo: str, kind: Kind, *, public: bool = False) -> str:
    """Upload the folder's files and return where they are; the repository is made where there is none, private unless
    ``public``.

    What lies there already under the same names is replaced; what a stopped upload has sent is not sent again. Raises
    `HubError` saying how to try again without making the folder anew.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    api = HfApi()
    again = f"the folder is written; `hf upload {repo} {folder} . --repo-type {kind}` sends it"
    try:
        with quiet():
            made = api.create_repo(repo, repo_type=kind, private=not public, exist_ok=True)
            api.upload_folder(repo_id=repo, repo_type=kind, folder_path=folder, commit_message="Written by sitkit")
    except (HTTPError, OSError) as error:
        status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
        words = _SAID.get(status or 0)
        if words is None:
            words = f"did not take it: {reason(error).replace(get_token() or '-', '…')[:_LONGEST]}"
        raise HubError(f"{repo}: {api.endpoint} {words}; {again}") from error
    return str(made)
