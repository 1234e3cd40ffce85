// Package graphtest runs moby's graphtest suite through moby's own plugin proxy, against a graph driver plugin's socket.
//
//	GRAPHTEST_SOCKET  the plugin's socket
//	GRAPHTEST_HOME    the directory in which homes are made
//	GRAPHTEST_OPTS    options for Init, separated by commas
//	GRAPHTEST_QUOTA   "required": SetQuota must pass; else it is skipped where quotas are not supported
package graphtest

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/docker/docker/daemon/graphdriver"
	"github.com/docker/docker/daemon/graphdriver/graphtest"
	"github.com/docker/docker/pkg/idtools"
	"github.com/docker/docker/pkg/plugingetter"
	"github.com/docker/docker/pkg/plugins"
)

// The name under which the suite finds the proxy.
const driver = "plugin"

// Layers of the chain that is read from the top: moby's own number for overlay2.
const depth = 64

// A plugin that listens on a socket, as moby finds it in /run/docker/plugins.
type plugin struct{ client *plugins.Client }

func (p plugin) Name() string               { return driver }
func (p plugin) ScopedPath(s string) string { return s }
func (p plugin) IsV1() bool                 { return true }
func (p plugin) Client() *plugins.Client    { return p.client }

func (p plugin) Get(string, string, int) (plugingetter.CompatPlugin, error) {
	manifest := new(plugins.Manifest)
	if err := p.client.Call("Plugin.Activate", nil, manifest); err != nil {
		return nil, err
	}
	for _, what := range manifest.Implements {
		if what == "GraphDriver" {
			return p, nil
		}
	}
	return nil, fmt.Errorf("the plugin implements %v", manifest.Implements)
}
func (p plugin) GetAllByCap(string) ([]plugingetter.CompatPlugin, error)      { return nil, nil }
func (p plugin) GetAllManagedPluginsByCap(string) []plugingetter.CompatPlugin { return nil }
func (p plugin) Handle(capability string, use func(string, *plugins.Client))  {}

func start(home string, options []string, uids, gids []idtools.IDMap) (graphdriver.Driver, error) {
	socket := os.Getenv("GRAPHTEST_SOCKET")
	if socket == "" {
		return nil, errors.New("GRAPHTEST_SOCKET is not set")
	}
	client, err := plugins.NewClient("unix://"+socket, nil)
	if err != nil {
		return nil, err
	}
	if more := os.Getenv("GRAPHTEST_OPTS"); more != "" {
		options = append(options, strings.Split(more, ",")...)
	}
	// Not the registered name: that one would lead back here.
	return graphdriver.GetDriver("behind-the-socket", plugin{client}, graphdriver.Options{
		Root:                home,
		DriverOptions:       options,
		UIDMaps:             uids,
		GIDMaps:             gids,
		ExperimentalEnabled: true,
	})
}

func TestMain(m *testing.M) {
	if err := graphdriver.Register(driver, start); err != nil {
		panic(err)
	}
	os.Setenv("TMPDIR", os.Getenv("GRAPHTEST_HOME"))
	os.Exit(m.Run())
}

// One driver serves all tests up to TestTeardown.
func TestSetup(t *testing.T) {
	started := graphtest.GetDriver(t, driver)
	t.Logf("status %v", started.Status())
}

func TestCreateEmpty(t *testing.T)   { graphtest.DriverTestCreateEmpty(t, driver) }
func TestCreateBase(t *testing.T)    { graphtest.DriverTestCreateBase(t, driver) }
func TestCreateSnap(t *testing.T)    { graphtest.DriverTestCreateSnap(t, driver) }
func TestDeepLayerRead(t *testing.T) { graphtest.DriverTestDeepLayerRead(t, depth, driver) }
func TestDiffApply10(t *testing.T)   { graphtest.DriverTestDiffApply(t, 10, driver) }
func TestDiffApply1000(t *testing.T) { graphtest.DriverTestDiffApply(t, 1000, driver) }
func TestChanges(t *testing.T)       { graphtest.DriverTestChanges(t, driver) }

func TestSetQuota(t *testing.T) {
	required := os.Getenv("GRAPHTEST_QUOTA") == "required"
	if !required {
		t.Skip("the file system under test has no quotas")
	}
	graphtest.DriverTestSetQuota(t, driver, required)
}

func TestTeardown(t *testing.T) { graphtest.PutDriver(t) }
