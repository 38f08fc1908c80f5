//go:build !linux

package sqlite

// networkFileSystem returns "": the file system is not known.
func networkFileSystem(string) string { return "" }
