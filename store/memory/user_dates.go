package memory

import (
	"cmp"
	"slices"
	"time"

	"github.com/incidentkit/incident"
)

// users are dates of users, by UserID. There are few of them to an incident.
type users []userDate

type userDate struct {
	user incident.UserID
	date time.Time
}

func (u users) find(user incident.UserID) (int, bool) {
	return slices.BinarySearchFunc(u, user, func(e userDate, user incident.UserID) int {
		return cmp.Compare(e.user, user)
	})
}

// What follows is undone backwards, in the reverse order of the writes: so an
// entry is at its place again when its turn comes.

func (s *Store) insertUser(u *users, i int, entry userDate) {
	*u = slices.Insert(*u, i, entry)
	if s.inTx() {
		s.undo(func() { *u = slices.Delete(*u, i, i+1) })
	}
}

func (s *Store) deleteUser(u *users, i int) {
	entry := (*u)[i]
	*u = slices.Delete(*u, i, i+1)
	if s.inTx() {
		s.undo(func() { *u = slices.Insert(*u, i, entry) })
	}
}

func (s *Store) redateUser(u *users, i int, date time.Time) {
	before := (*u)[i].date
	(*u)[i].date = date
	if s.inTx() {
		s.undo(func() { (*u)[i].date = before })
	}
}
