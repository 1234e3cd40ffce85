// Command bench times what containerd asks of a snapshotter, in turns: Mica behind its socket, containerd's own
// overlayfs snapshotter behind a proxy in Go over the same kind of socket, and the same in process.
//
//	bench -socket MICA.sock -dir DIRECTORY [-rounds N] [-listed N] [-only CALL]
//
// The proxy is a process of its own, as Mica is. Prints a line for each call and side: call, side, median in
// microseconds, separated by tabs. The directory should lie in memory and so should Mica's root, or the disk is what is
// measured.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/contrib/snapshotservice"
	"github.com/containerd/containerd/namespaces"
	"github.com/containerd/containerd/snapshots"
	"github.com/containerd/containerd/snapshots/overlay"
	"github.com/containerd/containerd/snapshots/proxy"
	"google.golang.org/grpc"
)

type side struct {
	name string
	sn   snapshots.Snapshotter
}

// root keeps containerd's garbage collection away, as containerd's own benchmarks do.
var root = snapshots.WithLabels(map[string]string{"containerd.io/gc.root": "bench"})

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func behind(socket string) snapshots.Snapshotter {
	conn, err := grpc.Dial("unix://"+socket, grpc.WithInsecure(), grpc.WithBlock(), grpc.WithTimeout(5*time.Second),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}))
	must(err)
	return proxy.NewSnapshotter(snapshotsapi.NewSnapshotsClient(conn), "bench")
}

func native(dir string) snapshots.Snapshotter {
	must(os.MkdirAll(dir, 0o700))
	sn, err := overlay.NewSnapshotter(dir, overlay.AsynchronousRemove)
	must(err)
	return sn
}

// serve is the process of the proxy: as with any proxy plugin it is another one than containerd's.
func serve(dir string) {
	listener, err := net.Listen("unix", filepath.Join(dir, "socket"))
	must(err)
	server := grpc.NewServer()
	snapshotsapi.RegisterSnapshotsServer(server, snapshotservice.FromSnapshotter(native(filepath.Join(dir, "root"))))
	must(server.Serve(listener))
}

// proxied starts a process that serves, and gives a way to end it.
func proxied(dir string) (snapshots.Snapshotter, func()) {
	must(os.MkdirAll(dir, 0o700))
	program, err := os.Executable()
	must(err)
	child := exec.Command(program, "-serve", dir)
	child.Stderr = os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(child.Start())
	return behind(filepath.Join(dir, "socket")), func() { child.Process.Kill(); child.Wait() }
}

// fill makes a committed base with views on it.
func fill(ctx context.Context, sn snapshots.Snapshotter, views int) {
	_, err := sn.Prepare(ctx, "base-active", "", root)
	must(err)
	must(sn.Commit(ctx, "base", "base-active", root))
	for i := 0; i < views; i++ {
		_, err := sn.View(ctx, fmt.Sprintf("view-%d", i), "base", root)
		must(err)
	}
}

type call struct {
	name string
	run  func(context.Context, snapshots.Snapshotter, string) error
}

var calls = []call{
	{"Stat", func(ctx context.Context, sn snapshots.Snapshotter, _ string) error {
		_, err := sn.Stat(ctx, "base")
		return err
	}},
	{"Mounts", func(ctx context.Context, sn snapshots.Snapshotter, _ string) error {
		_, err := sn.Mounts(ctx, "view-1")
		return err
	}},
	{"Usage of a committed snapshot", func(ctx context.Context, sn snapshots.Snapshotter, _ string) error {
		_, err := sn.Usage(ctx, "base")
		return err
	}},
	{"List of 100", list},
	{"Prepare, Remove", func(ctx context.Context, sn snapshots.Snapshotter, key string) error {
		if _, err := sn.Prepare(ctx, key, "base", root); err != nil {
			return err
		}
		return sn.Remove(ctx, key)
	}},
	{"Prepare, Commit, Remove", func(ctx context.Context, sn snapshots.Snapshotter, key string) error {
		if _, err := sn.Prepare(ctx, key, "base", root); err != nil {
			return err
		}
		if err := sn.Commit(ctx, key+"-committed", key, root); err != nil {
			return err
		}
		return sn.Remove(ctx, key+"-committed")
	}},
}

func min(a, b int) int {
	if a < b {
		return a
	}
	return b
}

func list(ctx context.Context, sn snapshots.Snapshotter, _ string) error {
	return sn.Walk(ctx, func(context.Context, snapshots.Info) error { return nil })
}

// How many calls a side makes in its turn, and how long everyone rests after it: what a side does after it has answered
// is no other side's to wait for.
const turn, rest = 100, 50 * time.Millisecond

// compare runs a call on every side in turns; the first warms up.
func compare(ctx context.Context, c call, sides []side, rounds int) {
	times := make([][]time.Duration, len(sides))
	for round := -min(turn, rounds); round < rounds; round += turn {
		for i, s := range sides {
			for n := round; n < min(round+turn, rounds); n++ {
				key := fmt.Sprintf("%s-%d", c.name, n)
				began := time.Now()
				if err := c.run(ctx, s.sn, key); err != nil {
					log.Fatalf("%s, %s: %v", c.name, s.name, err)
				}
				if took := time.Since(began); n >= 0 {
					times[i] = append(times[i], took)
				}
			}
			time.Sleep(rest)
		}
	}
	for i, s := range sides {
		sort.Slice(times[i], func(a, b int) bool { return times[i][a] < times[i][b] })
		median := times[i][len(times[i])/2]
		fmt.Printf("%s\t%s\t%.1f\n", c.name, s.name, float64(median.Nanoseconds())/1e3)
	}
}

func main() {
	socket := flag.String("socket", "", "Mica's socket for containerd; its store must be empty")
	dir := flag.String("dir", "", "an empty directory")
	rounds := flag.Int("rounds", 800, "how often each call runs on each side")
	listed := flag.Int("listed", 10000, "snapshots of the long list")
	only := flag.String("only", "", "only the calls whose names begin so, in place of all and the long list")
	served := flag.String("serve", "", "be the proxy, and serve below this directory")
	flag.Parse()
	if *served != "" {
		serve(*served)
		return
	}
	proxy, end := proxied(filepath.Join(*dir, "proxied"))
	defer end()
	ctx := namespaces.WithNamespace(context.Background(), "bench")
	sides := []side{
		{"Mica", behind(*socket)},
		{"Go proxy of overlayfs", proxy},
		{"overlayfs in process", native(filepath.Join(*dir, "native"))},
	}
	for _, s := range sides {
		fill(ctx, s.sn, 99)
	}
	for _, c := range calls {
		if strings.HasPrefix(c.name, *only) {
			compare(ctx, c, sides, *rounds)
		}
	}
	if *only != "" {
		return
	}
	for _, s := range sides {
		for i := 99; i < *listed-1; i++ {
			_, err := s.sn.View(ctx, fmt.Sprintf("view-%d", i), "base", root)
			must(err)
		}
	}
	compare(ctx, call{fmt.Sprintf("List of %d", *listed), list}, sides, 5)
}
