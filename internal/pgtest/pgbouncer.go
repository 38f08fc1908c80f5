package pgtest

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var errNoPgBouncer = errors.New("pgtest: PgBouncer was not found; install it with 'apt-get install pgbouncer' or 'brew install pgbouncer'")

// pgBouncerDefaults lets a client connect as the user of the server's URL. The settings
// of a test come later in the file and override the defaults.
const pgBouncerDefaults = `[databases]
* = host=%s port=%s user=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 1000
server_idle_timeout = 5
`

// NewPgBouncer starts a PgBouncer before the server of a URL, and returns the URL of the
// same database through it. Each transaction may get another connection. Settings are
// lines of the configuration, such as "default_pool_size = 3". The PgBouncer stops at the
// end of the test. A test without the program fails, and one in which it crashes.
func NewPgBouncer(t testing.TB, server string, settings ...string) string {
	t.Helper()
	program, err := findPgBouncer()
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	h, err := newHome()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.close)
	for range 10 { // a free port may be taken by now
		var b *pgBouncer
		if b, err = startPgBouncer(h, program, target, settings); err == nil {
			t.Cleanup(func() { b.mustRun(t) }) // before its end
			return b.through
		}
	}
	t.Fatal(err)
	return ""
}

func findPgBouncer() (string, error) {
	find := func() (string, error) {
		for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer", "/opt/homebrew/bin/pgbouncer", "/usr/local/bin/pgbouncer"} {
			if path, err := exec.LookPath(name); err == nil {
				return path, nil
			}
		}
		return "", errNoPgBouncer
	}
	if path, err := find(); err == nil {
		return path, nil
	}
	if err := install("pgbouncer", errNoPgBouncer); err != nil {
		return "", err
	}
	return find()
}

// pgBouncer is a PgBouncer that was started.
type pgBouncer struct {
	through string        // the URL of the database through it
	ended   chan struct{} // closed at its end
	log     string        // a file
}

// mustRun reports a PgBouncer that has ended by itself.
func (b *pgBouncer) mustRun(t testing.TB) {
	select {
	case <-b.ended:
		t.Errorf("pgtest: PgBouncer has ended: %s", b.last())
	default:
	}
}

// last returns the end of the log, which is only detail for an error.
func (b *pgBouncer) last() string {
	content, _ := os.ReadFile(b.log)
	return tail(content)
}

// startPgBouncer starts a PgBouncer and waits until it reaches the server.
func startPgBouncer(h *home, program string, target *url.URL, settings []string) (*pgBouncer, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf(pgBouncerDefaults, target.Hostname(), target.Port(), target.User.Username(), port) +
		strings.Join(settings, "\n") + "\n"
	file := filepath.Join(h.dir, fmt.Sprint("pgbouncer-", port, ".ini"))
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil { //nolint:gosec // another user reads it
		return nil, err
	}
	b := &pgBouncer{ended: make(chan struct{}), log: file + ".log"}
	log, err := os.Create(b.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(program, file)
	cmd.Dir, cmd.Stdout, cmd.Stderr = h.dir, log, log
	if err := asUnprivileged(cmd); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("pgtest: start PgBouncer: %w", err)
	}
	go func() {
		defer close(b.ended)
		_ = cmd.Wait() // the log has the reason
	}()
	through := *target
	through.Host = fmt.Sprint("127.0.0.1:", port)
	b.through = through.String()
	if err := awaitServer(b.through, b.ended); err != nil {
		return nil, fmt.Errorf("pgtest: PgBouncer does not start: %w: %s", err, b.last())
	}
	return b, nil
}
