"""Errors of a full disk, in the form the core knows."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system says where no more can be written."""

_OS_ERROR = re.compile(r"os error (\d+)")
_TORCH_WRITER = re.compile(r"PytorchStreamWriter|inline_container|unexpected pos")


@contextlib.contextmanager
def disk_errors() -> Iterator[None]:
    """Turn what safetensors and torch raise where a file cannot be written into OSError with its errno.

    safetensors ends its message with "(os error N)"; torch's zip writer says no reason, and a full disk is assumed.
    """
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        found = _OS_ERROR.search(str(error))
        if found is None:
            raise
        number = int(found.group(1))
        raise OSError(number, os.strerror(number)) from error
    except RuntimeError as error:
        if _TORCH_WRITER.search(str(error)) is None:
            raise
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
