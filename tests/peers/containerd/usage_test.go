package suite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/mount"
	"github.com/containerd/containerd/namespaces"
	"github.com/containerd/containerd/snapshots"
	"github.com/containerd/containerd/snapshots/btrfs"
	"github.com/containerd/containerd/snapshots/native"
	"github.com/containerd/containerd/snapshots/overlay"
	"golang.org/x/sys/unix"
)

// peer opens containerd's own snapshotter that SNAP_PEER names, in an empty directory on the file system under test.
func peer(t *testing.T) snapshots.Snapshotter {
	root := os.Getenv("SNAP_PEER_ROOT")
	var sn snapshots.Snapshotter
	var err error
	switch name := os.Getenv("SNAP_PEER"); name {
	case "overlayfs":
		sn, err = overlay.NewSnapshotter(root)
	case "btrfs":
		sn, err = btrfs.NewSnapshotter(root)
	case "native":
		sn, err = native.NewSnapshotter(root)
	default:
		t.Fatalf("SNAP_PEER is %q", name)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sn.Close() })
	return sn
}

// work changes a mounted tree; the first error counts.
type work struct {
	top string
	err error
}

func (w *work) path(name string) string { return filepath.Join(w.top, name) }

func (w *work) do(err error) {
	if err != nil && w.err == nil {
		w.err = err
	}
}

func (w *work) dir(name string)               { w.do(os.Mkdir(w.path(name), 0755)) }
func (w *work) write(name string, size int)   { w.do(os.WriteFile(w.path(name), content(size), 0644)) }
func (w *work) link(from, to string)          { w.do(os.Link(w.path(from), w.path(to))) }
func (w *work) symlink(target, name string)   { w.do(os.Symlink(target, w.path(name))) }
func (w *work) node(name string, mode uint32) { w.do(unix.Mknod(w.path(name), mode|0600, 0x103)) }
func (w *work) remove(name string)            { w.do(os.RemoveAll(w.path(name))) }
func (w *work) chmod(name string, mode os.FileMode) {
	w.do(os.Chmod(w.path(name), mode))
}

// at writes at a place of a file that is there or not.
func (w *work) at(name string, offset int64, size int) {
	f, err := os.OpenFile(w.path(name), os.O_CREATE|os.O_WRONLY, 0644)
	w.do(err)
	if err == nil {
		_, err = f.WriteAt(content(size), offset)
		w.do(err)
		w.do(f.Close())
	}
}

func content(size int) []byte { return bytes.Repeat([]byte("0123456789abcde\n"), size/16+1)[:size] }

// layer is one step: what is done, and how many inodes of how many bytes containerd's btrfs counts in it that are only
// moved or linked, or had an attribute set: it compares names, Mica nodes.
type layer struct {
	name         string
	do           func(w *work)
	moved, bytes int64
}

var layers = []layer{
	{name: "base", do: func(w *work) {
		w.dir("sizes")
		// Around what file systems keep beside the inode, and around a block.
		for _, size := range []int{0, 1, 100, 2047, 2049, 4095, 4096, 4097, 100_000, 1 << 20} {
			w.write(fmt.Sprintf("sizes/%d", size), size)
		}
		w.at("sizes/sparse", 1<<20, 5000)
		w.do(os.Truncate(w.path("sizes/sparse"), 3<<20))
		w.dir("links")
		w.write("links/one", 9000)
		w.link("links/one", "links/two")
		w.link("links/one", "three")
		w.symlink("/etc", "links/short")
		w.symlink(strings.Repeat("a/", 450), "links/long")
		w.dir("nodes")
		w.node("nodes/char", unix.S_IFCHR)
		w.node("nodes/block", unix.S_IFBLK)
		w.node("nodes/pipe", unix.S_IFIFO)
		w.node("nodes/socket", unix.S_IFSOCK)
		w.dir("many")
		for i := 0; i < 300; i++ {
			w.write(fmt.Sprintf("many/%d", i), i*37)
		}
		w.dir("dir")
		w.dir("dir/inner")
		w.write("dir/inner/file", 5000)
		for i := 0; i < 8; i++ {
			w.write(fmt.Sprintf("kept-%d", i), 6000+i*5000)
		}
	}},
	{name: "changed", do: func(w *work) {
		w.remove("sizes/100")
		w.remove("sizes/4096")
		w.write("sizes/4096", 10_000)
		w.at("sizes/1048576", 1<<20, 50_000)
		w.at("sizes/100000", 50_000, 10)
		w.do(os.Truncate(w.path("sizes/4097"), 5))
		w.at("sizes/sparse", 2<<20, 5000)
		w.do(os.Chmod(w.path("kept-0"), 04755))
		w.do(os.Lchown(w.path("kept-1"), 7, 8))
		w.do(os.Chtimes(w.path("kept-2"), time.Unix(9, 9), time.Unix(8, 8)))
		_, err := os.ReadFile(w.path("kept-3"))
		w.do(err)
		w.do(os.Remove(w.path("links/two")))
		w.remove("links/short")
		w.symlink("/usr", "links/short")
		w.do(os.Lchown(w.path("nodes/char"), 1, 1))
		w.remove("nodes/pipe")
		w.node("nodes/pipe", unix.S_IFIFO)
		for i := 0; i < 300; i += 3 {
			w.remove(fmt.Sprintf("many/%d", i))
		}
		w.dir("new")
		w.write("new/first", 70_000)
		w.link("new/first", "new/second")
		w.at("new/sparse", 1<<16, 1)
		w.chmod("dir", 0700)
		w.remove("dir/inner")
		w.write("dir/inner", 4000)
		w.remove("kept-4")
		w.dir("kept-4")
		w.write("kept-4/file", 1)
		w.write("gone", 1<<20)
		w.remove("gone")
	}},
	{name: "untouched", do: func(w *work) {}},
	{name: "moved", do: func(w *work) {
		w.do(os.Rename(w.path("kept-5"), w.path("renamed")))
		w.link("kept-6", "linked")
		capability := []byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
		w.do(unix.Setxattr(w.path("kept-7"), "security.capability", capability, 0))
		// Overlay moves no directory of a layer below.
		if err := os.Rename(w.path("new"), w.path("away")); !errors.Is(err, syscall.EXDEV) {
			w.do(err)
		}
		w.write("after", 3)
	}, moved: 6, bytes: 32768 + 36864 + 45056 + 73728 + 4096},
	{name: "deleted", do: func(w *work) {
		for _, name := range []string{"sizes", "links", "nodes", "many", "dir"} {
			w.remove(name)
		}
	}},
}

// TestUsage makes the same layers with containerd's own snapshotter and with the one under test, side by side on one
// file system, and compares what both say that each takes: as long as it is changed, and ever after.
func TestUsage(t *testing.T) {
	ctx := namespaces.WithNamespace(context.Background(), "testsuite")
	sn := open(t)
	wipe(ctx, sn)
	defer wipe(ctx, sn)
	both := []snapshots.Snapshotter{peer(t), sn}
	o := snapshots.WithLabels(map[string]string{"containerd.io/gc.root": "x"})
	parent := ""
	for _, l := range layers {
		key, name := "active-"+l.name, "usage-"+l.name
		var found [2]snapshots.Usage
		for _, sn := range both {
			m, err := sn.Prepare(ctx, key, parent, o)
			if err != nil {
				t.Fatalf("%s: %v", l.name, err)
			}
			if err := change(t.TempDir(), m, l.do); err != nil {
				t.Fatalf("%s: %v", l.name, err)
			}
		}
		for i, sn := range both {
			found[i] = usage(t, sn, key)
		}
		compare(t, l, found)
		for i, sn := range both {
			if err := sn.Commit(ctx, name, key, o); err != nil {
				t.Fatalf("%s: %v", l.name, err)
			}
			if again := usage(t, sn, name); again != found[i] {
				t.Errorf("%s: %v, committed %v", l.name, found[i], again)
			}
		}
		parent = name
	}
}

func usage(t *testing.T, sn snapshots.Snapshotter, key string) snapshots.Usage {
	ctx := namespaces.WithNamespace(context.Background(), "testsuite")
	u, err := sn.Usage(ctx, key)
	if err != nil {
		t.Fatalf("%s: %v", key, err)
	}
	return u
}

// compare wants equal numbers, but for what is only moved.
func compare(t *testing.T, l layer, found [2]snapshots.Usage) {
	theirs, ours := found[0], found[1]
	t.Logf("%s: %d bytes, %d inodes", l.name, ours.Size, ours.Inodes)
	if os.Getenv("SNAP_PEER") == "btrfs" {
		theirs.Inodes -= l.moved
		theirs.Size -= l.bytes
	}
	if theirs != ours {
		t.Errorf("%s: containerd's own says %v, Mica %v", l.name, theirs, ours)
	}
}

// change mounts a snapshot, changes it, and waits until the device has it: st_blocks is about the device.
func change(target string, m []mount.Mount, do func(w *work)) error {
	if err := mount.All(m, target); err != nil {
		return err
	}
	defer mount.UnmountAll(target, 0)
	w := &work{top: target}
	do(w)
	if w.err != nil {
		return w.err
	}
	f, err := os.Open(target)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}
