package process

import "syscall"

// killOnParentDeath makes the kernel kill the command when the thread that started it ends.
func killOnParentDeath(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
