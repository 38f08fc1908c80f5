package pgtest

import (
	"path/filepath"
	"sync"
)

// original is the cluster that servers of this process copy, because initdb takes ten times
// as long as a copy.
var original struct {
	mu       sync.Mutex // guards the fields below
	home     *home      // nil before the first server
	programs string     // the folder of the initdb that made it
}

// copyCluster makes the server's data directory a copy of the original. The first call
// makes the original.
func (s *Server) copyCluster() error {
	original.mu.Lock()
	defer original.mu.Unlock()
	if original.home == nil || original.programs != s.programs {
		home, err := newHome()
		if err != nil {
			return err
		}
		first := &Server{programs: s.programs, home: home}
		if err := first.program("initdb", "--pgdata="+first.data(), "--username=postgres", "--auth=trust",
			"--encoding=UTF8", "--locale=C", "--no-sync"); err != nil {
			home.close()
			return err
		}
		if original.home != nil {
			original.home.close()
		}
		original.home, original.programs = home, s.programs
	}
	return s.command("cp", "-a", filepath.Join(original.home.dir, dataFolder), s.data())
}

// removeOriginal removes the original. Without it, the keeper removes it at the end of the
// process.
func removeOriginal() {
	original.mu.Lock()
	defer original.mu.Unlock()
	if original.home != nil {
		original.home.close()
		original.home = nil
	}
}
