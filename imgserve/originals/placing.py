"""Files below a root as they get their place and lose it for good."""

import os
import stat

from imgserve.errors import ImageNotFound
from imgserve.model import file_version
from imgserve.originals.faults import writing
from imgserve.originals.incoming import Incoming
from imgserve.originals.moving import move_new
from imgserve.originals.names import check_id, parts_of
from imgserve.originals.root import Root


def place(root: Root, incoming: Incoming, image_id: str, *, replace: bool) -> str:
    """Give an incoming file its place, whole and on the disk, and tell its file version.

    Raises:
        BadImageId: no file may lie there.
        ImageExists: something there is in the way.
    """
    if parts_of(image_id) is None or not os.path.lexists(f"{root.path}/{image_id}"):
        check_id(image_id)  # what lies there already may be replaced under an odder name

    def move(folder: int, name: str) -> None:
        if not replace:
            move_new(incoming.folder, incoming.path.name, folder, name)
            return
        if (version := _version(folder, name)) is not None:
            incoming.differ(version)
        os.rename(incoming.path.name, name, src_dir_fd=incoming.folder, dst_dir_fd=folder)

    incoming.close()
    with writing():
        root.put(image_id, move)
        version = incoming.version
    incoming.placed()
    return version


def remove(root: Root, image_id: str) -> None:
    """Delete a file for good, and the folders that it leaves empty.

    Raises:
        ImageNotFound: there is none.
    """
    file_size(root, image_id)
    *above, name = image_id.split("/")
    with writing():
        try:
            with root.folder(above, make=False) as folder:
                os.unlink(name, dir_fd=folder.descriptor)
                os.fsync(folder.descriptor)
                folder.prune()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise ImageNotFound from error


def file_size(root: Root, image_id: str) -> int:
    """Tell the bytes of a file that may be served.

    Raises:
        ImageNotFound: there is none, or it is no regular file.
    """
    path = root.path_of(image_id)
    try:
        state = os.lstat(path)  # links were followed, and one that is there now has just come
    except OSError as error:
        raise ImageNotFound from error
    if not stat.S_ISREG(state.st_mode):
        raise ImageNotFound
    return state.st_size


def _version(folder: int, name: str) -> str | None:
    try:
        state = os.stat(name, dir_fd=folder)  # of what a link leads to, for that is what was served
    except OSError:  # nothing there, or nothing that was served
        return None
    return file_version(state.st_mtime_ns, state.st_size)
