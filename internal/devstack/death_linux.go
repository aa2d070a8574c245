package devstack

import "syscall"

// onParentDeath asks the kernel to signal the child when the thread that started it ends.
// [startChild] keeps that thread for as long as the child lives.
func onParentDeath(attr *syscall.SysProcAttr, sig syscall.Signal) { attr.Pdeathsig = sig }
