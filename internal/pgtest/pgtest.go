package pgtest

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/incidentkit/incident/internal/leaktest"
)

// shared is the server of the test binary.
var shared struct {
	mu     sync.Mutex // guards the fields below
	server *Server
	err    error
}

// Main is a TestMain. It runs the tests, stops the shared server and checks for leaked
// goroutines. Goroutines of the functions leaking may remain.
func Main(m *testing.M, leaking ...string) {
	code := m.Run()
	shared.mu.Lock()
	if shared.server != nil {
		shared.server.dropTemplates()
		shared.server.Stop()
	}
	removeOriginal()
	shared.mu.Unlock()
	if code == 0 {
		var ignored []goleak.Option
		for _, function := range leaking {
			ignored = append(ignored, goleak.IgnoreAnyFunction(function))
		}
		if err := leaktest.Await(ignored...); err != nil {
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
