package devstack

import "syscall"

// onParentDeath makes the kernel send sig to the child when the thread that started it ends.
// [startChild] keeps that thread as long as the child lives.
func onParentDeath(attr *syscall.SysProcAttr, sig syscall.Signal) { attr.Pdeathsig = sig }
