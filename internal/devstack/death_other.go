//go:build !linux

package devstack

import "syscall"

// onParentDeath does nothing, because only Linux has such a signal. The watcher does the work.
func onParentDeath(*syscall.SysProcAttr, syscall.Signal) {}
