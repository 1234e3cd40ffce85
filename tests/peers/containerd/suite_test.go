// Package suite asks a snapshotter what containerd's own tests ask one, what its metadata store answers to wrong
// calls, and what its own snapshotters say that layers take.
//
//	SNAP_SOCKET=/path/proxy.sock   the snapshotter, which no one else may use meanwhile; or a containerd that has it as
//	                               its snapshotter "mica"
//	SNAP_DEEPEST=500               layers of the longest chain
//	SNAP_BESIDE=overlayfs          only with a containerd: its snapshotter that shows the codes of wrong calls
//	SNAP_PEER=overlayfs            containerd's own that is alike: overlayfs, btrfs or native
//	SNAP_PEER_ROOT=/path           where that may work, on the same file system
//
// containerd's suite has its keys written into it, so whatever is there before is removed.
package suite

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/errdefs"
	"github.com/containerd/containerd/mount"
	"github.com/containerd/containerd/namespaces"
	"github.com/containerd/containerd/snapshots"
	"github.com/containerd/containerd/snapshots/proxy"
	"github.com/containerd/containerd/snapshots/testsuite"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

var (
	socket = os.Getenv("SNAP_SOCKET")
	beside = os.Getenv("SNAP_BESIDE")
)

func open(t testing.TB) snapshots.Snapshotter { return openAs(t, "mica") }

func openAs(t testing.TB, name string) snapshots.Snapshotter {
	if socket == "" {
		t.Fatal("SNAP_SOCKET is not set")
	}
	conn, err := grpc.Dial("unix://"+socket, grpc.WithInsecure(), grpc.WithBlock(), grpc.WithTimeout(5*time.Second),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(16<<20), grpc.MaxCallSendMsgSize(16<<20)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}))
	if err != nil {
		t.Fatalf("dial %s: %v", socket, err)
	}
	t.Cleanup(func() { conn.Close() })
	return proxy.NewSnapshotter(snapshotsapi.NewSnapshotsClient(conn), name)
}

// wipe removes every snapshot, leaves first, one level of the deepest chain in a pass.
func wipe(ctx context.Context, sn snapshots.Snapshotter) (n int) {
	for pass := 0; pass < 1000; pass++ {
		var all []string
		parents := map[string]bool{}
		if err := sn.Walk(ctx, func(_ context.Context, i snapshots.Info) error {
			all = append(all, i.Name)
			parents[i.Parent] = true
			return nil
		}); err != nil || len(all) == 0 {
			break
		}
		removed := 0
		for _, k := range all {
			if !parents[k] {
				if err := sn.Remove(ctx, k); err == nil {
					removed++
				}
			}
		}
		if removed == 0 {
			break
		}
		n += removed
	}
	if c, ok := sn.(snapshots.Cleaner); ok {
		c.Cleanup(ctx)
	}
	return n
}

func TestSnapshotterSuite(t *testing.T) {
	ctx := namespaces.WithNamespace(context.Background(), "testsuite")
	sn := open(t)
	wipe(ctx, sn)
	t.Cleanup(func() {
		wipe(ctx, sn)
		sn.Walk(ctx, func(_ context.Context, i snapshots.Info) error {
			t.Errorf("%s could not be removed", i.Name)
			return nil
		})
	})
	testsuite.SnapshotterSuite(t, "Mica", func(ctx context.Context, root string) (snapshots.Snapshotter, func() error, error) {
		return open(t), nil, nil
	})
}

// TestErrorTable compares codes with those of containerd's overlayfs, native and btrfs, which are all built on
// storage.MetaStore. A containerd in between answers some calls itself and not always with the same code; then the codes
// are those that the snapshotter beside gets through it.
func TestErrorTable(t *testing.T) {
	cases := wrongCalls(t, open(t))
	if beside != "" {
		for i, c := range wrongCalls(t, openAs(t, beside)) {
			if c.got != cases[i].want {
				t.Logf("%s: %s here instead of %s", c.name, c.got, cases[i].want)
			}
			cases[i].want = c.got
		}
	}
	for _, c := range cases {
		if c.got != c.want {
			t.Errorf("%s: got %s wanted %s (%v)", c.name, c.got, c.want, c.err)
		}
	}
}

// outcome is what a wrong call should come to, and what it came to.
type outcome struct {
	name, want, got string
	err             error
}

func wrongCalls(t *testing.T, sn snapshots.Snapshotter) (outcomes []outcome) {
	ctx := namespaces.WithNamespace(context.Background(), "testsuite")
	wipe(ctx, sn)
	defer wipe(ctx, sn)
	l := func(kv ...string) snapshots.Opt {
		m := map[string]string{"containerd.io/gc.root": "x"}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i]] = kv[i+1]
		}
		return snapshots.WithLabels(m)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := sn.Prepare(ctx, "et-a0", "", l())
	must(err)
	must(sn.Commit(ctx, "et-c0", "et-a0", l("containerd.io/snapshot/one", "1", "plain", "2")))
	_, err = sn.Prepare(ctx, "et-a1", "et-c0", l())
	must(err)
	_, err = sn.View(ctx, "et-v1", "et-c0", l())
	must(err)
	_, err = sn.Prepare(ctx, "et-a2", "et-c0", l())
	must(err)
	prep := func(k, p string, o ...snapshots.Opt) func() error {
		return func() error { _, err := sn.Prepare(ctx, k, p, o...); return err }
	}
	view := func(k, p string) func() error {
		return func() error { _, err := sn.View(ctx, k, p, l()); return err }
	}
	cases := []struct {
		name, want string
		f          func() error
	}{
		{"Prepare existing active key", "AlreadyExists", prep("et-a1", "et-c0", l())},
		{"Prepare existing committed name", "AlreadyExists", prep("et-c0", "", l())},
		{"View existing key", "AlreadyExists", view("et-a1", "et-c0")},
		{"Prepare missing parent", "NotFound", prep("et-x", "et-nosuch", l())},
		{"View missing parent", "NotFound", view("et-x", "et-nosuch")},
		{"Prepare parent is active", "InvalidArgument", prep("et-x", "et-a1", l())},
		{"Prepare parent is view", "InvalidArgument", prep("et-x", "et-v1", l())},
		{"Prepare empty key", "InvalidArgument", prep("", "", l())},
		{"Commit missing key", "NotFound", func() error { return sn.Commit(ctx, "et-c9", "et-nosuch", l()) }},
		{"Commit view", "FailedPrecondition", func() error { return sn.Commit(ctx, "et-c9", "et-v1", l()) }},
		{"Commit committed", "FailedPrecondition", func() error { return sn.Commit(ctx, "et-c9", "et-c0", l()) }},
		{"Commit to existing name", "AlreadyExists", func() error { return sn.Commit(ctx, "et-c0", "et-a2", l()) }},
		{"Commit to name of an active", "AlreadyExists", func() error { return sn.Commit(ctx, "et-a1", "et-a2", l()) }},
		{"Commit name == key", "AlreadyExists", func() error { return sn.Commit(ctx, "et-a2", "et-a2", l()) }},
		{"Mounts missing", "NotFound", func() error { _, err := sn.Mounts(ctx, "et-nosuch"); return err }},
		{"Mounts committed", "FailedPrecondition", func() error { _, err := sn.Mounts(ctx, "et-c0"); return err }},
		{"Stat missing", "NotFound", func() error { _, err := sn.Stat(ctx, "et-nosuch"); return err }},
		{"Usage missing", "NotFound", func() error { _, err := sn.Usage(ctx, "et-nosuch"); return err }},
		{"Usage active", "OK", func() error { _, err := sn.Usage(ctx, "et-a1"); return err }},
		{"Usage view", "OK", func() error { _, err := sn.Usage(ctx, "et-v1"); return err }},
		{"Usage committed", "OK", func() error { _, err := sn.Usage(ctx, "et-c0"); return err }},
		{"Remove missing", "NotFound", func() error { return sn.Remove(ctx, "et-nosuch") }},
		{"Remove parent with children", "FailedPrecondition", func() error { return sn.Remove(ctx, "et-c0") }},
		{"Update missing", "NotFound", func() error {
			_, err := sn.Update(ctx, snapshots.Info{Name: "et-nosuch", Labels: map[string]string{"a": "b"}}, "labels.a")
			return err
		}},
		{"Update immutable field 'parent'", "InvalidArgument", func() error {
			_, err := sn.Update(ctx, snapshots.Info{Name: "et-a1", Parent: "zz"}, "parent")
			return err
		}},
		{"Update immutable field 'kind'", "InvalidArgument", func() error { _, err := sn.Update(ctx, snapshots.Info{Name: "et-a1"}, "kind"); return err }},
		{"Update empty mask (all labels)", "OK", func() error {
			i, err := sn.Update(ctx, snapshots.Info{Name: "et-a1", Labels: map[string]string{"containerd.io/gc.root": "x", "n": "1"}})
			if err == nil {
				t.Logf("   -> %+v", i)
			}
			return err
		}},
		{"Walk bad filter", "InvalidArgument", func() error {
			return sn.Walk(ctx, func(context.Context, snapshots.Info) error { return nil }, "kind==")
		}},
		{"Walk unknown field", "OK", func() error {
			n := 0
			err := sn.Walk(ctx, func(context.Context, snapshots.Info) error { n++; return nil }, "nosuchfield==1")
			t.Logf("   -> %d infos", n)
			return err
		}},
		{"Cleanup", "OK", func() error {
			c, ok := sn.(snapshots.Cleaner)
			if !ok {
				return errdefs.ErrNotImplemented
			}
			return c.Cleanup(ctx)
		}},
	}
	for _, c := range cases {
		err := c.f()
		s, _ := status.FromError(errdefs.ToGRPC(err))
		outcomes = append(outcomes, outcome{c.name, c.want, s.Code().String(), err})
	}
	return outcomes
}

// TestManyAndBig checks List paging (>100 infos per message) and long keys.
func TestManyAndBig(t *testing.T) {
	ctx := namespaces.WithNamespace(context.Background(), "testsuite")
	sn := open(t)
	wipe(ctx, sn)
	defer wipe(ctx, sn)
	o := snapshots.WithLabels(map[string]string{"containerd.io/gc.root": "x", "containerd.io/snapshot/l": strings.Repeat("v", 2000)})
	const n = 350
	for i := 0; i < n; i++ {
		if _, err := sn.Prepare(ctx, fmt.Sprintf("many-%d", i), "", o); err != nil {
			t.Fatal(err)
		}
	}
	got := 0
	if err := sn.Walk(ctx, func(context.Context, snapshots.Info) error { got++; return nil }); err != nil {
		t.Fatal(err)
	}
	if got != n {
		t.Fatalf("List returned %d of %d", got, n)
	}
	if _, err := sn.Prepare(ctx, strings.Repeat("k", 4000), "", o); err != nil {
		t.Errorf("4000 byte key: %v", err)
	}
	for _, k := range []string{"a/b/../c", "sp ace", "ünï", "a\x01b", "extract-1-ab sha256:00"} {
		if _, err := sn.Prepare(ctx, k, "", o); err != nil {
			t.Errorf("key %q: %v", k, err)
		} else if i, err := sn.Stat(ctx, k); err != nil || i.Name != k {
			t.Errorf("key %q: stat %v %v", k, i.Name, err)
		}
	}
	// what the GC of a daemon with two concurrent clients does
	errs := make(chan error, 8)
	for w := 0; w < 8; w++ {
		go func(w int) {
			for i := 0; i < 25; i++ {
				k := fmt.Sprintf("par-%d-%d", w, i)
				if _, err := sn.Prepare(ctx, k, "", o); err != nil {
					errs <- err
					return
				}
				if err := sn.Commit(ctx, k+"-c", k, o); err != nil {
					errs <- err
					return
				}
				if err := sn.Remove(ctx, k+"-c"); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}(w)
	}
	for w := 0; w < 8; w++ {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// TestDeepMount mounts chains with containerd's own code, up to as many lowers as the driver's chains can have.
func TestDeepMount(t *testing.T) {
	ctx := namespaces.WithNamespace(context.Background(), "testsuite")
	sn := open(t)
	wipe(ctx, sn)
	o := snapshots.WithLabels(map[string]string{"containerd.io/gc.root": "x"})
	td := t.TempDir()
	parent := ""
	deepest, err := strconv.Atoi(os.Getenv("SNAP_DEEPEST"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		for i := deepest; i > 0; i-- {
			sn.Remove(ctx, fmt.Sprintf("deep-a%d", i))
			sn.Remove(ctx, fmt.Sprintf("deep-c%d", i))
		}
		sn.(snapshots.Cleaner).Cleanup(ctx)
	}()
	for i := 1; i <= deepest; i++ {
		k := fmt.Sprintf("deep-a%d", i)
		m, err := sn.Prepare(ctx, k, parent, o)
		if err != nil {
			t.Fatalf("layer %d: prepare %v", i, err)
		}
		if i%100 == 0 || i == 129 || i == deepest {
			if err := mount.All(m, td); err != nil {
				t.Fatalf("layer %d: mount %v", i, err)
			}
			if _, err := os.Stat(filepath.Join(td, "f")); i > 100 && err != nil {
				t.Errorf("layer %d: %v", i, err)
			}
			if err := os.WriteFile(filepath.Join(td, "f"), nil, 0644); err != nil {
				t.Errorf("layer %d: %v", i, err)
			}
			if err := mount.UnmountAll(td, 0); err != nil {
				t.Fatal(err)
			}
		}
		parent = fmt.Sprintf("deep-c%d", i)
		if err := sn.Commit(ctx, parent, k, o); err != nil {
			t.Fatalf("layer %d: commit %v", i, err)
		}
	}
}
