package pgtest_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/incidentkit/incident/internal/pgtest"
)

// table returns a pool through a new proxy and a direct pool, for a table of numbers.
func table(t *testing.T) (p *pgtest.Proxy, through, past *sql.DB) {
	t.Helper()
	url := pgtest.NewDatabase(t)
	past = open(t, url)
	if _, err := past.Exec("CREATE TABLE numbers (n int)"); err != nil {
		t.Fatal(err)
	}
	p = pgtest.NewProxy(t, url)
	return p, open(t, p.URL()), past
}

func count(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	if err := db.QueryRow("SELECT count(*) FROM numbers").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

const insert = "INSERT INTO numbers VALUES ($1)"

// lib/pq needs a single round trip for a prepared statement or no arguments, else two.
func TestProxy_RoundTrips(t *testing.T) {
	p, db, _ := table(t)
	stmt, err := db.Prepare(insert)
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	tests := []struct {
		name string
		do   func() error
		want int
	}{
		{"prepared", func() error { _, err := stmt.Exec(1); return err }, 1},
		{"unprepared", func() error { _, err := db.Exec(insert, 1); return err }, 2},
		{"without arguments", func() error { _, err := db.Exec("INSERT INTO numbers VALUES (1)"); return err }, 1},
	}
	for _, tt := range tests {
		before := p.RoundTrips()
		if err := tt.do(); err != nil {
			t.Fatal(err)
		}
		if got := p.RoundTrips() - before; got != tt.want {
			t.Errorf("%s: %d round trips, want %d", tt.name, got, tt.want)
		}
	}
}

// Stores have to avoid this trap: database/sql repeats a statement that took effect, and
// reports no error.
func TestProxy_LoseReply(t *testing.T) {
	tests := []struct {
		name   string
		cut    pgtest.Cut
		rows   int
		failed bool
	}{
		{"FIN", pgtest.CutFIN, 2, false},
		{"RST", pgtest.CutRST, 1, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, db, past := table(t)
			stmt, err := db.Prepare(insert)
			if err != nil {
				t.Fatal(err)
			}
			defer stmt.Close()
			p.Do(pgtest.LoseReply, tt.cut, 1, 1)
			_, err = stmt.Exec(1)
			if done := p.Heal(); done != 1 {
				t.Errorf("%d replies were lost, want 1", done)
			}
			if got := count(t, past); got != tt.rows || (err != nil) != tt.failed {
				t.Errorf("%d rows and error %v, want %d rows, an error: %v", got, err, tt.rows, tt.failed)
			}
		})
	}
}

func TestProxy_LoseRequest(t *testing.T) {
	p, db, past := table(t)
	if err := db.Ping(); err != nil {
		t.Fatal(err)
	}
	p.Do(pgtest.LoseRequest, pgtest.CutRST, 1, 1)
	if _, err := db.Exec("INSERT INTO numbers VALUES (1)"); err == nil {
		t.Error("a lost request returned no error")
	}
	if got := count(t, past); got != 0 {
		t.Errorf("%d rows of a lost request", got)
	}
}

// A silent connection that is still open ends when the proxy is healed.
func TestProxy_Silence(t *testing.T) {
	p, db, past := table(t)
	if err := db.Ping(); err != nil {
		t.Fatal(err)
	}
	p.Do(pgtest.Silence, 0, 1, 1)
	ended := make(chan error, 1)
	go func() {
		_, err := db.Exec("INSERT INTO numbers VALUES (1)")
		ended <- err
	}()
	for deadline := time.Now().Add(time.Minute); count(t, past) == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the statement did not reach the server")
		}
	}
	select {
	case err := <-ended:
		t.Errorf("the call ended with %v, though nobody answered", err)
	case <-time.After(200 * time.Millisecond):
	}
	for deadline := time.Now().Add(time.Minute); count(t, past) != 1; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the server did not get the request")
		}
	}
	p.Heal()
	<-ended
}

func TestProxy_Before(t *testing.T) {
	p, db, past := table(t)
	if err := db.Ping(); err != nil {
		t.Fatal(err)
	}
	rows := 0
	p.Before(1, func() { rows = count(t, past) })
	if _, err := db.Exec("INSERT INTO numbers VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	if done := p.Heal(); done != 1 || rows != 1 {
		t.Errorf("before %d replies there were %d rows, want 1 and 1", done, rows)
	}
}

func TestProxy_Refuse(t *testing.T) {
	p, db, _ := table(t)
	p.Refuse()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := db.PingContext(ctx); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a refusing server returned %v", err)
	}
	p.Heal()
	if err := db.PingContext(ctx); err != nil {
		t.Error(err)
	}
}
