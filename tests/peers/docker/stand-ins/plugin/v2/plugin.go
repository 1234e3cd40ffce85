// Package v2 stands in for moby's managed plugins, which Debian's package of moby's sources leaves out. The proxy asks
// whether a plugin is one of them; ours is none.
package v2

import "github.com/docker/docker/pkg/plugins"

// Plugin is a managed plugin.
type Plugin struct {
	PluginObj struct {
		Config struct{ PropagatedMount string }
	}
}

// Name is empty: there is none.
func (*Plugin) Name() string { return "" }

// ScopedPath changes nothing.
func (*Plugin) ScopedPath(s string) string { return s }

// IsV1 is what tells them apart.
func (*Plugin) IsV1() bool { return false }

// Client is nil: there is none.
func (*Plugin) Client() *plugins.Client { return nil }
