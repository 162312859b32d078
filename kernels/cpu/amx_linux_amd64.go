//go:build !purego

package cpu

import "golang.org/x/sys/unix"

// allowAMX asks Linux, which keeps room for tiles only for processes that want them.
// Asking again changes nothing.
func allowAMX() bool {
	const requestPermission, tileData = 0x1023, 18 // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
	_, _, errno := unix.RawSyscall(unix.SYS_ARCH_PRCTL, requestPermission, tileData, 0)
	return errno == 0
}
