package export_mica_driver_proto_driver

import (
	. "wit_component/mica_host_directory"

	wit "go.bytecodealliance.org/pkg/wit/types"
)

// inode is the identity of a node.
type inode struct{ device, number uint64 }

// copier copies a tree. It knows the first name of each inode that has several, as the names on the way from the top.
type copier struct {
	top   *Directory
	names map[inode][][]byte
}

// copyTree copies all of source, its own attributes included, into the empty directory target.
func copyTree(source, target *Directory) error {
	c := copier{target, map[inode][][]byte{}}
	return c.directory(source, target, nil)
}

func (c *copier) directory(source, target *Directory, way [][]byte) error {
	listing, err := try(source.List(nil))
	if err != nil {
		return err
	}
	defer listing.Drop()
	for {
		page, err := try(listing.Next())
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		for _, entry := range page {
			if err := c.entry(source, target, entry, append(way[:len(way):len(way)], entry.Name)); err != nil {
				return err
			}
		}
	}
	// After all that is in it: making a name changes the time of its directory.
	own, err := try(source.GetAttributes(nil))
	if err != nil {
		return err
	}
	if _, err := try(target.SetAttributes(changes(own.Attributes))); err != nil {
		return err
	}
	_, err = try(target.CopyOwnXattrs(source))
	return err
}

func (c *copier) entry(source, target *Directory, entry Entry, way [][]byte) error {
	found := entry.Attributes
	if found.Kind == NodeKindDirectory {
		return c.inner(source, target, entry, way)
	}
	if found.Links > 1 {
		node := inode{found.Device, found.Inode}
		if first, known := c.names[node]; known {
			return c.link(first, target, entry.Name)
		}
		c.names[node] = way
	}
	if err := node(source, target, entry); err != nil {
		return err
	}
	_, err := try(target.CopyXattrs(entry.Name, source, entry.Name))
	return err
}

func (c *copier) inner(source, target *Directory, entry Entry, way [][]byte) error {
	below, err := try(source.OpenDirectory(entry.Name))
	if err != nil {
		return err
	}
	defer below.Drop()
	made, err := try(target.CreateDirectory(entry.Name, entry.Attributes.Mode))
	if err != nil {
		return err
	}
	defer made.Drop()
	return c.directory(below, made, way)
}

// link gives the node that was copied as `first` a further name.
func (c *copier) link(first [][]byte, target *Directory, name []byte) error {
	here := c.top
	last := len(first) - 1
	for _, part := range first[:last] {
		next, err := try(here.OpenDirectory(part))
		if err != nil {
			return err
		}
		defer next.Drop()
		here = next
	}
	_, err := try(here.Link(first[last], target, name))
	return err
}

func node(source, target *Directory, entry Entry) error {
	name, found := entry.Name, entry.Attributes
	var err error
	switch found.Kind {
	case NodeKindRegular:
		return file(source, target, entry)
	case NodeKindSymlink:
		var to []byte
		if to, err = try(source.ReadLink(name)); err == nil {
			_, err = try(target.CreateSymlink(name, to))
		}
	default:
		_, err = try(target.CreateNode(name, special(found), found.Mode))
	}
	if err != nil {
		return err
	}
	_, err = try(target.SetEntryAttributes(name, changes(found)))
	return err
}

func file(source, target *Directory, entry Entry) error {
	made, err := try(target.CreateFile(entry.Name, entry.Attributes.Mode))
	if err != nil {
		return err
	}
	defer made.Drop()
	if entry.Attributes.Size > 0 {
		original, err := try(source.OpenFile(entry.Name))
		if err != nil {
			return err
		}
		defer original.Drop()
		// Within the host: the bytes never come here.
		if _, err := try(made.CopyContent(original)); err != nil {
			return err
		}
	}
	_, err = try(made.SetAttributes(changes(entry.Attributes)))
	return err
}

func changes(found Attributes) AttributeChanges {
	mode := wit.Some(found.Mode)
	if found.Kind == NodeKindSymlink {
		mode = wit.None[uint32]() // A symbolic link has none.
	}
	owner := wit.Some(Ownership{Uid: found.Uid, Gid: found.Gid})
	return AttributeChanges{Owner: owner, Mode: mode, Modified: wit.Some(found.Modified)}
}

func special(found Attributes) Node {
	numbers := wit.Tuple2[uint32, uint32]{F0: found.Major, F1: found.Minor}
	switch found.Kind {
	case NodeKindBlockDevice:
		return MakeNodeBlockDevice(numbers)
	case NodeKindCharacterDevice:
		return MakeNodeCharacterDevice(numbers)
	case NodeKindSocket:
		return MakeNodeSocket()
	default:
		return MakeNodeFifo()
	}
}
