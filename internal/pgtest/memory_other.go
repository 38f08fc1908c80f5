//go:build !linux || !(amd64 || arm64)

package pgtest

// sharedMemory is not removed here: it stays until the system restarts, or until a server
// starts on the same data.
type sharedMemory struct{}

func sharedMemoryOf(string) sharedMemory { return sharedMemory{} }
func (sharedMemory) remove()             {}
