// Package export_mica_driver_proto_driver is a storage driver in which every layer is a complete copy of its parent.
//
//	<room>/files   the layer's files
//
// It exports `proto-driver` and knows nothing of archives: Mica composes it with its naive-diff component. The generated
// bindings want this package's name and the signatures of its exported functions.
package export_mica_driver_proto_driver

import (
	"fmt"

	types "wit_component/mica_driver_types"
	"wit_component/mica_host_directory"
	"wit_component/mica_host_home"
	"wit_component/mica_host_mounts"
	host "wit_component/mica_host_types"

	wit "go.bytecodealliance.org/pkg/wit/types"
)

type (
	void  = wit.Result[wit.Unit, types.Error]
	pairs = wit.Result[[]wit.Tuple2[string, string], types.Error]
)

var files = []byte("files")

// failed is a failed host call on its way up as an error of Go.
type failed struct{ host.Failure }

func (f failed) Error() string { return f.Message }

// try makes an error of Go out of a failed host call.
func try[T any](result wit.Result[T, host.Failure]) (T, error) {
	if result.IsErr() {
		var none T
		return none, failed{result.Err()}
	}
	return result.Ok(), nil
}

// did is what an operation without an answer came to. The host shows both what was being done and what failed.
func did(err error, doing string, of ...any) void {
	if err != nil {
		return wit.Err[wit.Unit](because(err, doing, of...))
	}
	return wit.Ok[wit.Unit, types.Error](wit.Unit{})
}

func because(err error, doing string, of ...any) types.Error {
	return types.MakeErrorHost(types.HostFailure{Doing: fmt.Sprintf(doing, of...), Failure: err.(failed).Failure})
}

func Describe() types.Description {
	return types.Description{
		Name:    "my-driver",
		Version: "0.1.0",
		Summary: "Copies every layer, in Go.",
		Content: types.MakeOwnContentComplete(files),
	}
}

func Init(options []wit.Tuple2[string, string]) void {
	for _, option := range options {
		return wit.Err[wit.Unit](types.MakeErrorInvalid(
			fmt.Sprintf("option `%s` is not known; there are none", option.F0)))
	}
	return did(nil, "")
}

// Create stages, fills, publishes. Until the last call no one sees the layer; if anything fails, nothing of it stays.
func Create(id string, parent wit.Option[string], _ types.CreateOptions) void {
	return did(create(id, parent), "create layer `%s`", id)
}

func create(id string, parent wit.Option[string]) error {
	staged, err := try(mica_host_home.Stage())
	if err != nil {
		return err
	}
	if err := fill(staged, parent); err != nil {
		return err
	}
	_, err = try(mica_host_home.Publish(staged, id))
	return err
}

func fill(staged *mica_host_home.StagedLayer, parent wit.Option[string]) error {
	room, err := try(staged.Room())
	if err != nil {
		return err
	}
	defer room.Drop()
	target, err := try(room.CreateDirectory(files, 0o755))
	if err != nil {
		return err
	}
	defer target.Drop()
	if parent.IsNone() {
		return nil
	}
	source, err := open(parent.Some())
	if err != nil {
		return err
	}
	defer source.Drop()
	return copyTree(source, target)
}

// open is the directory with a layer's files.
func open(id string) (*mica_host_directory.Directory, error) {
	room, err := try(mica_host_home.Open(id))
	if err != nil {
		return nil, err
	}
	defer room.Drop()
	return try(room.OpenDirectory(files))
}

func CreateReadWrite(id string, parent wit.Option[string], options types.CreateOptions) void {
	return Create(id, parent, options)
}

func Remove(id string) void {
	_, err := try(mica_host_home.Discard(id))
	return did(err, "remove layer `%s`", id)
}

// Get answers a view: a mount that the host attaches. `bind` shows one directory.
func Get(id string, access uint8, _ wit.Option[string]) wit.Result[*mica_host_mounts.Mount, types.Error] {
	view, err := bind(id, access)
	if err != nil {
		return wit.Err[*mica_host_mounts.Mount](because(err, "mount layer `%s`", id))
	}
	return wit.Ok[*mica_host_mounts.Mount, types.Error](view)
}

func bind(id string, access uint8) (*mica_host_mounts.Mount, error) {
	directory, err := open(id)
	if err != nil {
		return nil, err
	}
	// A mount is returned after the handles on its view are dropped.
	defer directory.Drop()
	return try(mica_host_mounts.Bind(directory, access))
}

func Put(string) void { return did(nil, "") }

func Exists(id string) wit.Result[bool, types.Error] {
	there, err := try(mica_host_home.Exists(id))
	if err != nil {
		return wit.Err[bool](because(err, "look for layer `%s`", id))
	}
	return wit.Ok[bool, types.Error](there)
}

func Status() pairs { return wit.Ok[[]wit.Tuple2[string, string], types.Error](nil) }

func Metadata(string) pairs { return Status() }

func Cleanup() void { return did(nil, "") }
