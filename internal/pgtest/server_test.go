package pgtest_test

import (
	"database/sql"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/incidentkit/incident/internal/pgtest"
)

func TestMain(m *testing.M) {
	if os.Getenv("PGTEST_CHILD") != "" {
		child()
	}
	pgtest.Main(m)
}

// child starts a server, prints its URL and waits to be killed.
func child() {
	s, err := pgtest.Start()
	if err != nil {
		os.Stdout.WriteString(err.Error())
		os.Exit(1)
	}
	os.Stdout.WriteString(s.URL() + "\n")
	select {}
}

func open(t *testing.T, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func startOwn(t *testing.T) *pgtest.Server {
	t.Helper()
	t.Setenv(pgtest.EnvURL, "")
	s, err := pgtest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// What was committed before a crash is there after it.
func TestServer_Kill(t *testing.T) {
	s := startOwn(t)
	db := open(t, s.URL())
	for _, command := range []string{"CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (42)"} {
		if _, err := db.Exec(command); err != nil {
			t.Fatal(err)
		}
	}
	s.Kill()
	if err := db.Ping(); err == nil {
		t.Error("a killed server answers")
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := db.QueryRow("SELECT n FROM kept").Scan(&n); err != nil || n != 42 {
		t.Errorf("after a crash the row is %d, %v", n, err)
	}
}

// A server does not outlive the process that started it.
func TestServer_endsWithItsProcess(t *testing.T) {
	t.Setenv(pgtest.EnvURL, "")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "PGTEST_CHILD=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1000)
	n, err := out.Read(buf)
	url := strings.TrimSpace(string(buf[:n]))
	if err != nil || !strings.HasPrefix(url, "postgres://") {
		t.Fatalf("the child says %q, %v", url, err)
	}
	db := open(t, url)
	if err := db.Ping(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, out)
	_ = cmd.Wait() // killed
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if db.Ping() != nil {
			return
		}
	}
	t.Error("the server goes on after its process was killed")
}

// Databases are apart from each other.
func TestNewDatabase(t *testing.T) {
	a, b := open(t, pgtest.NewDatabase(t)), open(t, pgtest.NewDatabase(t))
	if _, err := a.Exec("CREATE TABLE only_here (n int)"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Exec("SELECT * FROM only_here"); err == nil {
		t.Error("a table of one database is in another")
	}
}
