//go:build linux && (amd64 || arm64)

package pgtest

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

// sharedMemory is the memory that a killed server leaves behind. The system has few
// segments and little room in /dev/shm. A server that starts on the same data removes
// both, so they leak only if none starts.
type sharedMemory struct {
	segments []int    // System V
	files    []string // POSIX
}

// sharedMemoryOf finds the shared memory of the server in the folder.
func sharedMemoryOf(dir string) (m sharedMemory) {
	content, _ := os.ReadFile(filepath.Join(dir, dataFolder, pidFile))
	if lines := strings.Split(string(content), "\n"); len(lines) > 6 {
		// The line has the key and the identifier.
		if fields := strings.Fields(lines[6]); len(fields) == 2 {
			if id, err := strconv.Atoi(fields[1]); err == nil {
				m.segments = append(m.segments, id)
			}
		}
	}
	seen := map[string]bool{}
	for _, pid := range processesIn(dir) {
		maps, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "maps"))
		for line := range strings.Lines(string(maps)) {
			if i := strings.Index(line, "/dev/shm/PostgreSQL."); i >= 0 {
				seen[strings.TrimSuffix(strings.TrimSpace(line[i:]), " (deleted)")] = true
			}
		}
	}
	for file := range seen {
		m.files = append(m.files, file)
	}
	return m
}

func (m sharedMemory) remove() {
	for _, id := range m.segments {
		removeSegment(id)
	}
	for _, file := range m.files {
		_ = os.Remove(file) // it may be gone
	}
}

// removeSegment removes a segment unless a process is attached to it.
func removeSegment(id int) {
	const remove, stat = 0, 2 // IPC_RMID, IPC_STAT
	var status [128]byte      // larger than a struct shmid_ds
	_, _, errno := syscall.Syscall(syscall.SYS_SHMCTL, uintptr(id), stat, uintptr(unsafe.Pointer(&status)))
	const attached = 88 // the offset of shm_nattch
	if errno == 0 && binary.NativeEndian.Uint64(status[attached:]) == 0 {
		_, _, _ = syscall.Syscall(syscall.SYS_SHMCTL, uintptr(id), remove, 0) // it may be gone
	}
}
