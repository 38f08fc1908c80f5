//go:build unix

package sqlite

import "syscall"

// fileID tells the files of a machine apart.
type fileID struct{ device, inode uint64 }

// fileIDOf returns the ID of the file at a path. Unlike [os.Stat] it makes no
// [os.FileInfo], since each write asks twice.
func fileIDOf(path string) (fileID, error) {
	var s syscall.Stat_t
	for {
		switch err := syscall.Stat(path, &s); err {
		case nil:
			return fileID{device: uint64(s.Dev), inode: uint64(s.Ino)}, nil
		case syscall.EINTR:
		default:
			return fileID{}, err
		}
	}
}

// has reports whether the path has the file.
func (id fileID) has(path string) bool {
	other, err := fileIDOf(path)
	return err == nil && other == id
}
