package hostworld_test

import (
	"errors"
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/postgres"
)

// A host must not end the transaction of InTx. If it does so by a statement, which database/sql does
// not notice, and pgx neither, InTx does not report success.
func TestInTx_hostEndsTheTransaction(t *testing.T) {
	eachDriver(t, func(t *testing.T, w world) {
		m, err := incident.New(w.stores(t)(t), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, end := range []string{"COMMIT", "ROLLBACK"} {
			err := m.InTx(t.Context(), func(tx incident.Manager) error {
				db, err := postgres.Tx(tx)
				if err == nil {
					_, err = tx.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"})
				}
				if err == nil {
					_, err = db.Exec(end)
				}
				return err
			})
			if !errors.Is(err, incident.ErrUnknownOutcome) {
				t.Errorf("InTx() with %s of the host = %v, want ErrUnknownOutcome", end, err)
			}
		}
	})
}
