package managertest

import (
	"context"
	"errors"
	"testing"

	"github.com/incidentkit/incident"
	"github.com/incidentkit/incident/store/memory"
)

// A call that wrote although it returned ErrUnavailable or Canceled is detected.
func TestMachine_seesDeniedWrites(t *testing.T) {
	key := incident.Key{OrganizationID: orgs[0], Identifier: 1}
	for _, claim := range []error{incident.ErrUnavailable, context.Canceled} {
		m, err := newMachine(setup{store: memory.New(), cache: incident.NoCache})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.step(create(incident.NewIncident{OrganizationID: orgs[0], Title: "x"}), m.manager, 0, faultNone); err != nil {
			t.Fatal(err)
		}
		c := subscribe(key, users[0])
		c.do = func(ctx context.Context, im incident.Manager) (any, error) {
			_, err := im.Subscribe(context.WithoutCancel(ctx), key, users[0])
			return nil, errors.Join(err, claim)
		}
		if m.step(c, m.manager, 9, faultRefused) == nil {
			t.Errorf("a write that returned %q was not detected", claim)
		}
	}
}
