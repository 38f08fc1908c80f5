package pgtest

import (
	"os"
	"syscall"
)

// minMemory is the free space that homes in memory need, in bytes.
const minMemory = 6 << 30

// homesFolder returns the folder in which homes are made, or "" for the folder of temporary
// files. Memory is faster than a disk: a server starts in half the time. INCIDENT_TEST_LONG
// has too much data for it, and TMPDIR names another folder.
func homesFolder() string {
	const memory = "/dev/shm"
	var fs syscall.Statfs_t
	if os.Getenv("TMPDIR") != "" || os.Getenv("INCIDENT_TEST_LONG") != "" || syscall.Statfs(memory, &fs) != nil {
		return ""
	}
	const tmpfs = 0x01021994 // its magic number
	if fs.Type != tmpfs || fs.Bavail*uint64(fs.Bsize) < minMemory {
		return ""
	}
	return memory
}
