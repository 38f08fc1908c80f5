//go:build !unix

package sqlite

import (
	"errors"
	"os"
)

// syncFile waits until a file is on disk. A directory cannot be synchronized.
func syncFile(path string) error {
	if info, err := os.Stat(path); err != nil || info.IsDir() {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
