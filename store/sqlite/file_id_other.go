//go:build !unix

package sqlite

import "os"

// fileID tells the files of a machine apart.
type fileID struct{ info os.FileInfo }

// fileIDOf returns the ID of the file at a path.
func fileIDOf(path string) (fileID, error) {
	info, err := os.Stat(path)
	return fileID{info}, err
}

// has reports whether the path has the file.
func (id fileID) has(path string) bool {
	other, err := fileIDOf(path)
	return err == nil && os.SameFile(other.info, id.info)
}
