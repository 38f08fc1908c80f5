package pgtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	_ "github.com/lib/pq" // the driver of the package's own connections
)

// EnvURL names a server to use instead of one that is started.
const EnvURL = "INCIDENT_TEST_POSTGRES_URL"

// startTimeout bounds starting and stopping a server.
const startTimeout = 30 * time.Second

// Server is a PostgreSQL server: one that was started, with a cluster in a
// temporary folder, or the one of EnvURL. Its methods are for one goroutine.
type Server struct {
	url      string
	programs string
	home     *home // nil for the server of EnvURL
	port     int
	process  *exec.Cmd     // nil while it does not run
	ended    chan struct{} // closed when process has
}

// The data directory is this folder of the home. The server writes the other file.
const dataFolder, pidFile = "data", "postmaster.pid"

// Start starts a server, or connects to the one of EnvURL. Whatever is done to the
// server and to this process, none of its processes outlives this one by more than some
// seconds, nor does its folder. Settings are lines of its configuration.
func Start(settings ...string) (*Server, error) {
	if given := os.Getenv(EnvURL); given != "" {
		return &Server{url: given}, ping(given)
	}
	return StartOwn(settings...)
}

// StartOwn starts a server that may be killed and started again.
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

// URL is that of the server's own database.
func (s *Server) URL() string { return s.url }

// CanRestart reports whether the server may be killed and started again.
func (s *Server) CanRestart() bool { return s.home != nil }

func (s *Server) data() string { return filepath.Join(s.home.dir, dataFolder) }
func (s *Server) log() string  { return filepath.Join(s.home.dir, "log") }

// defaults keep what a crash must not lose, and show mistakes about time zones.
const defaults = `
listen_addresses = '127.0.0.1'
max_connections = 200
shared_buffers = 128MB
timezone = 'America/New_York'
log_min_messages = warning
`

// init makes the cluster. initdb refuses to run as root.
func (s *Server) init(settings []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(s.programs, "initdb"), "--pgdata="+s.data(),
		"--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
	cmd.Dir = s.home.dir
	if err := asUnprivileged(cmd); err != nil {
		return err
	}
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pgtest: initdb: %w: %s", err, tail(output))
	}
	f, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%sunix_socket_directories = '%s'\ncluster_name = '%s'\n%s\n",
		defaults, s.home.dir, filepath.Base(s.home.dir), strings.Join(settings, "\n"))
	return errors.Join(err, f.Close())
}

// Restart starts the server on its data, at the port that it had before. What still
// runs of it is killed: a test that kills the postmaster alone leaves the backends.
func (s *Server) Restart() error {
	if !s.CanRestart() {
		return errors.New("pgtest: the server of " + EnvURL + " is not started here")
	}
	s.Kill()
	var err error
	// A port that was free a moment ago may be taken now.
	for range 10 {
		if s.port == 0 {
			if s.port, err = freePort(); err != nil {
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

// freePort returns a port below those that systems give to outgoing connections. One of
// them could take the port of a server that is down for a moment.
func freePort() (port int, err error) {
	for range 100 {
		port = 15_000 + rand.IntN(15_000)
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("pgtest: no free port: %w", err)
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
		_ = cmd.Wait() // the log says why it has ended
	}()
	s.process, s.ended = cmd, ended
	target := fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", s.port)
	if err := awaitServer(target, ended); err != nil {
		log, _ := os.ReadFile(s.log()) // it says why, if it is there
		return fmt.Errorf("pgtest: the server does not start: %w: %s", err, tail(log))
	}
	s.url = target
	return nil
}

// awaitServer waits until the server accepts connections, or its process has ended. A nil
// ended never does.
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

// postmaster returns the process that the data directory names, or 0.
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

// Kill ends the server as a crash does, with kill -9 of all its processes.
func (s *Server) Kill() {
	if s.process == nil {
		return
	}
	killIn(s.home.dir)
	<-s.ended
	s.process = nil
	// The next server must not take the dead one for alive.
	_ = os.Remove(filepath.Join(s.data(), pidFile))
}

// Stop stops the server, ends what is left of it and removes its folder. A server of
// EnvURL goes on.
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
