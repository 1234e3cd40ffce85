"""my-driver, a storage driver in Python: every layer is a complete copy of its parent.

    <room>/files   the layer's files

It exports `proto-driver` and knows nothing of archives: Mica composes it with its naive-diff component.
"""

from contextlib import contextmanager

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import home, mounts
from wit_world.imports.directory import (
    AttributeChanges,
    Directory,
    Entry,
    Node_BlockDevice,
    Node_CharacterDevice,
    Node_Fifo,
    Node_Socket,
    NodeKind,
    Ownership,
)
from wit_world.imports.mica_driver_types import (
    Description,
    Error_Host,
    Error_Invalid,
    HostFailure,
    OwnContent_Complete,
)
from wit_world.imports.mica_host_types import Failure

FILES = b"files"


@contextmanager
def doing(what):
    """Says what was being done when a host call failed: the host shows both."""
    try:
        yield
    except Err as failed:
        if isinstance(failed.value, Failure):
            raise Err(Error_Host(HostFailure(what, failed.value))) from None
        raise


class ProtoDriver(exports.ProtoDriver):
    def describe(self):
        return Description(
            name="my-driver",
            version="0.1.0",
            summary="Copies every layer.",
            options=[],
            content=OwnContent_Complete(FILES),
        )

    def init(self, options):
        for key, _ in options:
            raise Err(Error_Invalid(f"option `{key}` is not known; there are none"))

    # Stage, fill, publish. Until the last line no one sees the layer; if anything fails, nothing of it stays.
    def create(self, id, parent, options):
        with doing(f"create layer `{id}`"):
            staged = home.stage()
            with staged.room() as room, room.create_directory(FILES, 0o755) as files:
                if parent is not None:
                    with home.open(parent) as below, below.open_directory(FILES) as theirs:
                        copy_tree(theirs, files)
            home.publish(staged, id)

    def create_read_write(self, id, parent, options):
        self.create(id, parent, options)

    def remove(self, id):
        with doing(f"remove layer `{id}`"):
            home.discard(id)

    # A view is a mount that the host attaches; `bind` shows one directory.
    def get(self, id, access, mount_label):
        with doing(f"mount layer `{id}`"):
            with home.open(id) as room, room.open_directory(FILES) as files:
                return mounts.bind(files, access)

    def put(self, id):
        pass

    def exists(self, id):
        with doing(f"look for layer `{id}`"):
            return home.exists(id)

    def status(self):
        return []

    def metadata(self, id):
        return []

    def cleanup(self):
        pass


def copy_tree(source: Directory, target: Directory):
    """Copies all of `source`, its own attributes included, into the empty directory `target`."""
    Copy(target).directory(source, target, ())


class Copy:
    def __init__(self, top: Directory):
        self.top = top
        # The first name of each inode that has several, as the names on the way from the top.
        self.names: dict[tuple[int, int], tuple[bytes, ...]] = {}

    def directory(self, source: Directory, target: Directory, way: tuple[bytes, ...]):
        with source.list([]) as listing:
            while page := listing.next():
                for entry in page:
                    self.entry(source, target, entry, (*way, entry.name))
        # After all that is in it: making a name changes the time of its directory.
        target.set_attributes(attributes(source.get_attributes([])))
        target.copy_own_xattrs(source)

    def entry(self, source: Directory, target: Directory, entry: Entry, way: tuple[bytes, ...]):
        name, found = entry.name, entry.attributes
        if found.kind is NodeKind.DIRECTORY:
            with source.open_directory(name) as inner, target.create_directory(name, found.mode) as made:
                self.directory(inner, made, way)
            return
        if found.links > 1:
            first = self.names.setdefault((found.device, found.inode), way)
            if first is not way:
                self.link(first, target, name)
                return
        self.node(source, target, entry)
        target.copy_xattrs(name, source, name)

    def node(self, source: Directory, target: Directory, entry: Entry):
        name, found = entry.name, entry.attributes
        match found.kind:
            case NodeKind.REGULAR:
                with target.create_file(name, found.mode) as made:
                    if found.size:
                        with source.open_file(name) as original:
                            made.copy_content(original)  # Within the host: the bytes never come here.
                    made.set_attributes(attributes(entry))
                return
            case NodeKind.SYMLINK:
                target.create_symlink(name, source.read_link(name))
            case _:
                target.create_node(name, special(entry), found.mode)
        target.set_entry_attributes(name, attributes(entry))

    def link(self, first: tuple[bytes, ...], target: Directory, name: bytes):
        """Gives the node that was copied as `first` a further name."""
        *parents, last = first
        here, opened = self.top, []
        try:
            for part in parents:
                here = here.open_directory(part)
                opened.append(here)
            here.link(last, target, name)
        finally:
            for directory in reversed(opened):
                directory.__exit__(None, None, None)


def attributes(entry: Entry) -> AttributeChanges:
    found = entry.attributes
    # A symbolic link has no mode.
    mode = None if found.kind is NodeKind.SYMLINK else found.mode
    return AttributeChanges(Ownership(found.uid, found.gid), mode, found.modified, [])


def special(entry: Entry):
    numbers = (entry.attributes.major, entry.attributes.minor)
    match entry.attributes.kind:
        case NodeKind.BLOCK_DEVICE:
            return Node_BlockDevice(numbers)
        case NodeKind.CHARACTER_DEVICE:
            return Node_CharacterDevice(numbers)
        case NodeKind.SOCKET:
            return Node_Socket()
        case _:
            return Node_Fifo()
