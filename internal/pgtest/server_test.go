package pgtest_test

import (
	"database/sql"
	"fmt"
	"os"
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

// child starts a server of its own, prints its URL and waits to be killed.
func child() {
	s, err := pgtest.StartOwn()
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

// Data committed before a crash is there after the restart.
func TestServer_Kill_keepsCommits(t *testing.T) {
	s := startOwn(t)
	db := open(t, s.URL())
	for _, command := range []string{"CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (42)"} {
		if _, err := db.Exec(command); err != nil {
			t.Fatal(err)
		}
	}
	s.Kill()
	if err := db.Ping(); err == nil {
		t.Error("a killed server accepts connections")
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := db.QueryRow("SELECT n FROM kept").Scan(&n); err != nil || n != 42 {
		t.Errorf("after a crash the row is %d, %v", n, err)
	}
}

// Databases are independent of each other.
func TestNewDatabase_isSeparate(t *testing.T) {
	a, b := open(t, pgtest.NewDatabase(t)), open(t, pgtest.NewDatabase(t))
	if _, err := a.Exec("CREATE TABLE only_here (n int)"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Exec("SELECT * FROM only_here"); err == nil {
		t.Error("a table is visible in another database")
	}
}

// Copies of a database have what was in it, and are apart from each other.
func TestNewDatabaseLike(t *testing.T) {
	fills := 0
	fill := func(url string) error {
		fills++
		db, err := sql.Open("postgres", url)
		if err != nil {
			return err
		}
		defer db.Close()
		_, err = db.Exec("CREATE TABLE numbers (n int)")
		return err
	}
	name := fmt.Sprint("numbers ", time.Now().UnixNano()) // the test may run again in this process
	for want := range 2 {
		a, b := open(t, pgtest.NewDatabaseLike(t, name, fill)), open(t, pgtest.NewDatabaseLike(t, name, fill))
		for range want {
			if _, err := a.Exec("INSERT INTO numbers VALUES (1)"); err != nil {
				t.Fatal(err)
			}
		}
		if got, other := count(t, a), count(t, b); got != want || other != 0 {
			t.Errorf("the copies have %d and %d rows, want %d and none", got, other, want)
		}
	}
	if fills != 1 {
		t.Errorf("the original was made %d times, want once", fills)
	}
}
