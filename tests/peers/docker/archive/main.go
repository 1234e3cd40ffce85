// Command archive writes an archive as moby does to its standard output.
//
//	archive DIRECTORY        of an upper directory, as overlay2 does
//	archive DIRECTORY OLD    of what differs between two trees, as NaiveDiffDriver does
//
// Upstream builds moby with a copy of archive/tar that does not look names of users and groups up, and later versions
// of moby do not either. Debian builds it with Go's own, which does. So the reference is made where no names are known:
// /etc/passwd and /etc/group are empty.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/docker/docker/pkg/archive"
)

func run() error {
	if len(os.Args) != 2 && len(os.Args) != 3 {
		return fmt.Errorf("usage: %s DIRECTORY [OLD]", os.Args[0])
	}
	for _, file := range []string{"/etc/passwd", "/etc/group"} {
		if known, err := os.ReadFile(file); err != nil || len(known) > 0 {
			return fmt.Errorf("%s must be there and empty", file)
		}
	}
	stream, err := open(os.Args[1:])
	if err != nil {
		return err
	}
	_, err = io.Copy(os.Stdout, stream)
	return err
}

func open(trees []string) (io.ReadCloser, error) {
	if len(trees) == 1 {
		return archive.TarWithOptions(trees[0], &archive.TarOptions{
			Compression:    archive.Uncompressed,
			WhiteoutFormat: archive.OverlayWhiteoutFormat,
		})
	}
	changes, err := archive.ChangesDirs(trees[0], trees[1])
	if err != nil {
		return nil, err
	}
	return archive.ExportChanges(trees[0], changes, nil, nil)
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
