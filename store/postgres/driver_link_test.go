package postgres

import (
	"errors"
	"fmt"
	"testing"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/incidentkit/incident/internal/pgtest"
)

// The required version of lib/pq has the unexported fields that the store reads.
func TestInspect(t *testing.T) {
	t.Parallel()
	pool, err := sqlx.Open("postgres", pgtest.NewDatabase(t))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	conn, err := pool.Connx(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var l link
	var pid int64
	if err := conn.Raw(func(c any) error { l = inspect(c); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := conn.GetContext(t.Context(), &pid, "SELECT pg_backend_pid()"); err != nil {
		t.Fatal(err)
	}
	if l.kind != pqDriver || l.pid != pid {
		t.Errorf("the connection is of kind %d with backend %d, want lib/pq and %d", l.kind, l.pid, pid)
	}
	for _, want := range []bool{false, true, false} {
		if _, err := conn.ExecContext(t.Context(), fmt.Sprint("SET default_transaction_read_only = ", want)); err != nil {
			t.Fatal(err)
		}
		if on, known := l.readOnly(); on != want || !known {
			t.Errorf("read-only is %v, known: %v, want %v", on, known, want)
		}
	}
}

// pgxError has the form of *pgconn.PgError.
type pgxError struct{ Severity, SeverityUnlocalized, Code, ConstraintName string }

func (e *pgxError) Error() string    { return e.Code }
func (e *pgxError) SQLState() string { return e.Code }

// Only an error that keeps the connection proves that nothing was written.
func TestIsRefusal(t *testing.T) {
	tests := []struct {
		err  error
		want bool
	}{
		{&pq.Error{Severity: "ERROR", Code: "23505"}, true},
		{&pq.Error{Severity: "ERROR", Code: "XX000"}, true},
		{&pq.Error{Severity: "ERROR", Code: "08P01"}, true},
		{&pq.Error{Severity: "ERROR", Code: "57P01"}, false}, // of another server, to which Citus passed the statement
		{&pq.Error{Severity: "ERROR", Code: "XX000", Routine: "ErrorIfPostCommitFailedShardPlacements"}, false},
		{&pq.Error{Severity: "ERROR", Code: "XX000", Routine: "ReportResultError"}, false},
		{&pq.Error{Severity: "ERROR", Code: "XX000", Routine: "ProcessWaitEvents", Message: "postmaster was shut down, exiting"}, false},
		{&pq.Error{Severity: "ERROR", Code: "XX000", Routine: "elog"}, true},
		{&pq.Error{Severity: "ERROR", Code: "08006"}, false},
		{&pq.Error{Severity: "FATAL", Code: "57P01"}, false},
		{&pq.Error{Severity: "PANIC", Code: "XX000"}, false},
		{&pq.Error{Severity: "FEHLER", Code: "40001"}, true}, // from a German server
		{&pq.Error{Severity: "FEHLER", Code: "57014"}, true},
		{&pq.Error{Severity: "ERREUR", Code: "57P01"}, false},
		{&pq.Error{Severity: "ВАЖНО", Code: "25P03"}, false},
		{&pgxError{Severity: "FEHLER", SeverityUnlocalized: "ERROR", Code: "XX000"}, true},
		{&pgxError{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: "57P01"}, false},
		{fmt.Errorf("wrapped: %w", &pgxError{SeverityUnlocalized: "ERROR", Code: "23514"}), true},
		{pq.ErrInFailedTransaction, true},
		{errors.New("commit unexpectedly resulted in rollback"), true},
		{errors.New("unexpected EOF"), false},
		{nil, false},
	}
	for _, tt := range tests {
		if got := isRefusal(tt.err); got != tt.want {
			t.Errorf("isRefusal(%v) = %v, want %v", tt.err, got, tt.want)
		}
	}
	if !isDisturbed(&pgxError{SeverityUnlocalized: "ERROR", Code: checkViolation, ConstraintName: slotHolders}) {
		t.Error("a slot that another writer took does not count as a disturbance")
	}
}
