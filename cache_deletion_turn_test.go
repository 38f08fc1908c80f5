package incident_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/incidentkit/incident"
)

// Calls of two goroutines that delete the same incident: the call that finds nothing does not return
// before the cache knows of the deletion.
func TestDeletion_waitsForTheOtherOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, p := closedAndCached(t, nil)
		p.delayOnce("Purge")
		go func() { _ = purges(t.Context(), m) }()
		synctest.Wait()
		mustPurge(t, m, 0, 0, 0)
		wantGone(t, m, "after the second call")
		time.Sleep(2 * time.Second)
	})
}

// The same for a user who is erased: the second call finds no trace, and nobody reads the user from
// the cache afterwards.
func TestErasure_waitsForTheOtherOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, p := probed(t, nil)
		if _, err := m.Assign(t.Context(), key, incident.Assignment{Assignee: "ada"}); err != nil {
			t.Fatal(err)
		}
		mustGet(t, m)
		erase := func() error {
			_, err := m.EraseUser(t.Context(), incident.Erasure{OrganizationID: "acme", UserID: "ada"})
			return err
		}
		p.delayOnce("EraseUser")
		go func() { _ = erase() }()
		synctest.Wait()
		if err := erase(); err != nil {
			t.Fatal(err)
		}
		if got := mustGet(t, m); got.Response != nil {
			t.Errorf("after the second call the response is %+v, want none", got.Response)
		}
		time.Sleep(2 * time.Second)
	})
}

// A store that panics may have deleted or changed incidents. No entry of these is served.
func TestDeletion_panics(t *testing.T) {
	for name, call := range deletingCalls {
		t.Run(name, func(t *testing.T) {
			m, p := closedAndCached(t, nil)
			p.after = func(method string) error {
				if method == name {
					panic("the driver panics")
				}
				return nil
			}
			func() {
				defer func() {
					if recover() == nil {
						t.Error("the panic is lost")
					}
				}()
				_ = call(t.Context(), m)
			}()
			p.after = nil
			got, err1 := m.Get(t.Context(), key)
			want, err2 := reference(t, p).Get(t.Context(), key)
			if (err1 == nil) != (err2 == nil) || got.Version != want.Version {
				t.Errorf("Get = version %d, %v, the store has %d, %v", got.Version, err1, want.Version, err2)
			}
		})
	}
}
