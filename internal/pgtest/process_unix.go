//go:build unix

package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// unprivileged is whom the server runs as, since it refuses to run as root.
func unprivileged() (uid, gid int, err error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		return uid, gid, errors.Join(err1, err2)
	}
	return 0, 0, errors.New("pgtest: PostgreSQL does not run as root, and there is neither a user postgres nor nobody; run the tests as another user")
}

// asUnprivileged lets cmd run as another user than root, in a process group of
// its own, which Ctrl-C does not reach.
func asUnprivileged(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() != 0 {
		return nil
	}
	uid, gid, err := unprivileged()
	if err != nil {
		return err
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return nil
}

// giveAway gives the folder to the user whom the server runs as.
func giveAway(dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	uid, gid, err := unprivileged()
	if err != nil {
		return err
	}
	return os.Chown(dir, uid, gid)
}

// killAll kills a server and its children. They end by themselves when it does,
// but may take a moment, in which they hold its shared memory.
func killAll(postmaster int) {
	if postmaster <= 1 {
		return
	}
	_ = syscall.Kill(postmaster, syscall.SIGSTOP) // it may have ended already; otherwise it has no more children now
	children := childrenOf(postmaster)
	_ = syscall.Kill(postmaster, syscall.SIGKILL)
	for _, pid := range children {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	deadline := time.Now().Add(startTimeout)
	for _, pid := range append(children, postmaster) {
		for syscall.Kill(pid, 0) == nil && !isZombie(pid) && time.Now().Before(deadline) {
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// childrenOf reads /proc. Where there is none, the children are left to end by
// themselves.
func childrenOf(parent int) (pids []int) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // a well formed pattern
	for _, path := range stats {
		if pid, state, ppid := readStat(path); ppid == parent && pid > 1 && state != 'Z' {
			pids = append(pids, pid)
		}
	}
	return pids
}

func isZombie(pid int) bool {
	_, state, _ := readStat(fmt.Sprintf("/proc/%d/stat", pid))
	return state == 'Z'
}

// readStat reads the start of a process's status: "42 (a name) S 1 …".
func readStat(path string) (pid int, state byte, parent int) {
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, 0
	}
	for i := len(content) - 1; i >= 0; i-- {
		if content[i] == ')' {
			_, _ = fmt.Sscanf(string(content), "%d", &pid)
			_, _ = fmt.Sscanf(string(content[i+1:]), " %c %d", &state, &parent)
			return pid, state, parent
		}
	}
	return 0, 0, 0
}
