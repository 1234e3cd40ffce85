package suite

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/mount"
	"github.com/containerd/containerd/namespaces"
	"github.com/containerd/containerd/snapshots"
	"golang.org/x/sys/unix"
)

const (
	first = 100000
	many  = 65536
)

// userNamespace makes a user namespace with the mapping of the test and opens it.
func userNamespace(t *testing.T) *os.File {
	t.Helper()
	maps := []syscall.SysProcIDMap{{ContainerID: 0, HostID: first, Size: many}}
	sleep := exec.Command("sleep", "1000")
	sleep.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER, UidMappings: maps, GidMappings: maps, Pdeathsig: syscall.SIGKILL,
	}
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { sleep.Process.Kill(); sleep.Wait() }()
	file, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", sleep.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

// showMapped makes a directory visible elsewhere with other owners.
func showMapped(t *testing.T, namespace *os.File, from, to string) {
	t.Helper()
	tree, err := unix.OpenTree(unix.AT_FDCWD, from, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		t.Fatalf("open %s: %v", from, err)
	}
	defer unix.Close(tree)
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(namespace.Fd())}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		t.Fatalf("map %s: %v", from, err)
	}
	if err := unix.MoveMount(tree, "", unix.AT_FDCWD, to, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		t.Fatalf("mount %s: %v", to, err)
	}
	t.Cleanup(func() { unix.Unmount(to, unix.MNT_DETACH) })
}

// mountMapped does what containerd 2 does with mounts that have a mapping: it maps the lower directories of an overlay, and
// anything else as a whole.
func mountMapped(t *testing.T, mounts []mount.Mount, target string) {
	t.Helper()
	if len(mounts) != 1 {
		t.Fatalf("mounts: %v", mounts)
	}
	m, asked := mounts[0], 0
	var options []string
	for _, option := range m.Options {
		switch option {
		case fmt.Sprintf("uidmap=0:%d:%d", first, many), fmt.Sprintf("gidmap=0:%d:%d", first, many):
			asked++
		default:
			options = append(options, option)
		}
	}
	if asked != 2 {
		t.Fatalf("no mapping in %v", m.Options)
	}
	namespace := userNamespace(t)
	if m.Type == "bind" {
		showMapped(t, namespace, m.Source, target)
		return
	}
	for i, option := range options {
		if !strings.HasPrefix(option, "lowerdir=") {
			continue
		}
		lowers := strings.TrimPrefix(option, "lowerdir=")
		var mapped []string
		for n, lower := range strings.Split(lowers, ":") {
			to := filepath.Join(t.TempDir(), fmt.Sprint(n))
			if err := os.Mkdir(to, 0o700); err != nil {
				t.Fatal(err)
			}
			showMapped(t, namespace, lower, to)
			mapped = append(mapped, to)
		}
		options[i] = "lowerdir=" + strings.Join(mapped, ":")
	}
	m.Options = options
	if err := m.Mount(target); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(target, unix.MNT_DETACH) })
}

func owner(t *testing.T, path string) string {
	t.Helper()
	var found unix.Stat_t
	if err := unix.Lstat(path, &found); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d:%d", found.Uid, found.Gid)
}

// fill makes a committed snapshot on a parent with files of several owners.
func fill(ctx context.Context, t *testing.T, sn snapshots.Snapshotter, name, parent string, o snapshots.Opt) {
	t.Helper()
	mounts, err := sn.Prepare(ctx, name+"-active", parent, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := mount.WithTempMount(ctx, mounts, func(root string) error {
		for file, id := range map[string]int{"root": 0, "user": 1000, "beyond": 70000} {
			path := filepath.Join(root, name+"-"+file)
			if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
				return err
			}
			if err := os.Chown(path, id, id); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := sn.Commit(ctx, name, name+"-active", o); err != nil {
		t.Fatal(err)
	}
}

// TestMappedOwners mounts snapshots that were prepared with a mapping of owners, and looks who owns what.
func TestMappedOwners(t *testing.T) {
	ctx := namespaces.WithNamespace(context.Background(), "testsuite")
	sn := open(t)
	wipe(ctx, sn)
	t.Cleanup(func() { wipe(ctx, sn) })
	o := snapshots.WithLabels(map[string]string{"containerd.io/gc.root": "x"})
	fill(ctx, t, sn, "low", "", o)
	fill(ctx, t, sn, "top", "low", o)
	text := fmt.Sprintf("0:%d:%d", first, many)
	mapped := snapshots.WithLabels(map[string]string{
		"containerd.io/gc.root":             "x",
		"containerd.io/snapshot/uidmapping": text,
		"containerd.io/snapshot/gidmapping": text,
	})
	for _, parent := range []string{"low", "top"} {
		for kind, make := range map[string]func(context.Context, string, string, ...snapshots.Opt) ([]mount.Mount, error){
			"active": sn.Prepare, "view": sn.View,
		} {
			t.Run(parent+"/"+kind, func(t *testing.T) {
				key := "mapped-" + parent + "-" + kind
				mounts, err := make(ctx, key, parent, mapped)
				if err != nil {
					t.Fatal(err)
				}
				target := t.TempDir()
				mountMapped(t, mounts, target)
				look(t, target, kind == "active")
			})
		}
	}
}

// look checks owners in a mapped mount, and changes something in it as its root user would.
func look(t *testing.T, target string, writable bool) {
	t.Helper()
	check := func(name, want string) {
		t.Helper()
		if got := owner(t, filepath.Join(target, name)); got != want {
			t.Errorf("%s belongs to %s, not to %s", name, got, want)
		}
	}
	check(".", "100000:100000")
	check("low-root", "100000:100000")
	check("low-user", "101000:101000")
	// What has no place in the mapping belongs to nobody.
	check("low-beyond", "65534:65534")
	if !writable {
		return
	}
	// That user may not come by the directories above.
	directory, err := os.Open(target)
	if err != nil {
		t.Fatal(err)
	}
	defer directory.Close()
	command := exec.Command("sh", "-c", "cd /proc/self/fd/3 && cat low-root >new && echo more >>low-root && "+
		"mkdir made && rm low-root new && echo x >again")
	command.ExtraFiles = []*os.File{directory}
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: first, Gid: first}}
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("the root user of the mapping: %v: %s", err, out)
	}
	check("made", "100000:100000")
	check("again", "100000:100000")
}
