package incident_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// Notifications that nobody delivers, or that are not queued where others queue, are logged once.
func TestRelay_warns(t *testing.T) {
	const noRun, noNotifier = "until Manager.Run runs", "without a Notifier"
	synctest.Test(t, func(t *testing.T) {
		store := memory.New()
		var log bytes.Buffer
		check := func(when, text string, want int) {
			t.Helper()
			if got := strings.Count(log.String(), text); got != want {
				t.Errorf("%s the log says %d times %q, want %d: %s", when, got, text, want, &log)
			}
		}
		newOffice := func(n incident.Notifier) *office {
			m, err := incident.New(store, &incident.Options{Notifier: n, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			return &office{Manager: m}
		}
		bare, elsewhere, full := newOffice(nil), newOffice(incident.NotifyElsewhere), newOffice(&postbox{})
		bare.mustCreate(t, "acme")
		check("where nobody notifies", "level=WARN", 0)
		elsewhere.mustCreate(t, "acme")
		check("of one that leaves it to others", "level=WARN", 0)
		for range 2 {
			full.mustCreate(t, "acme")
			bare.mustCreate(t, "acme")
			check("without Run", noRun, 1)
			check("beside one that queues", noNotifier, 1)
		}

		running := newOffice(&postbox{})
		running.start(t)
		synctest.Wait()
		running.mustCreate(t, "acme")
		err := running.InTx(t.Context(), func(tx incident.Manager) error {
			_, err := tx.Create(t.Context(), incident.NewIncident{OrganizationID: "acme", Title: "Down"})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		running.stop()
		check("with Run", noRun, 1)
		running.mustCreate(t, "acme")
		check("after Run", noRun, 2)
	})
}
