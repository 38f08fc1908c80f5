//go:build !linux

package sqlite

// networkFileSystem returns "", since the file system is not known.
func networkFileSystem(string) string { return "" }
