"""S3 and a folder behind one protocol: keys, addresses, content types.

``open_store(settings)`` gives the store that the configuration asks for. Both stores pass the same behaviour tests.
"""

from objectstore.folder import FolderStore
from objectstore.keys import FileType, object_key, slug, sniff
from objectstore.s3 import S3Store
from objectstore.settings import ObjectStoreSettings
from objectstore.types import ObjectInfo, ObjectRef, ObjectStore, StoredObject

__all__ = [
    "FileType",
    "FolderStore",
    "ObjectInfo",
    "ObjectRef",
    "ObjectStore",
    "ObjectStoreSettings",
    "S3Store",
    "StoredObject",
    "object_key",
    "open_store",
    "slug",
    "sniff",
]


def open_store(settings: ObjectStoreSettings) -> ObjectStore:
    """The store of the configuration: S3 where ``AWS_ACCESS_KEY_ID`` is set, else the folder ``DATA_DIR/objects``.

    Touches neither network nor disk; ``check()`` does.
    """
    if settings.aws_access_key_id is not None:
        return S3Store(settings)
    return FolderStore(settings)
