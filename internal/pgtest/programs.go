package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// EnvPrograms names the folder of the programs to start servers with, and so the tested
// version.
const EnvPrograms = "INCIDENT_TEST_POSTGRES_BIN"

// programs returns the folder of the server's programs: the folder named by EnvPrograms,
// else the latest installed version. If there is none it tries to install PostgreSQL.
func programs() (string, error) {
	if dir := os.Getenv(EnvPrograms); dir != "" {
		if !hasPrograms(dir) {
			return "", fmt.Errorf("pgtest: %s=%s has no initdb and postgres; name the folder of both, "+
				"or unset it to use what is installed", EnvPrograms, dir)
		}
		return dir, nil
	}
	if dir, ok := findPrograms(); ok {
		return dir, nil
	}
	if err := install("postgresql", errMissing); err != nil {
		return "", err
	}
	if dir, ok := findPrograms(); ok {
		return dir, nil
	}
	return "", errMissing
}

var errMissing = errors.New("pgtest: PostgreSQL was not found; install it with 'apt-get install postgresql' or 'brew install postgresql', " +
	"or name a server in INCIDENT_TEST_POSTGRES_URL")

// folders are the folders where distributions keep the programs.
var folders = []string{
	"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin",
	"/opt/homebrew/opt/postgresql*/bin", "/usr/local/opt/postgresql*/bin",
}

func findPrograms() (string, bool) {
	var dirs []string
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	for _, pattern := range folders {
		found, _ := filepath.Glob(pattern) // the patterns are well formed
		slices.SortFunc(found, func(a, b string) int { return versionIn(b) - versionIn(a) })
		dirs = append(dirs, found...)
	}
	i := slices.IndexFunc(dirs, hasPrograms)
	if i < 0 {
		return "", false
	}
	return dirs[i], true
}

func hasPrograms(dir string) bool {
	return isFile(filepath.Join(dir, "initdb")) && isFile(filepath.Join(dir, "postgres"))
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// versionIn returns the first number in a path, or 0.
func versionIn(path string) int {
	digits := strings.FieldsFunc(path, func(r rune) bool { return r < '0' || r > '9' })
	if len(digits) == 0 {
		return 0
	}
	n, _ := strconv.Atoi(digits[0]) // a number too long is no version
	return n
}

const installTimeout = 5 * time.Minute

// install installs a package with apt-get, or returns the error missing. apt-get itself
// waits for other installations to finish.
func install(pkg string, missing error) error {
	apt, err := exec.LookPath("apt-get")
	if err != nil || runtime.GOOS != "linux" || os.Geteuid() != 0 {
		return missing
	}
	ctx, cancel := context.WithTimeout(context.Background(), installTimeout)
	defer cancel()
	for _, args := range [][]string{
		{"update"},
		{"install", "-y", "--no-install-recommends", pkg},
	} {
		cmd := exec.CommandContext(ctx, apt, append([]string{"-o", "DPkg::Lock::Timeout=300", "-q"}, args...)...)
		// RUNLEVEL=1 keeps the package from starting a cluster of its own.
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1")
		var output bytes.Buffer
		cmd.Stdout, cmd.Stderr = &output, &output
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%w (apt-get %s: %w: %s)", missing, args[0], err, tail(output.Bytes()))
		}
	}
	return nil
}

// tail returns the end of a log.
func tail(log []byte) string {
	const most = 2000
	if len(log) > most {
		log = log[len(log)-most:]
	}
	return strings.TrimSpace(string(log))
}
