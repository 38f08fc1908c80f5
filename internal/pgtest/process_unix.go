//go:build unix

package pgtest

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// stopSignals are the signals that end a process by default.
var stopSignals = []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT}

func canStart() error { return nil }

// unprivileged returns the user that the server runs as, since PostgreSQL refuses to run
// as root.
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

// apart starts cmd in its own session, so that Ctrl-C does not reach it.
func apart(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// asUnprivileged starts cmd apart, and not as root.
func asUnprivileged(cmd *exec.Cmd) error {
	apart(cmd)
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

// giveAway changes the folder's owner to the user that the server runs as.
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

// signalQuit tells a server to stop immediately, even if it is suspended, and reports
// whether the process exists.
func signalQuit(postmaster int) bool {
	err := syscall.Kill(postmaster, syscall.SIGQUIT)
	_ = syscall.Kill(postmaster, syscall.SIGCONT) // it may have ended meanwhile
	return err == nil
}

// killIn kills every process whose working directory is in the folder, and waits until
// there is none. It looks repeatedly, because a process may start another before it dies.
func killIn(dir string) {
	memory := sharedMemoryOf(dir)
	defer memory.remove()
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		running := processesIn(dir)
		if len(running) == 0 {
			return
		}
		for _, pid := range running {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended meanwhile
		}
	}
}

// processesIn returns the processes whose working directory is in the folder, without
// zombies.
func processesIn(dir string) (pids []int) {
	if _, err := os.Readlink("/proc/self/cwd"); err != nil {
		return processesNaming(dir)
	}
	if resolved, err := filepath.EvalSymlinks(dir); err == nil {
		dir = resolved
	}
	links, _ := filepath.Glob("/proc/[0-9]*/cwd") // the pattern is well formed
	for _, link := range links {
		cwd, err := os.Readlink(link)
		cwd = strings.TrimSuffix(cwd, " (deleted)")
		if err != nil || cwd != dir && !strings.HasPrefix(cwd, dir+"/") {
			continue
		}
		if pid, err := strconv.Atoi(strings.Split(link, "/")[2]); err == nil && pid > 1 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// processesNaming is processesIn for systems without /proc. A postmaster has its folder
// in its arguments; the other processes of a server have it in their titles, as
// cluster_name.
func processesNaming(dir string) (pids []int) {
	output, err := exec.Command("ps", "-axww", "-o", "pid=,command=").Output()
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(output)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || !strings.Contains(line, filepath.Base(dir)) {
			continue
		}
		program := strings.TrimSuffix(filepath.Base(fields[1]), ":")
		if pid, err := strconv.Atoi(fields[0]); err == nil && pid > 1 && (program == "postgres" || program == "initdb") {
			pids = append(pids, pid)
		}
	}
	return pids
}
