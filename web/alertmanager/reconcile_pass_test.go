package alertmanager_test

import (
	"context"
	"errors"
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/web/alertmanager"
)

func TestReconcile_failuresResolveNothing(t *testing.T) {
	fail := ""
	w := newWorldOver(t, func(m incident.Manager) incident.Manager {
		return &faultyList{&faulty{m, func(call string) error {
			if call == fail {
				return incident.ErrUnavailable
			}
			return nil
		}}}
	})
	w.post(firing("warning", 0))
	r := w.newReconciler(&upstream{alerts: []*alertmanager.Alert{listed(other)}})
	w.passes(r, 60, 110)
	w.set(120)
	for _, fail = range []string{"List", "Triggers", "Resolve warning"} {
		if _, err := r.Reconcile(t.Context()); !errors.Is(err, incident.ErrUnavailable) {
			t.Errorf("%s fails: %v", fail, err)
		}
		w.want(warning)
	}
	fail = ""
	w.pass(r, 120)
	w.want(closed)
}

type faultyList struct{ *faulty }

func (f *faultyList) List(ctx context.Context, filter incident.IncidentFilter) (incident.IncidentPage, error) {
	if err := f.fail("List"); err != nil {
		return incident.IncidentPage{}, err
	}
	return f.Manager.List(ctx, filter)
}
