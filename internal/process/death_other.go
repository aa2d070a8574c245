//go:build !linux

package process

import "syscall"

// killOnParentDeath does nothing, because only Linux has such a signal. The guard does the work.
func killOnParentDeath(*syscall.SysProcAttr) {}
