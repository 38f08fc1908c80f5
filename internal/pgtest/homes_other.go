//go:build !linux

package pgtest

// homesFolder returns "" for the folder of temporary files.
func homesFolder() string { return "" }
