package pgtest

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
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
		if err := awaitNoLeak(ignored); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// awaitNoLeak waits until no goroutine is leaked. A goroutine that is ending may take a moment on
// a busy machine.
func awaitNoLeak(ignored []goleak.Option) (err error) {
	for deadline := time.Now().Add(10 * time.Second); ; {
		if err = goleak.Find(ignored...); err == nil || time.Now().After(deadline) {
			return err
		}
	}
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
