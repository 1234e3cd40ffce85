// Command archive writes the archive that moby's overlay2 makes of an upper directory to its standard output.
//
//	archive DIRECTORY
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
	if len(os.Args) != 2 {
		return fmt.Errorf("usage: %s DIRECTORY", os.Args[0])
	}
	for _, file := range []string{"/etc/passwd", "/etc/group"} {
		if known, err := os.ReadFile(file); err != nil || len(known) > 0 {
			return fmt.Errorf("%s must be there and empty", file)
		}
	}
	stream, err := archive.TarWithOptions(os.Args[1], &archive.TarOptions{
		Compression:    archive.Uncompressed,
		WhiteoutFormat: archive.OverlayWhiteoutFormat,
	})
	if err != nil {
		return err
	}
	_, err = io.Copy(os.Stdout, stream)
	return err
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
