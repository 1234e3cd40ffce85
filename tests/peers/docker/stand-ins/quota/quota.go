// Package quota stands in for moby's, which Debian's package of moby's sources leaves out. The suite compares one error.
package quota

import "errors"

// ErrQuotaNotSupported has moby's text.
var ErrQuotaNotSupported = errors.New("Filesystem does not support, or has not enabled quotas")
