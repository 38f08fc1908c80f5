package pgtest

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"
)

// home is a temporary folder whose processes do not outlive the process that made it.
//
// The end of a test binary is easy to miss. After kill -9 no cleanup runs; a postmaster
// killed that way leaves its backends; and each backend leads its own session, so neither
// a process group nor a parent leads to it. Therefore a second process, the keeper, waits
// for the end:
//
//  1. The keeper is the same executable, started with the folder as its argument.
//  2. Its standard input is a pipe, and only the maker holds the other end. The pipe
//     closes when the maker closes it or ends in any way.
//  3. Then the keeper stops the server, kills every process whose working directory is
//     in the folder, and removes the folder. All processes of PostgreSQL work in the
//     data directory.
//
// home.close takes the same way, so every test exercises it.
type home struct {
	dir      string
	lifeline *os.File
	keeper   *exec.Cmd
}

// keeperName is the os.Args[0] of a keeper.
const keeperName = "pgtest-keeper"

func init() {
	if len(os.Args) == 2 && os.Args[0] == keeperName {
		keep(os.Args[1])
		os.Exit(0)
	}
}

// newHome makes a home in homesFolder, owned by the user that the server runs as.
func newHome() (*home, error) {
	if err := canStart(); err != nil {
		return nil, err
	}
	executable, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	stdin, lifeline, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	defer stdin.Close()
	dir, err := os.MkdirTemp(homesFolder(), "pgtest")
	if err != nil {
		lifeline.Close()
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	cmd := exec.Command(executable)
	cmd.Args = []string{keeperName, dir}
	cmd.Dir, cmd.Stdin = os.TempDir(), stdin
	apart(cmd)
	if err := cmd.Start(); err != nil {
		lifeline.Close()
		_ = os.RemoveAll(dir) // a temporary folder
		return nil, fmt.Errorf("pgtest: start the keeper: %w", err)
	}
	h := &home{dir: dir, lifeline: lifeline, keeper: cmd}
	if err := giveAway(dir); err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

// close ends the processes of the home and removes its folder.
func (h *home) close() {
	_ = h.lifeline.Close() // nothing was written to it
	_ = h.keeper.Wait()    // the keeper has nothing to report
}

// stopTime is how long a server may take to stop before it is killed.
const stopTime = 3 * time.Second

// keep waits for the end of the maker, and cleans up.
func keep(dir string) {
	signal.Ignore(stopSignals...)
	_, _ = io.Copy(io.Discard, os.Stdin) // only the end of the input matters
	// A server that stops by itself releases its shared memory. It needs no checkpoint.
	if pid := postmasterIn(dir); pid > 1 && signalQuit(pid) {
		for deadline := time.Now().Add(stopTime); postmasterIn(dir) == pid && time.Now().Before(deadline); {
			time.Sleep(5 * time.Millisecond)
		}
	}
	killIn(dir)
	_ = os.RemoveAll(dir) // there is nobody left to report to
}

// postmasterIn returns the server whose data is in the folder, or 0 if none is running.
func postmasterIn(dir string) int {
	pid := postmaster(filepath.Join(dir, dataFolder))
	if pid == 0 {
		return 0
	}
	for _, running := range processesIn(dir) {
		if running == pid {
			return pid
		}
	}
	return 0
}
