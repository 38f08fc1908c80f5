package pgtest

import (
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
	server, err := startShared()
	if err != nil {
		t.Fatal(err)
	}
	return server
}

func startShared() (*Server, error) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = Start()
	}
	return shared.server, shared.err
}

// NewDatabase creates an empty database on the shared server, and returns its URL. The
// database is dropped at the end of the test.
func NewDatabase(t testing.TB) string {
	t.Helper()
	return Shared(t).NewDatabase(t)
}

// ExampleDatabase is [NewDatabase] for example functions, which have no [testing.TB]. It
// panics if there is no server. The caller must call drop.
func ExampleDatabase() (target string, drop func()) {
	server, err := startShared()
	if err != nil {
		panic(err)
	}
	name, target, err := server.createDatabase()
	if err != nil {
		panic(err)
	}
	return target, func() {
		if err := server.dropDatabase(name); err != nil {
			panic(err)
		}
	}
}

// NewDatabase creates an empty database, and returns its URL. The database is dropped at
// the end of the test.
func (s *Server) NewDatabase(t testing.TB) string {
	t.Helper()
	name, target, err := s.createDatabase()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.dropDatabase(name); err != nil {
			t.Error(err)
		}
	})
	return target
}

func (s *Server) createDatabase() (name, target string, err error) {
	name = fmt.Sprintf("test_%016x", rand.Uint64())
	u, err := url.Parse(s.url)
	if err != nil {
		return "", "", err
	}
	u.Path = "/" + name
	return name, u.String(), s.do("CREATE DATABASE " + name)
}

func (s *Server) dropDatabase(name string) error {
	return s.do("DROP DATABASE " + name + " WITH (FORCE)")
}
