package pgtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	_ "github.com/lib/pq" // the driver of the package's own connections
)

// EnvURL names a running server to use instead of starting a server.
const EnvURL = "INCIDENT_TEST_POSTGRES_URL"

// startTimeout bounds the start and the stop of a server, which take a second on a machine without
// other work.
const startTimeout = 2 * time.Minute

// errForeign is returned for a server that this package did not start.
var errForeign = errors.New("pgtest: the server of " + EnvURL + " was not started by this package")

// Server is a PostgreSQL server: either started with a cluster in a temporary folder, or
// the server of EnvURL. Only NewDatabase and NewDatabaseLike may be
// called concurrently.
type Server struct {
	url      string
	programs string
	home     *home // nil for the server of EnvURL
	port     int
	process  *exec.Cmd     // nil while it is not running
	ended    chan struct{} // closed when process has ended

	templates templates // of NewDatabaseLike
}

// dataFolder is the name of the data directory in the home; the server writes pidFile
// into it.
const dataFolder, pidFile = "data", "postmaster.pid"

// Start starts a server with the given lines of configuration, or connects to the server
// of EnvURL. Neither the server's processes nor its folder outlive this process by more
// than a few seconds.
func Start(settings ...string) (*Server, error) {
	if given := os.Getenv(EnvURL); given != "" {
		return &Server{url: given}, ping(given)
	}
	return StartOwn(settings...)
}

// StartOwn starts a server that may be killed and restarted, whatever EnvURL says.
func StartOwn(settings ...string) (*Server, error) {
	programs, err := programs()
	if err != nil {
		return nil, err
	}
	home, err := newHome()
	if err != nil {
		return nil, err
	}
	s := &Server{programs: programs, home: home}
	if err = s.init(settings); err == nil {
		err = s.Restart()
	}
	if err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// URL returns the URL of the server's own database.
func (s *Server) URL() string { return s.url }

// CanRestart reports whether the server may be killed and restarted.
func (s *Server) CanRestart() bool { return s.home != nil }

func (s *Server) data() string { return filepath.Join(s.home.dir, dataFolder) }
func (s *Server) log() string  { return filepath.Join(s.home.dir, "log") }

// name returns the cluster_name. No other server has it.
func (s *Server) name() string { return filepath.Base(s.home.dir) }

// defaults are settings that keep the guarantees of a crash and reveal mistakes about
// time zones. A killed process loses nothing that it has written to the system: only a
// crash of the machine would need fsync.
const defaults = `
listen_addresses = '127.0.0.1'
max_connections = 500
max_wal_size = 256MB
shared_buffers = 128MB
timezone = 'America/New_York'
log_min_messages = warning
fsync = off
`

// init creates the cluster.
func (s *Server) init(settings []string) error {
	if err := s.copyCluster(); err != nil {
		return err
	}
	return s.configure(defaults,
		"unix_socket_directories = '"+s.home.dir+"'", "cluster_name = '"+s.name()+"'",
		strings.Join(settings, "\n"))
}

// configure appends settings to the configuration of a server that is not running.
func (s *Server) configure(settings ...string) error {
	f, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString("\n" + strings.Join(settings, "\n") + "\n")
	return errors.Join(err, f.Close())
}

// Restart starts the server on its data, at the same port as before. It first kills all
// remaining processes: a test that kills only the postmaster leaves the backends.
func (s *Server) Restart() error {
	if !s.CanRestart() {
		return errForeign
	}
	s.Kill()
	var err error
	// A program that reserves no port may have taken it.
	for range 10 {
		if s.port == 0 {
			if s.port, err = FreePort(); err != nil {
				return err
			}
		}
		if err = s.run(); err == nil {
			return nil
		}
		s.Kill()
		if s.url == "" {
			s.port = 0 // nobody knows it yet
		}
		time.Sleep(200 * time.Millisecond)
	}
	return err
}

// run starts the server and waits until it accepts connections.
func (s *Server) run() error {
	log, err := os.OpenFile(s.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(s.programs, "postgres"), "-D", s.data(), "-p", strconv.Itoa(s.port))
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.home.dir, log, log
	if err := asUnprivileged(cmd); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("pgtest: start the server: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // the log has the reason
	}()
	s.process, s.ended = cmd, ended
	target := fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", s.port)
	if err := awaitServer(target, ended); err != nil {
		log, _ := os.ReadFile(s.log()) // the log is only detail for the error
		return fmt.Errorf("pgtest: the server does not start: %w: %s", err, tail(log))
	}
	if err := s.isAt(target); err != nil {
		return err
	}
	s.url = target
	return nil
}

// isAt returns an error if another server answers: the server of another process may have taken
// the port first.
func (s *Server) isAt(target string) error {
	db, err := sql.Open("postgres", target)
	if err != nil {
		return err
	}
	defer db.Close()
	name := ""
	if err := db.QueryRow("SHOW cluster_name").Scan(&name); err != nil {
		return fmt.Errorf("pgtest: ask the server for its name: %w", err)
	}
	if name != s.name() {
		return fmt.Errorf("pgtest: the server %q listens at port %d, want %q", name, s.port, s.name())
	}
	return nil
}

// awaitServer waits until the server accepts connections, or until ended is closed. A nil
// ended is never closed.
func awaitServer(target string, ended <-chan struct{}) (err error) {
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); {
		if err = ping(target); err == nil {
			return nil
		}
		select {
		case <-ended:
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
	return err
}

func ping(target string) error {
	db, err := sql.Open("postgres", target)
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := db.PingContext(ctx); err != nil {
		return fmt.Errorf("pgtest: no server at %s: %w", withoutPassword(target), err)
	}
	return nil
}

func withoutPassword(target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return "the URL of " + EnvURL
	}
	return u.Redacted()
}

// postmaster returns the process named in the data directory, or 0.
func postmaster(data string) int {
	content, err := os.ReadFile(filepath.Join(data, pidFile))
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(content), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil || pid <= 1 {
		return 0
	}
	return pid
}

// Kill ends the server like a crash: with kill -9 of all its processes.
func (s *Server) Kill() {
	if s.process == nil {
		return
	}
	killIn(s.home.dir)
	<-s.ended
	s.process = nil
	// The next server must not mistake the killed server for running.
	_ = os.Remove(filepath.Join(s.data(), pidFile))
}

// Stop stops the server, ends its remaining processes and removes its folder. It does
// nothing to the server of EnvURL.
func (s *Server) Stop() {
	if s.home == nil {
		return
	}
	s.home.close()
	if s.process != nil {
		<-s.ended
		s.process = nil
	}
}
