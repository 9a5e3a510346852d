"""The only door to disk and buckets.

Owns folders of named objects on a local disk or in a Google Cloud Storage
bucket, behind one interface: whole writes, conditional writes by generation,
verified transfers, and one bounded retry policy. Does not know what the objects
hold. Other modules open paths only that came from here.

The client of Google Cloud Storage is imported when a bucket is first used.
"""

from trainer.errors import StorageError
from trainer.storage.address import (
    Address,
    canonical,
    is_bucket,
    is_name,
    join,
    split_address,
)
from trainer.storage.folder import ABSENT, Conflict, Entry, Folder, Generation, NotFound
from trainer.storage.limits import DEADLINE_SECS
from trainer.storage.local import LocalFolder

__all__ = [
    "ABSENT",
    "DEADLINE_SECS",
    "Address",
    "Conflict",
    "Entry",
    "Folder",
    "Generation",
    "NotFound",
    "StorageError",
    "canonical",
    "is_bucket",
    "is_name",
    "join",
    "open_folder",
    "split_address",
]


def open_folder(address: Address) -> Folder:
    """Give the folder at an address. No input or output: it need not exist.

    Args:
        address: `gs://bucket/prefix`, or a path, absolute or relative to the
            working folder.

    Raises:
        ConfigError: The address is malformed.
    """
    spelled = canonical(address)
    if is_bucket(spelled):
        from trainer.storage.bucket import BucketFolder

        return BucketFolder(spelled)
    return LocalFolder(spelled)
