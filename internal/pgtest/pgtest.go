package pgtest

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// shared is the server of the test binary.
var shared struct {
	mu     sync.Mutex // guards the fields below
	server *Server
	err    error
}

// Main is a TestMain. It runs the tests, stops the shared server and checks for leaked
// goroutines.
func Main(m *testing.M) {
	code := m.Run()
	shared.mu.Lock()
	if shared.server != nil {
		shared.server.Stop()
	}
	shared.mu.Unlock()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// Shared returns the server of the test binary, and starts it at the first call. If it
// cannot start, the test fails.
func Shared(t testing.TB) *Server {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = Start()
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server
}

// NewDatabase creates an empty database on the shared server, and returns its URL. The
// database is dropped at the end of the test.
func NewDatabase(t testing.TB) string {
	t.Helper()
	return Shared(t).NewDatabase(t)
}

// NewDatabase creates an empty database, and returns its URL. The database is dropped at
// the end of the test.
func (s *Server) NewDatabase(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%016x", rand.Uint64())
	s.exec(t, "CREATE DATABASE "+name)
	t.Cleanup(func() { s.exec(t, "DROP DATABASE "+name+" WITH (FORCE)") })
	target, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	target.Path = "/" + name
	return target.String()
}

// exec runs a command in the server's own database.
func (s *Server) exec(t testing.TB, command string) {
	t.Helper()
	db, err := sql.Open("postgres", s.url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(command); err != nil {
		t.Errorf("%s: %v", command, err)
	}
}
