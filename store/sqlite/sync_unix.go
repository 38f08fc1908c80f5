//go:build unix

package sqlite

import (
	"errors"
	"os"
)

// syncFile waits until a file or a directory is on disk.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
