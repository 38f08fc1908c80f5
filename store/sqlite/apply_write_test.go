package sqlite_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/incidentkit/incident"
)

// A connection remembers the number of its last transaction. The number is wrong after a rollback,
// and after a commit of another process.
func TestChanges_numbersAfterRollbackAndForeignCommit(t *testing.T) {
	ctx, path := t.Context(), newPath(t)
	here, elsewhere := mustOpen(t, path, nil), mustOpen(t, path, nil)
	undone := errors.New("undone")
	position := incident.FeedPosition("")
	report := func(want ...int64) {
		t.Helper()
		c, err := elsewhere.Changes(ctx, position)
		if err != nil || c.Reset {
			t.Fatalf("Changes() = %+v, %v", c, err)
		}
		position = c.Position
		got := []int64{}
		for _, iv := range c.Incidents {
			got = append(got, iv.Key.Identifier)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("Changes() has %v, want %v", got, want)
		}
	}
	report()
	first := mustCreate(t, here, "x")
	report(first)
	err := here.InTx(ctx, func(tx incident.Store) error {
		mustCreate(t, tx, "x")
		return undone
	})
	if !errors.Is(err, undone) {
		t.Fatal(err)
	}
	report()
	second := mustCreate(t, here, "x")
	report(second)
	third := mustCreate(t, elsewhere, "x")
	report(third)
	fourth := mustCreate(t, here, "x")
	report(fourth)
	fifth := mustCreate(t, here, "x")
	report(fifth)
	err = here.InTx(ctx, func(tx incident.Store) error {
		_ = tx.InTx(ctx, func(tx incident.Store) error {
			mustCreate(t, tx, "x")
			return undone
		})
		fifth = mustCreate(t, tx, "x")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	report(fifth)
}
