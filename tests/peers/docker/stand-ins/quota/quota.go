// Package quota stands in for moby's, which Debian's package of moby's sources leaves out. The suite compares one error, and
// overlay2 does without quotas where there are none.
package quota

import "errors"

// ErrQuotaNotSupported has moby's text.
var ErrQuotaNotSupported = errors.New("Filesystem does not support, or has not enabled quotas")

// Quota has moby's field.
type Quota struct{ Size uint64 }

// Control is never there.
type Control struct{}

// NewControl finds no quotas.
func NewControl(string) (*Control, error) { return nil, ErrQuotaNotSupported }

// SetQuota is called where there is a Control.
func (*Control) SetQuota(string, Quota) error { return ErrQuotaNotSupported }

// GetQuota is called where there is a Control.
func (*Control) GetQuota(string, *Quota) error { return ErrQuotaNotSupported }
