package pgtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/lib/pq"
)

// NewDatabase creates an empty database on the shared server, and returns its URL. The
// database is dropped at the end of the test.
func NewDatabase(t testing.TB) string {
	t.Helper()
	return Shared(t).NewDatabase(t)
}

// NewDatabaseLike creates a copy of a database on the shared server, and returns its URL.
// The copy is dropped at the end of the test. The first call with a name has fill make the
// original; fill must close its connections. A copy takes a third of the time of a
// migration.
func NewDatabaseLike(t testing.TB, name string, fill func(url string) error) string {
	t.Helper()
	return Shared(t).NewDatabaseLike(t, name, fill)
}

// ExampleDatabase is [NewDatabase] for example functions, which have no [testing.TB]. It
// panics if there is no server. The caller must call drop.
func ExampleDatabase() (target string, drop func()) {
	server, err := startShared()
	if err != nil {
		panic(err)
	}
	name, target, err := server.createDatabase("")
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
	return s.newDatabase(t, "")
}

// NewDatabaseLike is [NewDatabaseLike] on this server.
func (s *Server) NewDatabaseLike(t testing.TB, name string, fill func(url string) error) string {
	t.Helper()
	template, err := s.templates.find(s, name, fill)
	if err != nil {
		t.Fatal(err)
	}
	return s.newDatabase(t, " TEMPLATE "+template)
}

func (s *Server) newDatabase(t testing.TB, options string) string {
	t.Helper()
	name, target, err := s.createDatabase(options)
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

// createDatabase copies files, with the caches of the system tables in them: the default strategy
// takes twice as long, and the first connection makes the caches again.
func (s *Server) createDatabase(options string) (name, target string, err error) {
	name = fmt.Sprintf("test_%016x", rand.Uint64())
	u, err := url.Parse(s.url)
	if err != nil {
		return "", "", err
	}
	u.Path = "/" + name
	return name, u.String(), s.doUnused("CREATE DATABASE " + name + " STRATEGY file_copy" + options)
}

func (s *Server) dropDatabase(name string) error {
	return s.doUnused("DROP DATABASE " + name + " WITH (FORCE)")
}

// doUnused runs a command that needs a database without connections. The server itself waits for
// five seconds until they have ended, even after it has told them to; on a busy machine that takes
// longer.
func (s *Server) doUnused(command string) error {
	const objectInUse = "55006"
	for deadline := time.Now().Add(startTimeout); ; {
		err := s.do(command)
		if failed, ok := errors.AsType[*pq.Error](err); !ok || failed.Code != objectInUse || time.Now().After(deadline) {
			return err
		}
	}
}

// templates are the databases of a server that others are copies of, by the name of
// NewDatabaseLike.
type templates struct {
	mu     sync.Mutex // guards byName
	byName map[string]template
}

type template struct {
	database string
	err      error
}

// find returns the database of a name. It creates the database at the first call.
func (ts *templates) find(s *Server, name string, fill func(url string) error) (string, error) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t, ok := ts.byName[name]; ok {
		return t.database, t.err
	}
	var t template
	var target string
	t.database, target, t.err = s.createDatabase("")
	if t.err == nil {
		t.err = fill(target)
	}
	if ts.byName == nil {
		ts.byName = map[string]template{}
	}
	ts.byName[name] = t
	return t.database, t.err
}

// dropTemplates drops the templates on the server of EnvURL, which outlives the tests.
func (s *Server) dropTemplates() {
	if s.home != nil {
		return
	}
	s.templates.mu.Lock()
	defer s.templates.mu.Unlock()
	var errs []error
	for _, t := range s.templates.byName {
		errs = append(errs, s.dropDatabase(t.database))
	}
	if err := errors.Join(errs...); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}
